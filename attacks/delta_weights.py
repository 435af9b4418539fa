"""Delta weights: free riders that send the last global step again (Lin et al., 2019)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import torch
from annotated_types import Ge

from robustbench_fl.api import Attack, AttackerView, Knowledge, State, register, torch_generator

if TYPE_CHECKING:
    from torch import Tensor


@register("delta_weights", paper="Lin 2019", year=2019, cost="d")
@dataclass(frozen=True, kw_only=True)
class DeltaWeights(Attack):
    """Send the last change of the global model, as if it were an update of one's own.

    Parameters
    ----------
    noise : float
        Standard deviation of Gaussian noise on every entry, drawn anew for each client: 0 for the plain
        attack; the advanced one has 1e-3.

    Notes
    -----
    The clients do no work and have no data. In the first round there is no last change, and they send
    the noise alone.

    Faithfulness
    ------------
    Release: none by the authors.
    Compared: the paper's description of delta weights and advanced delta weights.
    Difference: not measured.
    On purpose: nothing.

    References
    ----------
    .. [1] J. Lin, M. Du, J. Liu, "Free-riders in Federated Learning: Attacks and Defenses",
       arXiv:1911.12560, 2019.
    """

    noise: Annotated[float, Ge(0)] = 0.0

    family: ClassVar[str] = "free_rider"
    strengths: ClassVar[tuple[str, ...]] = ("delta_weights", "delta_weights(noise=0.001)")

    @property
    def knowledge(self) -> Knowledge:
        """Nothing but the global models."""
        return Knowledge.NOTHING

    def craft(self, view: AttackerView, state: Any) -> tuple[Tensor, State | None]:
        """Return the last step, with noise if there is to be any."""
        shape = (len(view.client_ids), view.spec.n_params)
        rows = view.params.new_zeros(shape) if view.last_step is None else view.last_step.repeat(shape[0], 1)
        if self.noise:
            drawn = torch.randn(shape, generator=torch_generator(view.rng))
            rows = rows + self.noise * drawn.to(rows)
        return rows.to(view.params.dtype), state
