"""The synthetic samples that FedREDefense learned in one cell, which is simulated again for them."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from robustbench_fl.api import Aggregation, ServerView
from robustbench_fl.core.cell import Cell
from robustbench_fl.core.errors import UsageError
from robustbench_fl.engine.simulation import Simulation
from robustbench_fl.sweep.runner.environment import Environment
from robustbench_fl.sweep.runner.execute import one_thread, prepared


@dataclass(frozen=True, kw_only=True)
class Learned:
    """What the server learned of one client.

    Parameters
    ----------
    client : int
        Its id.
    malicious : bool
        The truth.
    round : int
        When it was judged last, from 1.
    rejected : bool
        The verdict of that round.
    error : float
        E.
    iterations : int
        How many it took.
    images : float array [b, channels, height, width]
        Synthetic images after the last iteration.
    labels : float array [b, C]
        Their soft labels, each summing to 1.
    """

    client: int
    malicious: bool
    round: int
    rejected: bool
    error: float
    iterations: int
    images: NDArray[np.float32]
    labels: NDArray[np.float32]


def learned_samples(cell: Cell, environment: Environment) -> list[Learned]:
    """Simulate `cell` and return what was learned of one honest and one malicious client.

    Of each kind it is the client with the smallest id that is still trusted, else the one with
    the smallest id among those rejected, with the samples of the attempt that failed.

    Parameters
    ----------
    cell : Cell
        A cell whose rule is FedREDefense, with or without pre-aggregators.
    environment : Environment
        As for :func:`robustbench_fl.sweep.runner.execute.simulate`.

    Returns
    -------
    list of Learned
        Honest first; a kind that is not there is left out.

    Raises
    ------
    UsageError
        If the cell's rule learns no synthetic samples.
    """
    simulation = prepared(cell, environment)
    rule, last = _watch(simulation)
    with one_thread():
        simulation.run()
    found = []
    for malicious in (False, True):
        clients = [client for client in last if simulation.malicious[client] == malicious]
        if clients:
            client = min(clients, key=lambda client: (last[client].rejected, client))
            found.append(_learned(rule, client, malicious, last[client]))
    return found


@dataclass(frozen=True, kw_only=True)
class _Judged:
    """One client's last reconstruction: the verdict, and the samples or what it takes to learn them again.

    Parameters
    ----------
    samples : (Tensor, Tensor) or None
        Images and label logits; the rule forgets those of clients that fail.
    """

    update: Tensor
    view: ServerView
    before: Any
    rejected: bool
    error: float
    iterations: int
    samples: tuple[Tensor, Tensor] | None


def _watch(simulation: Simulation) -> tuple[Any, dict[int, _Judged]]:
    """Make the simulation's rule remember the last judgement of every client; return both."""
    rule: Any = simulation.rule
    judge = getattr(rule, "rule", rule)
    if not (is_dataclass(judge) and hasattr(judge, "unroll_steps")):
        raise UsageError(
            f"The rule of this cell, {simulation.cell.aggregator}, learns no synthetic samples. "
            "Give a cell of fedredefense."
        )
    last: dict[int, _Judged] = {}
    watching = _watching(judge, last)
    simulation.rule = watching if judge is rule else replace(rule, rule=watching)
    return judge, last


def _watching(rule: Any, last: dict[int, _Judged]) -> Any:
    """Return a rule that does what `rule` does and writes down who was judged.

    An attacker who simulates the rule writes here too, but the server, which comes after, has
    the last word in every round. Being of a derived class, it may be copied with other parameters.
    """

    class Watching(type(rule)):  # type: ignore[misc]
        def aggregate(self, updates: Tensor, view: ServerView, state: Any) -> tuple[Aggregation, Any]:
            outcome, after = super().aggregate(updates, view, state)
            # The first images are drawn in the first round; they are not in the state before it.
            before = replace(state, initial=after.initial, spare=after.spare)
            errors, iterations = (outcome.diagnostics[name].tolist() for name in ("error", "iterations"))
            for row, client in enumerate(view.client_ids):
                if iterations[row] > 0 and math.isfinite(errors[row]):
                    known = client in after.images
                    last[client] = _Judged(
                        update=updates[row].clone(),
                        view=view,
                        before=before,
                        rejected=bool(outcome.rejected[row]),
                        error=errors[row],
                        iterations=int(iterations[row]),
                        samples=(after.images[client], after.labels[client]) if known else None,
                    )
            return outcome, after

    return Watching(**{field.name: getattr(rule, field.name) for field in fields(rule)})


def _learned_again(rule: Any, client: int, judged: _Judged) -> tuple[Tensor, Tensor]:
    """Return images and label logits of a client that failed: reconstruct it again, and accept it.

    Who fails has used the whole budget, as without early stop.
    """
    before = judged.before
    if rule.restart:
        images = {c: image for c, image in before.images.items() if c != client}
        before = replace(before, initial=before.spare, images=images)
    accepting = replace(rule, threshold=math.inf, early_stop=False, restart=False, rest="mean")
    view = judged.view.narrowed(judged.view.needs, client_ids=(client,))
    _, after = accepting.aggregate(judged.update[None], view, replace(before, banned={}))
    return after.images[client], after.labels[client]


def _learned(rule: Any, client: int, malicious: bool, judged: _Judged) -> Learned:
    images, labels = judged.samples or _learned_again(rule, client, judged)
    return Learned(
        client=client,
        malicious=malicious,
        round=judged.view.round + 1,
        rejected=judged.rejected,
        error=judged.error,
        iterations=judged.iterations,
        images=images.float().cpu().numpy(),
        labels=labels.float().softmax(-1).cpu().numpy(),
    )
