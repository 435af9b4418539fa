"""Neurotoxin: a backdoor in the parameters that honest clients hardly move (Zhang et al., 2022)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import torch
from annotated_types import Gt, Interval

from robustbench_fl.api import AttackerView, Poison, State, register
from robustbench_fl.attacks._trigger import BackdoorAttack

if TYPE_CHECKING:
    from torch import Tensor


def quiet_coordinates(last_step: Tensor, mask_ratio: float) -> Tensor:
    """Return 1 where the last global step was small and 0 where it was largest.

    Parameters
    ----------
    last_step : Tensor [d]
        Change of the global model in the round before.
    mask_ratio : float
        Share of the coordinates that is kept.

    Returns
    -------
    Tensor [d]
        Zeros for the ``d − round(mask_ratio·d)`` largest magnitudes.

    Examples
    --------
    >>> quiet_coordinates(torch.tensor([0.1, -5.0, 0.2, 1.0]), 0.75).tolist()
    [1.0, 0.0, 1.0, 1.0]
    """
    dropped = len(last_step) - round(mask_ratio * len(last_step))
    mask = torch.ones_like(last_step)
    mask[last_step.abs().topk(dropped).indices] = 0
    return mask


def clipped_rows(rows: Tensor, bound: float) -> Tensor:
    """Return the rows [m, d], those longer than `bound` scaled down to it."""
    clipped: Tensor = rows * (bound / rows.norm(dim=1, keepdim=True).clamp(min=bound))
    return clipped


@register("neurotoxin", paper="Zhang 2022", year=2022, cost="d")
@dataclass(frozen=True, kw_only=True)
class Neurotoxin(BackdoorAttack):
    """Train a backdoor with the gradient masked where the last global step was largest.

    Parameters
    ----------
    mask_ratio : float
        Share of the coordinates whose gradient is kept, in (0, 1]; the others, where the
        last global step was largest, are zeroed at every local step.
    norm_bound : float
        The update is scaled down to this norm if it is longer.
    target : int
        The class that triggered images are to be taken for.
    share : float
        Share of the samples of a poisoned pass that carry the trigger, in (0, 1].
    rows, columns : list of float
        The trigger: bright pixels where these rows and columns cross, given as shares of the
        image's height and width; four pixels near the lower right corner by default.

    Notes
    -----
    Odd local passes over the data are poisoned, even ones are clean. In the first
    round there is no last step, and nothing is masked.

    References
    ----------
    .. [1] Z. Zhang et al., "Neurotoxin: Durable Backdoors in Federated Learning", ICML 2022,
       Algorithm 1.
    """

    mask_ratio: Annotated[float, Interval(gt=0, le=1)] = 0.99
    norm_bound: Annotated[float, Gt(0)] = 2.0

    def poison(self, view: AttackerView) -> Poison:
        """Return trigger and gradient mask."""
        step = view.last_step
        return Poison(
            triggers=(self.trigger(view.spec),),
            target=self.target,
            share=self.share,
            passes="odd",
            gradient_mask=None if step is None else quiet_coordinates(step, self.mask_ratio),
        )

    def craft(self, view: AttackerView, state: Any) -> tuple[Tensor, State | None]:
        """Return the clipped updates of the poisoned training."""
        own: Tensor = view.own
        return clipped_rows(own, self.norm_bound), state
