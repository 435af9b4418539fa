"""Disguised free riders: the global model with noise that fades (Fraboni et al., 2021)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import torch
from annotated_types import Gt

from robustbench_fl.api import Attack, AttackerView, AttackSpec, Knowledge, State, register, torch_generator

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class FreeRiderState(State):
    """What the free riders remember.

    Parameters
    ----------
    deviation : float, optional
        σ, the standard deviation of the entries of the first global step they saw.
    rounds : int
        t, rounds since then in which some of them took part.
    """

    deviation: float | None = None
    rounds: int = 0


@register("disguised_free_rider", paper="Fraboni 2021", year=2021, cost="d")
@dataclass(frozen=True, kw_only=True)
class DisguisedFreeRider(Attack):
    """Send Gaussian noise of standard deviation cσ·t^(−γ), to look like an update that gets smaller.

    σ is that of the entries of the first global step that is seen, t counts the rounds from then on in which
    free riders take part.

    Parameters
    ----------
    scale : float
        c.
    decay : float
        γ.

    Notes
    -----
    The clients do no work and have no data. Before they have seen a step they send zeros.

    Faithfulness
    ------------
    Release: ``github.com/Accenture/Labs-Federated-Learning``, the authors' own,
        ``python_code/Freeloader_functions.py``, two stored versions of it, one at 764d6e4.
    Compared: when σ is found, t, the noise's standard deviation c·σ·t^(−γ) and the plain first round, read.
    Difference: not measured.
    On purpose: σ is the standard deviation of the entries of the first global step; the release takes the
        mean of their magnitudes, for normal entries 0.80 times as much: ``scale=0.8`` is near its c = 1.

    References
    ----------
    .. [1] Y. Fraboni, R. Vidal and M. Lorenzi, "Free-rider Attacks on Model Aggregation in
       Federated Learning", AISTATS 2021: disguised free-riding.
    """

    scale: Annotated[float, Gt(0)] = 1.0
    decay: Annotated[float, Gt(0)] = 1.0

    family: ClassVar[str] = "free_rider"
    strengths: ClassVar[tuple[str, ...]] = (
        "disguised_free_rider",
        "disguised_free_rider(scale=3)",
        "disguised_free_rider(decay=0.5)",
        "disguised_free_rider(scale=3, decay=0.5)",
    )

    @property
    def knowledge(self) -> Knowledge:
        """Nothing but the global models."""
        return Knowledge.NOTHING

    def init_state(self, spec: AttackSpec) -> FreeRiderState:
        """Return the state of who has seen nothing."""
        return FreeRiderState()

    def craft(self, view: AttackerView, state: Any) -> tuple[Tensor, State | None]:
        """Return each client's noise."""
        shape = (len(view.client_ids), view.spec.n_params)
        if state.deviation is None and view.last_step is not None:
            state = replace(state, deviation=float(view.last_step.double().std(correction=0)))
        if state.deviation is None:
            return view.params.new_zeros(shape), state
        t = state.rounds + 1
        drawn = torch.randn(shape, generator=torch_generator(view.rng)).to(view.params)
        rows = self.scale * state.deviation * t**-self.decay * drawn
        return rows, replace(state, rounds=t)
