"""Clients that train alone: what federation has to beat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from robustbench_fl.api import OWN, Aggregation, Aggregator, ServerView, register

if TYPE_CHECKING:
    from torch import Tensor


@register("local_only", paper=OWN, year=2026, cost="train")
@dataclass(frozen=True, kw_only=True)
class LocalOnly(Aggregator):
    """Let every client train alone, on its own data: a baseline, labelled and never ranked.

    All clients start from the same weights and train by the same recipe in the rounds they take part in;
    no update is sent. All figures are means over the honest clients' models, so the accuracy is that
    of the mean client without any federation.

    Notes
    -----
    Only the last evaluations are made, over which the final figures are means: each evaluates every client.

    Faithfulness
    ------------
    Release: none: this project's baseline.
    Compared: plain SGD of every client on its own samples, same batches.
    Difference: none beyond float rounding.
    On purpose: nothing.
    """

    translation: ClassVar[bool] = False
    baseline: ClassVar[Literal["local"]] = "local"

    def aggregate(self, updates: Tensor, view: ServerView, state: None) -> tuple[Aggregation, None]:
        """Return zeros, a Tensor [d]: the global model learns nothing."""
        return Aggregation(updates.new_zeros(updates.shape[1])), None
