"""The order in which cells run, and the time all of them take."""

from __future__ import annotations

from itertools import groupby

import pytest

from robustbench_fl.core.cell import Cell, World
from robustbench_fl.sweep.config import make_sweep
from robustbench_fl.sweep.expand import expand
from robustbench_fl.sweep.timing import Times, estimate, expected, ordered


class Known(Times):
    """Times by rule, ``None`` for rules not named."""

    def __init__(self, **seconds: float) -> None:
        super().__init__()
        self.given = seconds

    def seconds(self, cell: Cell) -> float | None:
        """Return the time of the cell's rule."""
        return self.given.get(cell.aggregator)


PLAN = expand(
    make_sweep({}, {"aggregator": "mean,krum,median,trimmed_mean", "attack": "alie", "malicious": [0.3, 0.5],
                    "seeds": 3})
)  # fmt: skip


def test_longest_first_and_worlds_together_within_a_factor_of_two() -> None:
    order = ordered(PLAN, Known(mean=5.0, krum=40.0, median=6.0))
    assert sorted(p.cell.key for p in order) == sorted(p.cell.key for p in PLAN)
    classes = ["infeasible" if p.infeasible else p.cell.aggregator for p in order]
    runs = [name for name, _ in groupby(classes)]
    # First what takes no time, then what is not known, then 40 s; mean and median are alike, so each
    # of the three worlds comes once, its two fractions of the dearer rule first.
    assert runs == ["infeasible", "trimmed_mean", "krum", *["median", "mean"] * 3]
    worlds = [p.cell.seed for p in order if p.cell.aggregator in ("mean", "median")]
    assert [seed for seed, _ in groupby(worlds)] == [0, 1, 2]


def test_without_times_the_plan_goes_world_by_world() -> None:
    order = [p for p in ordered(PLAN, Times()) if not p.infeasible]
    worlds = [World.of(p.cell) for p in order]
    assert [world.seed for world, _ in groupby(worlds)] == [0, 1, 2]


def test_weights_of_unknown_cells_are_the_mean_of_the_known() -> None:
    runnable = [p for p in PLAN if not p.infeasible]
    weights = expected(PLAN, Known(mean=2.0, krum=4.0))
    by_rule = {p.cell.aggregator: weights[p.cell.key] for p in runnable}
    n_mean, n_krum = (sum(p.cell.aggregator == rule for p in runnable) for rule in ("mean", "krum"))
    usual = (2.0 * n_mean + 4.0 * n_krum) / (n_mean + n_krum)
    assert by_rule == {"mean": 2.0, "krum": 4.0, "median": usual, "trimmed_mean": usual}
    assert {weights[p.cell.key] for p in PLAN if p.infeasible} == {0.0}
    assert set(expected(runnable, Times()).values()) == {1.0}


def test_time_on_workers_by_hand() -> None:
    cells = expand(make_sweep({}, {"aggregator": "mean,krum,median", "attack": "none", "malicious": 0.2}))
    times = Known(mean=3.0, krum=4.0, median=2.0)
    found = estimate(ordered(cells, times), times, workers=2)
    # krum 4 s; mean 3 s, then median 2 s on the other: 5 s.
    assert (found.cells, found.known, found.cpu_seconds, found.wall_seconds) == (3, 3, 9.0, 5.0)
    assert [(share.aggregator, share.cells, share.seconds) for share in found.shares] == [
        ("krum", 1, 4.0), ("mean", 1, 3.0), ("median", 1, 2.0),
    ]  # fmt: skip
    partly = estimate(cells, Known(krum=4.0), workers=1)
    assert (partly.known, partly.cpu_seconds, partly.wall_seconds) == (1, 12.0, pytest.approx(12.0))
    nothing = estimate(cells, Times(), workers=1)
    assert (nothing.cells, nothing.known, nothing.cpu_seconds) == (3, 0, 0.0)
    assert estimate([], times, workers=4).cells == 0
