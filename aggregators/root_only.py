"""Training on the root set alone: what a server with clean data reaches without any client."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from robustbench_fl.api import OWN, Aggregation, Aggregator, Need, ServerView, register

if TYPE_CHECKING:
    from torch import Tensor


@register("root_only", paper=OWN, year=2026, cost="train")
@dataclass(frozen=True, kw_only=True)
class RootOnly(Aggregator):
    """Train on the root set alone: a baseline, labelled and never ranked.

    A rule that is given root data must beat it. The server trains its model on the root set by the clients'
    recipe, round by round; no client trains, and nothing that clients send is looked at.

    Notes
    -----
    The root set is passed over as often as each client passes over its own data, so a root set of one
    client's size (the default) means as many steps as a client makes. The server's optimiser and learning
    rate, which are for aggregates, do not apply.

    Faithfulness
    ------------
    Release: none: this project's baseline.
    Compared: plain SGD on the root set, same batches.
    Difference: none beyond float rounding.
    On purpose: nothing.
    """

    coordinatewise: ClassVar[bool] = False
    translation: ClassVar[bool] = False
    scale: ClassVar[bool] = False
    baseline: ClassVar[Literal["root"]] = "root"

    @property
    def needs(self) -> frozenset[Need]:
        """The root set."""
        return frozenset({Need.ROOT_DATA})

    def aggregate(self, updates: Tensor, view: ServerView, state: None) -> tuple[Aggregation, None]:
        """Return what training on the root set changes, a Tensor [d]."""
        return Aggregation(view.root.train().clone()), None
