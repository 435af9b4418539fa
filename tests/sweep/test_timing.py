"""What finished cells teach about the time of others, in numbers that can be checked by hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from robustbench_fl.core.cell import Cell, Planned
from robustbench_fl.sweep.config import make_sweep
from robustbench_fl.sweep.expand import expand
from robustbench_fl.sweep.timing import ENOUGH, Times, learnt


def cells(**values: object) -> list[Planned]:
    """Return planned cells; mean, none and 10 rounds unless said otherwise."""
    return expand(make_sweep({}, {"aggregator": "mean", "attack": "none", "rounds": 10, **values}))


def finished(
    cell: Cell, working: float, evaluating: float = 0.0, rounds: int | None = None
) -> dict[str, Any]:
    """Return what is stored of `cell` after so many CPU seconds."""
    costs = {"train_seconds": working / 2, "attack_seconds": working / 4, "aggregate_seconds": working / 4}
    return {
        "cell": cell.identity,
        "labels": cell.labels,
        "costs": {**costs, "evaluate_seconds": evaluating},
        "counts": {"rounds": rounds or cell.settings.rounds},
    }


def test_the_median_of_the_same_kind() -> None:
    times = Times()
    seeds = cells(seeds=3)
    assert times.seconds(seeds[0].cell) is None
    for planned, seconds in zip(seeds, (1.0, 9.0, 2.0), strict=True):
        times.learn(finished(planned.cell, seconds))
    assert times.seconds(cells(seeds="77", partition="iid", malicious=0.1, lr=0.2)[0].cell) == 2.0
    for other in ({"aggregator": "krum"}, {"attack": "alie"}, {"clients": 30}, {"model": "logistic"},
                  {"local_epochs": 3}, {"dataset": "synthetic"}, {"participation": 0.5}):  # fmt: skip
        assert times.seconds(cells(**other)[0].cell) is None


def test_other_rounds_count_in_proportion_but_the_same_rounds_win() -> None:
    times = Times()
    times.learn(finished(cells(rounds=10)[0].cell, working=4.0, evaluating=1.0))
    # 25 rounds: 4 s x 2.5 and 25 evaluations of 0.1 s; evaluated every tenth round, 3 of them.
    assert times.seconds(cells(rounds=25)[0].cell) == pytest.approx(10 + 2.5)
    assert times.seconds(cells(rounds=25, eval_every=10)[0].cell) == pytest.approx(10 + 0.3)
    times.learn(finished(cells(rounds=25)[0].cell, working=7.0))
    assert times.seconds(cells(rounds=25)[0].cell) == 7.0
    assert times.seconds(cells(rounds=10)[0].cell) == 5.0


def test_a_cell_that_ended_early_counts_for_the_rounds_it_had() -> None:
    times = Times()
    cell = cells(rounds=10)[0].cell
    times.learn({**finished(cell, 3.0), "costs": None})
    assert times.seconds(cell) is None
    times.learn(finished(cell, working=3.0, rounds=5))
    assert times.seconds(cell) == 6.0


def test_only_some_finished_cells_of_each_kind_are_read() -> None:
    plan = cells(aggregator="mean,krum", seeds=40)
    statuses = {p.cell.key: "done" if p.cell.seed else "failed" for p in plan}
    by_key = {p.cell.key: p.cell for p in plan}
    read: list[str] = []

    def record(key: str) -> Mapping[str, Any]:
        read.append(key)
        return finished(by_key[key], 2.0 if by_key[key].aggregator == "mean" else 6.0)

    times = learnt(plan, statuses, record)
    assert len(read) == 2 * ENOUGH
    assert all(statuses[key] == "done" for key in read)
    assert {times.seconds(p.cell) for p in plan if p.cell.aggregator == "krum"} == {6.0}
    twice: list[str] = list(read)
    read.clear()
    learnt(plan[::-1], statuses, record)
    assert sorted(read) == sorted(twice)
    assert times.seconds(replace(plan[0].cell, attack="alie")) is None
