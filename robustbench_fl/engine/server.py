"""One step of the server: screen the rows, build the rule's view, aggregate."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from robustbench_fl.api import Aggregation, Aggregator, ClientRecipe, Need, RootData, ServerView, State
from robustbench_fl.api.mapped import columns_of, in_file
from robustbench_fl.api.model import LayerShapes, Model
from robustbench_fl.api.returned import checked_outcome


@dataclass(frozen=True, kw_only=True)
class ServerRound:
    """What the server holds in one round, whatever the rule may know of it.

    Parameters
    ----------
    round : int
        From 0.
    assumed_f : int or None
        Assumed number of malicious participants; ``None`` where the server assumes nothing.
    client_ids : tuple of int or None
        Sender of each row.
    sample_counts : Tensor [n] or None
        Samples of each sender.
    model : Model or None
        The network.
    params : Tensor [d] or None
        Global parameters.
    last_step : Tensor [d] or None
        Their change in the round before.
    root : RootData or None
        The server's clean data.
    recipe : ClientRecipe, optional
        The clients' training.
    layer_shapes : tuple of (str, tuple of int), optional
        Names and shapes of the parameter tensors, where there is no `model` that tells them.
    """

    round: int
    assumed_f: int | None
    client_ids: tuple[int, ...] | None
    sample_counts: Tensor | None
    model: Model | None
    params: Tensor | None
    last_step: Tensor | None
    root: RootData | None
    recipe: ClientRecipe | None = None
    layer_shapes: LayerShapes = ()


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What came out of one round.

    Parameters
    ----------
    aggregation : Aggregation or None
        The rule's answer on the rows it saw; ``None`` if it could not be asked.
    seen : bool array [n]
        Rows that reached the rule.
    f : int or None
        The f it was given.
    capped : bool
        Whether that is less than what the server assumed.
    """

    aggregation: Aggregation | None
    seen: np.ndarray
    f: int | None
    capped: bool

    @property
    def keeps_model(self) -> bool:
        """Whether the model is left as it was: nothing was aggregated, or nothing came of it."""
        return self.aggregation is None or not bool(self.aggregation.aggregate.any())


Chosen = Callable[[Tensor], Tensor]
"""Takes the places [k] of rows to these rows [k, d]."""


def serve(
    rule: Aggregator,
    state: State | None,
    updates: Tensor,
    context: ServerRound,
    make_rng: Callable[[], np.random.Generator],
    hidden: np.ndarray | None = None,
    chosen: Chosen | None = None,
) -> tuple[Verdict, State | None]:
    """Ask `rule` for the aggregate of one round.

    Rows with NaN or Inf are dropped first, each on its own, unless the rule declares
    ``Need.RAW``. If the rule cannot bear the assumed f with the rows left, f is lowered; if it
    cannot work even with f = 0, or no row is left, it is not asked.

    Parameters
    ----------
    rule : Aggregator
        The rule.
    state : State or None
        Its state.
    updates : Tensor [n, d]
        What the participants sent.
    context : ServerRound
        What the server holds.
    make_rng : callable
        Opens the server's stream of this round.
    hidden : bool array [n], optional
        Rows withheld from the rule (the malicious ones, for ``oracle_mean``).
    chosen : callable, optional
        Copies rows of `updates`, where not all of them are seen; in memory by default.

    Returns
    -------
    Verdict
        The outcome.
    State or None
        The rule's next state; unchanged if it was not asked.

    Raises
    ------
    WrongReturn
        If the rule returns something else than an outcome and a state.
    """
    seen = np.ones(len(updates), dtype=bool) if hidden is None else ~hidden
    if Need.RAW not in rule.needs:
        seen &= finite_rows(updates)
    n = int(seen.sum())
    f, capped = _bearable(rule, n, context.assumed_f)
    if n == 0 or f is _IMPOSSIBLE:
        return Verdict(aggregation=None, seen=seen, f=None, capped=False), state
    rows = updates
    if not seen.all():
        places = torch.from_numpy(np.flatnonzero(seen)).to(updates.device)
        rows = updates[places] if chosen is None else chosen(places)
    view = _view(rule.needs, context, seen, f, make_rng())
    aggregation, new_state = checked_outcome(rule, rule.aggregate(rows, view, state), rows, state)
    return Verdict(aggregation=aggregation, seen=seen, f=f, capped=capped), new_state


def full_view(
    rule: Aggregator, context: ServerRound, n: int, make_rng: Callable[[], np.random.Generator]
) -> ServerView | None:
    """Return what `rule` sees in a round in which all `n` rows reach it, ``None`` if it cannot work."""
    f, _ = _bearable(rule, n, context.assumed_f)
    return None if f is _IMPOSSIBLE else _view(rule.needs, context, np.ones(n, dtype=bool), f, make_rng())


def finite_rows(updates: Tensor) -> np.ndarray:
    """Return which rows of `updates` [n, d] hold neither NaN nor Inf, as a bool array [n]."""
    # NaN and Inf never leave a sum again. Finite values may overflow in float32, so what is not
    # finite there is summed once more in float64, which takes five times as long.
    flags = torch.isfinite(_row_sums(updates))
    for row in (~flags).nonzero()[:, 0].tolist():
        flags[row] = torch.isfinite(updates[row].sum(dtype=torch.float64))
    found: np.ndarray = flags.cpu().numpy()
    return found


def _row_sums(updates: Tensor) -> Tensor:
    if not in_file(updates):
        return updates.sum(1)
    blocks = range(0, updates.shape[1], _COLUMNS)
    return torch.stack([columns_of(updates, low, low + _COLUMNS).sum(1) for low in blocks]).sum(0)


_COLUMNS = 2**15
"""Columns read at a time of updates in a file."""
_IMPOSSIBLE = -1


def _bearable(rule: Aggregator, n: int, assumed: int | None) -> tuple[int | None, bool]:
    """Return the largest f up to `assumed` that the rule can bear with `n` rows, and whether it is less."""
    if Need.F not in rule.needs:
        return (_IMPOSSIBLE if rule.infeasible(n, 0) else None), False
    assert assumed is not None
    f = min(assumed, n)
    while f >= 0 and rule.infeasible(n, f):
        f -= 1
    return f, f < assumed


def _view(
    needs: frozenset[Need], context: ServerRound, seen: np.ndarray, f: int | None, rng: np.random.Generator
) -> ServerView:
    rows = np.flatnonzero(seen)
    ids, counts, model = context.client_ids, context.sample_counts, context.model
    gated: dict[str, Any] = {
        "f": f,
        "root": context.root,
        "recipe": context.recipe,
        "model": model,
        "params": context.params,
        "client_ids": None if ids is None else tuple(ids[row] for row in rows),
        "sample_counts": None if counts is None else counts[torch.from_numpy(rows).to(counts.device)],
    }
    given = {name: value for name, value in gated.items() if value is not None}
    return ServerView(
        needs,
        round=context.round,
        rng=rng,
        layer_shapes=context.layer_shapes if model is None else model.layer_shapes,
        last_step=context.last_step,
        **given,
    )
