"""Neurotoxin: a backdoor in the parameters that honest clients hardly move (Zhang et al., 2022)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import torch
from annotated_types import Gt, Interval

from robustbench_fl.api import AttackerView, Poison, State, register
from robustbench_fl.attacks._rows import clipped_rows
from robustbench_fl.attacks._trigger import CornerBackdoor

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


@register("neurotoxin", paper="Zhang 2022", year=2022, version=2, cost="d + one training")
@dataclass(frozen=True, kw_only=True)
class Neurotoxin(CornerBackdoor):
    """Train a backdoor with the gradient masked where the last global step was largest.

    Parameters
    ----------
    mask_ratio : float
        Share of the coordinates whose gradient is kept, in (0, 1]; the others, where the
        last global step was largest, are zeroed at every local step.
    norm_factor : float
        The update is scaled down to this many norms of the client's own honest update if it is
        longer; for that the client also trains honestly.
    norm_bound : float, optional
        A fixed bound in place of that one.
    target : int
        The class that triggered images are to be taken for.
    share : float
        Share of every batch that carries the trigger, in (0, 1].
    rows, columns : list of float
        The trigger: bright pixels where these rows and columns cross, given as shares of the
        image's height and width; four pixels near the lower right corner by default.

    Notes
    -----
    In the first round there is no last step, and nothing is masked. Version 1 clipped at 2, which
    no update reached, and with one local epoch learned no clean image.

    Faithfulness
    ------------
    Release: ``github.com/jhcknzzm/Federated-Learning-Backdoor`` at 21a9eaf, the authors' own.
    Compared: mask, batches and clipping, read.
    Difference: not measured.
    On purpose: the mask comes from the last global step, as in the paper; the release takes gradients of
        the global model on clean data of 30 clients, and keeps 0.95 in its examples. Its server clips
        everybody, to 0.2 on CIFAR-10 (``norm_bound=0.2``); here the attacker stays within its honest norm.
        Half of every batch is poisoned, as there.

    References
    ----------
    .. [1] Z. Zhang et al., "Neurotoxin: Durable Backdoors in Federated Learning", ICML 2022,
       Algorithm 1.
    """

    mask_ratio: Annotated[float, Interval(gt=0, le=1)] = 0.99
    norm_factor: Annotated[float, Gt(0)] = 1.0
    norm_bound: Annotated[float, Interval(gt=0, le=1e30)] | None = None
    share: Annotated[float, Interval(gt=0, le=1)] = 0.5

    strengths: ClassVar[tuple[str, ...]] = (
        "neurotoxin(norm_factor=0.5)",
        "neurotoxin",
        "neurotoxin(norm_factor=2)",
        "neurotoxin(norm_factor=5)",
        "neurotoxin(mask_ratio=0.95)",
    )
    strength_parameter: ClassVar[str] = "norm_factor"

    def __post_init__(self) -> None:
        """Refuse two bounds."""
        super().__post_init__()
        if self.norm_bound is not None and self.norm_factor != 1:
            raise ValueError("norm_factor and norm_bound are two bounds of one norm; give one")

    def poison(self, view: AttackerView) -> Poison:
        """Return trigger and gradient mask."""
        step = view.last_step
        return Poison(
            triggers=(self.trigger(view.spec),),
            target=self.target,
            share=self.share,
            gradient_mask=None if step is None else quiet_coordinates(step, self.mask_ratio),
        )

    def craft(self, view: AttackerView, state: Any) -> tuple[Tensor, State | None]:
        """Return the clipped updates of the poisoned training."""
        own: Tensor = view.own
        if self.norm_bound is not None:
            return clipped_rows(own, own.new_full((len(own),), self.norm_bound)), state
        honest: Tensor = view.train(None)
        return clipped_rows(own, self.norm_factor * honest.norm(dim=1)), state
