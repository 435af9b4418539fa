"""A rule that is the parameter of another rule."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import torch

from robustbench_fl.api import Aggregation, Aggregator, InfeasibleError, Need, ServerSpec, ServerView

if TYPE_CHECKING:
    from torch import Tensor

_PASSED_ON = frozenset({Need.F, Need.SAMPLE_COUNTS})
"""What a rule may need that is asked about some of the clients: no memory, no model, no root data."""


@cache
def inner_rule(text: str, parameter: str) -> Aggregator:
    """Return the rule that `text` describes.

    Parameters
    ----------
    text : str
        A registered rule, maybe after pre-aggregators, as ``"nnm > trimmed_mean"``.
    parameter : str
        Name of the parameter that holds it, for the error message.

    Raises
    ------
    UsageError
        If there is no such rule.
    """
    # Only here: building methods stands above their files.
    from robustbench_fl.api import make

    rule: Aggregator = make("aggregators", text, parameter)
    return rule


def check_inner(text: str) -> None:
    """Refuse a rule that cannot be asked about some of the clients.

    Raises
    ------
    ValueError
        If it needs more than f and sample counts, or is a baseline.
    """
    rule = inner_rule(text, "inner")
    if beyond := rule.needs - _PASSED_ON:
        raise ValueError(f"inner={text} needs {', '.join(sorted(beyond))}, which is not passed on")
    if rule.baseline is not None:
        raise ValueError(f"inner={text} is a baseline, not a rule")


def asked_about(text: str, updates: Tensor, kept: Tensor, view: ServerView) -> Aggregation:
    """Return what the rule `text` makes of some of the clients.

    Parameters
    ----------
    text : str
        A rule that :func:`check_inner` lets pass.
    updates : Tensor [n, d]
        One row a client.
    kept : bool Tensor [n]
        Who is left; f less the number of the others, at least 0, is passed on.
    view : ServerView
        Of the round.

    Returns
    -------
    Aggregation
        For all n clients, the others with weight 0 and not selected. The zero step if nobody is left.

    Raises
    ------
    InfeasibleError
        If the rule cannot work with those who are left.
    """
    rule = inner_rule(text, "inner")
    n_left = int(kept.sum())
    if not n_left:
        return Aggregation(torch.zeros_like(updates[0]), selected=kept)
    rows = updates if n_left == len(updates) else updates[kept]
    given: dict[str, Any] = {}
    f = 0
    if Need.F in rule.needs:
        given["f"] = f = max(0, view.f - (len(updates) - n_left))
    if Need.SAMPLE_COUNTS in rule.needs:
        given["sample_counts"] = view.sample_counts[kept]
    if reason := rule.infeasible(n_left, f):
        raise InfeasibleError(f"{text}: {reason} (n = {n_left}, f = {f}).")
    spec = ServerSpec(
        n_clients=n_left,
        n_params=updates.shape[1],
        layer_shapes=view.layer_shapes,
        device=updates.device.type,
    )
    found, _ = rule.aggregate(rows, view.narrowed(rule.needs, **given), rule.init_state(spec))
    weights = None
    if found.weights is not None:
        weights = updates.new_zeros(len(updates))
        weights[kept] = found.weights.to(updates.dtype)
    return Aggregation(found.aggregate, weights=weights, selected=kept)
