"""The mean of the honest updates: what a perfect detector would give."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from robustbench_fl.aggregators.mean import Mean
from robustbench_fl.api import OWN, Aggregation, Aggregator, ServerView, register

if TYPE_CHECKING:
    from torch import Tensor


@register("oracle_mean", aliases=("oracle",), paper=OWN, year=2026, cost="nd")
@dataclass(frozen=True, kw_only=True)
class OracleMean(Aggregator):
    """Average the honest updates only: a baseline, labelled and never ranked.

    The rule is a plain mean of what it is given, and never learns who is malicious: the harness
    hands it the rows of the honest clients.

    Faithfulness
    ------------
    Release: none: this project's baseline.
    Compared: nothing to compare with.
    Difference: not measured.
    On purpose: nothing.
    """

    coordinatewise: ClassVar[bool] = True
    robust: ClassVar[bool] = False
    baseline: ClassVar[Literal["honest"]] = "honest"

    def aggregate(self, updates: Tensor, view: ServerView, state: None) -> tuple[Aggregation, None]:
        """Return the mean of the rows given."""
        return Mean().aggregate(updates, view, state)
