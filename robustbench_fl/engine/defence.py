"""The server's rule in the hands of an attacker who knows it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from robustbench_fl.api import Aggregation, Aggregator, Defence, FromLengths, FromOrder, State
from robustbench_fl.engine.line_search import Line, Trial
from robustbench_fl.engine.server import ServerRound, finite_rows, full_view, serve


@dataclass(frozen=True, kw_only=True)
class SimulatedDefence(Defence):
    """Answers what the server would do with crafted rows; see :class:`~robustbench_fl.api.Defence`.

    It holds only rows that the attacker knows: all honest ones, or the malicious alone.

    Parameters
    ----------
    rule : Aggregator
        The server's rule with its pre-aggregators.
    state : State or None
        Its state at the start of the round; rules never change a state.
    updates : Tensor [n, d]
        The round's honest updates; the malicious rows are replaced by what is tried.
    malicious : int64 Tensor [m]
        Positions of the malicious rows.
    context : ServerRound
        What the server holds.
    make_rng : callable
        Opens the attacker's stream for the simulation: the same one for every trial.
    hidden : bool array [n], optional
        Rows withheld from a baseline.
    """

    rule: Aggregator
    state: State | None
    updates: Tensor
    malicious: Tensor
    context: ServerRound
    make_rng: Callable[[], np.random.Generator]
    hidden: np.ndarray | None = None

    def aggregate(self, crafted: Tensor) -> Aggregation:
        """Return the rule's answer if the malicious clients sent `crafted` [m, d]."""
        self._trial[self.malicious] = crafted
        verdict, _ = serve(self.rule, self.state, self._trial, self.context, self.make_rng, self.hidden)
        if verdict.aggregation is None:
            return Aggregation(self.updates.new_zeros(self.updates.shape[1]))
        return _own_copy(verdict.aggregation)

    def distance_along(
        self, start: Tensor, direction: Tensor, origin: Tensor, m: int
    ) -> Callable[[float], float]:
        """Return the function that takes x to how far the aggregate comes from `origin`.

        Rules that say how (:mod:`robustbench_fl.api.fast_paths`) get by with numbers for each client
        or coordinate (:class:`~robustbench_fl.engine.line_search.Trial`); the others, and rounds in
        which rows are left out, are asked each time.
        """
        asked = super().distance_along(start, direction, origin, m)
        answers = self._answers()
        if answers is None:
            return asked
        line = Line(
            updates=self.updates, malicious=self.malicious, start=start, direction=direction, origin=origin
        )

        def distance(x: float) -> float:
            trial = Trial(line, x)
            # The server leaves out rows that are not finite: another round, of fewer clients.
            found = answers(trial) if bool(torch.isfinite(trial.sent.sum())) else None
            return asked(x) if found is None else found

        return distance

    def _answers(self) -> Callable[[Trial], float | None] | None:
        """Return how to ask the rule about a trial without rows, ``None`` if it must see them."""
        honest = np.ones(len(self.updates), dtype=bool)
        honest[self.malicious.cpu().numpy()] = False
        if self.state is not None or self.hidden is not None or not finite_rows(self.updates)[honest].all():
            return None
        view = full_view(self.rule, self.context, len(self.updates), self.make_rng)
        if view is None:
            return None
        rule = self.rule
        if isinstance(rule, FromOrder):
            return lambda trial: trial.length_of(lambda columns: rule.ordered_step(columns, view))
        if not isinstance(rule, FromLengths):
            return None

        def weighed(trial: Trial) -> float | None:
            weights = rule.trial_weights(trial, view)
            return None if weights is None else trial.length(weights)

        return weighed

    @cached_property
    def _trial(self) -> Tensor:
        """The rows of one trial after another; new memory for each would cost as much as a fast rule."""
        return self.updates.clone()

    def with_rule(self, rule: Aggregator) -> SimulatedDefence:
        """Return the same simulation with `rule`, which must take the same state."""
        return replace(self, rule=rule)


def _own_copy(answer: Aggregation) -> Aggregation:
    """Return `answer` in memory of its own: a rule may return a row of the trial, which the next changes."""
    copies = {
        field.name: value.clone()
        for field in fields(answer)
        if isinstance(value := getattr(answer, field.name), Tensor)
    }
    diagnostics = {name: values.clone() for name, values in answer.diagnostics.items()}
    return replace(answer, **copies, diagnostics=diagnostics)
