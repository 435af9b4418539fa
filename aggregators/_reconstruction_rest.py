"""Aggregation of the clients that are left after some were rejected, by any registered rule."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from robustbench_fl.aggregators._inner import inner_rule
from robustbench_fl.api import Aggregation, Aggregator, Need, ServerView, State

if TYPE_CHECKING:
    from torch import Tensor


def rule_for_rest(text: str) -> Aggregator | None:
    """Return the rule that `text` describes, ``None`` for the plain mean.

    Raises
    ------
    UsageError
        If there is no such rule.
    """
    return None if text == "mean" else inner_rule(text, "rest")


def aggregate_rest(
    rule: Aggregator | None, updates: Tensor, view: ServerView, kept: Tensor, state: State | None
) -> tuple[Aggregation, State | None]:
    """Aggregate the rows of `updates` [n, d] that are `kept` [n]; nobody left keeps the model.

    Parameters
    ----------
    rule : Aggregator or None
        ``None`` for the mean.
    updates : Tensor [n, d]
        All rows.
    view : ServerView
        The round; the rule sees its rows only, and f less the rows taken out, capped at what it
        can bear. Where it cannot work even with f = 0, the mean takes its place.
    kept : bool Tensor [n]
        Rows to aggregate.
    state : State or None
        The rule's own.

    Returns
    -------
    Aggregation
        With ``weights`` (zero outside `kept`) where the rule has them, and ``selected``.
    State or None
        The rule's next.
    """
    n_kept = int(kept.sum())
    if not n_kept:
        return Aggregation(torch.zeros_like(updates[0]), selected=kept), state
    f = _bearable(rule, n_kept, view, len(updates) - n_kept)
    if rule is None or f is None:
        weights = kept.to(updates.dtype) / n_kept
        return Aggregation(weights @ updates, weights=weights, selected=kept), state
    rows = updates if n_kept == len(updates) else updates[kept]
    outcome, next_state = rule.aggregate(rows, _view_of_rest(rule, view, kept, f), state)
    traced = Aggregation(
        outcome.aggregate,
        weights=None if outcome.weights is None else _scatter(outcome.weights, kept),
        selected=kept if outcome.selected is None else _scatter(outcome.selected, kept),
    )
    return traced, next_state


def _bearable(rule: Aggregator | None, n_kept: int, view: ServerView, removed: int) -> int | None:
    if rule is None:
        return None
    assumed = max(0, view.f - removed) if Need.F in rule.needs else 0
    return next((f for f in range(assumed, -1, -1) if rule.infeasible(n_kept, f) is None), None)


def _view_of_rest(rule: Aggregator, view: ServerView, kept: Tensor, f: int) -> ServerView:
    changes: dict[str, Any] = {
        "client_ids": tuple(c for c, keep in zip(view.client_ids, kept.tolist(), strict=True) if keep)
    }
    if Need.F in rule.needs:
        changes["f"] = f
    if Need.SAMPLE_COUNTS in rule.needs:
        changes["sample_counts"] = view.sample_counts[kept]
    return view.narrowed(rule.needs, **changes)


def _scatter(values: Tensor, kept: Tensor) -> Tensor:
    full = torch.zeros(len(kept), dtype=values.dtype, device=values.device)
    full[kept] = values
    return full
