"""Composition of pre-aggregators with a rule: ``bucketing(s=2) > nnm > trimmed_mean``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch

from robustbench_fl.api.aggregator import Aggregation, Aggregator, PreAggregator, ServerSpec, ServerView
from robustbench_fl.api.holds import SampleKind
from robustbench_fl.api.mapped import columns_of
from robustbench_fl.api.needs import Need
from robustbench_fl.api.returned import checked_mixing, checked_outcome
from robustbench_fl.api.state import StageStates, State

if TYPE_CHECKING:
    from torch import Tensor

    from robustbench_fl.api.model import Model

_BLOCK = 8192
"""Columns mixed at a time before a coordinate-wise rule."""
_FEW_VALUES = 2**18
"""So few values with a factor a row are mixed at once: a block more would cost more than its numbers."""
_APART = 16
"""Values between the rows of a block that are not used."""
_WHOLE_VECTORS = frozenset({Need.HISTORY, Need.MODEL, Need.ROOT_DATA})
"""Needs whose values are as long as an update."""


@dataclass(frozen=True, kw_only=True)
class Pipeline(Aggregator):
    """Pre-aggregators, then a rule; itself a rule.

    Parameters
    ----------
    stages : tuple of PreAggregator
        Applied from left to right.
    rule : Aggregator
        What aggregates the rows that come out.
    """

    stages: tuple[PreAggregator, ...]
    rule: Aggregator

    @property
    def detector(self) -> bool:  # type: ignore[override]
        """Whether the rule accuses; an accused group accuses all its members."""
        return self.rule.detector

    @property
    def takes(self) -> frozenset[SampleKind]:  # type: ignore[override]
        """As the rule's."""
        return self.rule.takes

    @property
    def trajectories(self) -> bool:  # type: ignore[override]
        """As the rule."""
        return self.rule.trajectories

    @property
    def needs(self) -> frozenset[Need]:
        """The needs of all stages. Raw rows are never mixed: one NaN would reach every row."""
        everything = frozenset[Need]().union(*(s.needs for s in self.stages), self.rule.needs)
        return everything - {Need.RAW}

    def infeasible(self, n_clients: int, f: int) -> str | None:
        """Ask each stage with the number of rows that reaches it."""
        if self.rule.baseline is not None:
            return "a baseline takes no pre-aggregator"
        for stage in self.stages:
            if reason := stage.infeasible(n_clients, f):
                return reason
            n_clients = stage.n_rows(n_clients)
        lost = self.rule.needs & {Need.CLIENT_IDS, Need.SAMPLE_COUNTS}
        if lost and not self._keeps_clients:
            return f"the rule needs {', '.join(sorted(lost))}, which a grouped row does not have"
        return self.rule.infeasible(n_clients, f)

    def refuses(self, model: Model) -> str | None:
        """As the rule does."""
        return self.rule.refuses(model)

    def init_state(self, spec: ServerSpec) -> StageStates:
        """Return one state for each stage and one for the rule."""
        stages = tuple(stage.init_state(spec) for stage in self.stages)
        return StageStates(stages=(*stages, self.rule.init_state(spec)))

    def aggregate(
        self, updates: Tensor, view: ServerView, state: StageStates
    ) -> tuple[Aggregation, StageStates]:
        """Mix the rows stage by stage, aggregate, and trace the outcome back to the clients."""
        rows, states = updates, list[State | None]()
        origin = _Origin()
        mixing: Tensor | None = None
        for index, stage in enumerate(self.stages):
            # Applied only now: what the last stage returns may be applied by blocks below.
            rows = rows if mixing is None else _mix(mixing, rows)
            stage_view = view if self._identified(index) else _without_identity(view)
            asked = stage.mixing(rows, stage_view.narrowed(stage.needs), state.stages[index])
            mixing, stage_state = checked_mixing(stage, asked, rows, state.stages[index])
            states.append(stage_state)
            origin = origin.after(mixing, stage.keeps_clients)
        assert mixing is not None, "a pipeline has at least one stage"
        rule_view = (view if self._keeps_clients else _without_identity(view)).narrowed(self.rule.needs)
        rule_state = state.stages[-1]
        at_once = mixing.ndim == 1 and rows.numel() <= _FEW_VALUES
        if self._by_blocks and rule_state is None and not at_once:
            outcome = self._aggregate_blocks(rows, mixing, rule_view)
        else:
            outcome, rule_state = self._asked(_mix(mixing, rows), rule_view, rule_state)
        return origin.traced(outcome), StageStates(stages=(*states, rule_state))

    @property
    def _keeps_clients(self) -> bool:
        return self._identified(len(self.stages))

    @property
    def _by_blocks(self) -> bool:
        # A memory, a model or root data cover all columns; a block of them would not fit.
        return self.rule.coordinatewise and not self.rule.needs & _WHOLE_VECTORS

    def _identified(self, index: int) -> bool:
        return all(stage.keeps_clients for stage in self.stages[:index])

    def _asked(self, rows: Tensor, view: ServerView, state: State | None) -> tuple[Aggregation, State | None]:
        return checked_outcome(self.rule, self.rule.aggregate(rows, view, state), rows, state)

    def _aggregate_blocks(self, rows: Tensor, mixing: Tensor, view: ServerView) -> Aggregation:
        parts = [self._asked(block, view, None)[0] for block in _mixed_blocks(mixing, rows)]
        # What a coordinate-wise rule says of clients cannot depend on the columns.
        return replace(parts[0], aggregate=torch.cat([part.aggregate for part in parts]))


@dataclass(frozen=True)
class _Origin:
    """What the rows of a stage are made of.

    Parameters
    ----------
    weights : float64 Tensor [rows, n] or [n], optional
        Each row as a weighted sum of the updates, or as a multiple of its own; by default it is its own.
    members : bool Tensor [rows, n], optional
        The clients that each row stands for: a group's members, by default its own. Mixing with
        neighbours changes what is in a row, but not for whom it stands.
    """

    weights: Tensor | None = None
    members: Tensor | None = None

    def after(self, mixing: Tensor, keeps_clients: bool) -> _Origin:
        weights = mixing.double()
        if self.weights is not None:
            diagonal = self.weights.ndim == 1
            weights = weights * self.weights if diagonal else _mix(weights, self.weights)
        if keeps_clients:
            return _Origin(weights, self.members)
        members = torch.eye(mixing.shape[-1]) if self.members is None else self.members
        return _Origin(weights, _mix(mixing != 0, members.to(weights)) > 0)

    def traced(self, outcome: Aggregation) -> Aggregation:
        """Translate weights, and for grouped rows verdicts, to the clients behind the rows.

        Diagnostics belong to rows, so those of grouped rows are dropped.
        """
        weights = outcome.weights
        if weights is not None and self.weights is not None:
            diagonal = self.weights.ndim == 1
            share = weights * self.weights if diagonal else weights.to(self.weights) @ self.weights
            weights = share.to(weights.dtype)
        members = self.members
        if members is None:
            return replace(outcome, weights=weights)
        scores = outcome.scores
        if scores is not None:
            scores = torch.where(members, scores[:, None], -torch.inf).amax(0)
        return Aggregation(
            outcome.aggregate,
            weights=weights,
            selected=_members_of_any(members, outcome.selected),
            rejected=_members_of_any(members, outcome.rejected),
            scores=scores,
        )


def _members_of_any(members: Tensor, flags: Tensor | None) -> Tensor | None:
    return None if flags is None else (members & flags[:, None]).any(0)


def _mixed_blocks(mixing: Tensor, rows: Tensor) -> Iterator[Tensor]:
    """Yield the mixed rows by blocks of columns, each valid until the next is asked for."""
    weights = mixing.to(rows)
    width = min(_BLOCK, rows.shape[1])
    # One buffer for all blocks. Weighted sums are formed transposed, as the rule that follows sorts
    # columns; rows with one factor each are faster left as they lie. (Rows a power of two apart would
    # fall on the same lines of the cache, and be slow to transpose.)
    diagonal = mixing.ndim == 1
    buffer = rows.new_empty((len(mixing), width + _APART) if diagonal else (width, len(mixing)))
    for low in range(0, rows.shape[1], width):
        columns = columns_of(rows, low, low + width)
        if diagonal:
            yield torch.mul(columns, weights[:, None], out=buffer[:, : columns.shape[1]])
        else:
            yield torch.mm(columns.T, weights.T, out=buffer[: columns.shape[1]]).T


def _mix(mixing: Tensor, rows: Tensor) -> Tensor:
    weights = mixing.to(rows)
    return weights[:, None] * rows if mixing.ndim == 1 else weights @ rows


def _without_identity(view: ServerView) -> ServerView:
    taken: dict[str, Any] = {"client_ids": None, "sample_counts": None}
    return view.narrowed(view.needs, **taken)
