"""PoisonedFL: fake clients that push in one direction for many rounds (Xie et al., 2025)."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, ClassVar

import torch
from annotated_types import Ge, Gt

from robustbench_fl.api import Attack, AttackerView, AttackSpec, Knowledge, State, register, torch_generator
from robustbench_fl.attacks._statistics import repeated

if TYPE_CHECKING:
    from torch import Tensor

SHRINK = 0.7
SMALLEST = 0.5
NORMAL_99 = 2.326
"""The 99 % quantile of the standard normal distribution."""


@dataclass(frozen=True, kw_only=True)
class PoisonedFLState(State):
    """The direction, what was sent last, and where the model was at the last check.

    Parameters
    ----------
    signs : Tensor [d], optional
        The direction s, of ±1, once it is drawn.
    sent : Tensor [d], optional
        What each malicious client sent last.
    scale : float
        The current factor c.
    checked_params : Tensor [d], optional
        The global model at the last check.
    checked_round : int
        The round of the last check.
    """

    signs: Tensor | None = None
    sent: Tensor | None = None
    scale: float
    checked_params: Tensor | None = None
    checked_round: int = 0


def consistent_update(last_step: Tensor, sent: Tensor, signs: Tensor, scale: float) -> Tensor:
    """Return c‖h‖ · (v ⊙ s)/‖v‖ with v = \\|h − u‖h‖/‖u‖\\|.

    Parameters
    ----------
    last_step : Tensor [d]
        h, the last change of the global model.
    sent : Tensor [d]
        u, what the attacker sent last; where that was zero, v = \\|h\\|.
    signs : Tensor [d]
        s, the direction.
    scale : float
        c.

    Returns
    -------
    float64 Tensor [d]
        Zero where v is.
    """
    step, own = last_step.double(), sent.double()
    length, own_length = step.norm(), own.norm()
    if own_length > 0:
        magnitudes = (step - own * (length / own_length)).abs()
    else:
        magnitudes = step.abs()
    total = magnitudes.norm()
    if total == 0:
        return torch.zeros_like(magnitudes)
    update: Tensor = scale * length / total * magnitudes * signs
    return update


def follows(moved: Tensor, signs: Tensor) -> bool:
    """Whether the model moved along `signs` in more coordinates than chance gives in 99 %.

    Parameters
    ----------
    moved, signs : Tensor [d]
        Change of the model since the last check; the direction.
    """
    d = len(signs)
    agreeing = int((moved.sign() == signs).sum())
    return agreeing >= d / 2 + NORMAL_99 * math.sqrt(d) / 2


@register("poisonedfl", paper="Xie 2025", year=2025, cost="d")
@dataclass(frozen=True, kw_only=True)
class PoisonedFL(Attack):
    """Push every coordinate in a random direction that stays the same for all rounds.

    Parameters
    ----------
    scale : float
        First factor c of the update's length, in lengths of the last global step. It is
        multiplied by 0.7, but not below 0.5, when a check finds that the model does not follow.
    period : int
        Rounds between checks.

    Notes
    -----
    The clients are fake: they have no data. In the attack's first round they send zeros, since what they
    sent before is to be taken out of the last step; in the next one the whole step gives the magnitudes.

    Faithfulness
    ------------
    Release: none was read.
    Compared: numbers, in the review.
    Difference: none found.
    On purpose: nothing.

    References
    ----------
    .. [1] Y. Xie, M. Fang, N. Gong, "Model Poisoning Attacks to Federated Learning via
       Multi-Round Consistency", CVPR 2025, Section 4.
    """

    scale: Annotated[float, Gt(0)] = 8.0
    period: Annotated[int, Ge(1)] = 50

    strengths: ClassVar[tuple[str, ...]] = (
        "poisonedfl(scale=2)",
        "poisonedfl",
        "poisonedfl(scale=32)",
    )
    strength_parameter: ClassVar[str] = "scale"

    @property
    def knowledge(self) -> Knowledge:
        """Nothing but the global models."""
        return Knowledge.NOTHING

    def init_state(self, spec: AttackSpec) -> PoisonedFLState:
        """Return the factor, and room for the rest."""
        return PoisonedFLState(scale=self.scale)

    def craft(self, view: AttackerView, state: PoisonedFLState) -> tuple[Tensor, PoisonedFLState]:
        """Return the same update for every malicious client."""
        state = self._checked(view, state)
        assert state.signs is not None
        if view.last_step is None or state.sent is None:
            update = torch.zeros_like(view.params)
        else:
            update = consistent_update(view.last_step, state.sent, state.signs, state.scale)
        rows = repeated(update, view)
        return rows, replace(state, sent=update.to(view.params))

    def _checked(self, view: AttackerView, state: PoisonedFLState) -> PoisonedFLState:
        """Draw the direction at first; afterwards lower the factor when it is time to."""
        if state.signs is None or state.checked_params is None:
            coin = torch.randint(2, (view.spec.n_params,), generator=torch_generator(view.rng))
            signs = (2 * coin - 1).to(view.params)
            return replace(state, signs=signs, checked_params=view.params, checked_round=view.round)
        if view.round - state.checked_round < self.period:
            return state
        scale = state.scale
        if not follows(view.params - state.checked_params, state.signs) and SHRINK * scale >= SMALLEST:
            scale *= SHRINK
        return replace(state, scale=scale, checked_params=view.params, checked_round=view.round)
