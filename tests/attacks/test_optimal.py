from __future__ import annotations

import numpy as np
import pytest
import torch

from robustbench_fl.api import Aggregation, Defence, Knowledge, build
from robustbench_fl.attacks.optimal import line_search
from robustbench_fl.core.errors import UndeclaredAccess


class Rule(Defence):
    """A defence that answers by a function of crafted rows, and keeps what it was asked."""

    def __init__(self, world, answer) -> None:
        self.world, self.answer, self.asked = world, answer, []

    def aggregate(self, crafted: torch.Tensor) -> Aggregation:
        self.asked.append(crafted.clone())
        return Aggregation(self.answer(torch.cat([crafted, self.world.honest])))


class TestLineSearch:
    def tried(self, value, evaluations: int = 16) -> tuple[list[float], float]:
        points: list[float] = []
        best, best_value = line_search(lambda x: points.append(x) or value(x), evaluations)
        assert best_value == max(v for v in map(value, points) if np.isfinite(v))
        assert len(points) == evaluations
        return points, best

    def test_expansion_doubles_the_step_while_better(self) -> None:
        points, best = self.tried(lambda x: x, 6)
        assert points == [0, 10, 30, 70, 150, 310]
        assert best == 310

    def test_contraction_tries_both_sides(self) -> None:
        points, _ = self.tried(lambda x: -abs(x - 30), 7)
        # Best 30 with a step of 40; below lies 10 at distance 20.
        assert points == pytest.approx([0, 10, 30, 70, 30 - 32 / 2, 30 + 25.6, 30 - 20.48 / 2])

    @pytest.mark.parametrize("peak", [0.9, 3.0, 12.0, 47.0, 1000.0])
    def test_it_comes_near_a_peak(self, peak: float) -> None:
        points, best = self.tried(lambda x: -abs(x - peak), 20)
        assert best == pytest.approx(peak, rel=0.2)
        assert min(points) >= 0

    def test_no_point_is_tried_twice(self) -> None:
        for peak in (0.0, 1.0, 9.0, 33.0, 400.0):
            points, _ = self.tried(lambda x, peak=peak: -((x - peak) ** 2), 20)
            assert len(set(points)) == 20

    def test_values_that_are_not_finite_are_the_worst(self) -> None:
        _, best = self.tried(lambda x: np.nan if x > 5 else x)
        assert 0 < best <= 5

    def test_staying_is_possible(self) -> None:
        assert self.tried(lambda x: -x)[1] == 0


def test_alie_against_a_clipped_mean_finds_the_edge(make_round) -> None:
    # x̄ = 0, σ = 1; rows above 25 in magnitude are ignored, so sending −25 is the best.
    world = make_round([[9.0]], [[-1.0], [0.0], [1.0]])
    rule = Rule(world, lambda rows: torch.where(rows.abs() <= 25, rows, 0).mean(0))
    rows = world.craft(build.make("attacks", "optimal"), defence=rule)
    assert len(rule.asked) == 16
    assert rule.asked[0].tolist() == [[0]]
    assert rule.asked[1].tolist() == [[-10]]
    assert -25 <= float(rows) < -20
    damages = [float(rule.answer(torch.cat([a, world.honest])).abs()) for a in rule.asked]
    assert float(rule.answer(torch.cat([rows, world.honest])).abs()) == max(damages)


def test_ipm_moves_along_the_negated_mean(make_round) -> None:
    world = make_round([[9.0, 9.0]] * 2, [[1.0, 2.0], [3.0, 6.0]])
    rule = Rule(world, lambda rows: rows.mean(0))
    rows = world.craft(build.make("attacks", "optimal(direction=ipm, evaluations=3)"), defence=rule)
    # The plain mean follows for ever: 0, 10, 30 times minus (2, 4).
    assert [a.tolist() for a in rule.asked] == [
        [[0, 0]] * 2,
        [[-20, -40]] * 2,
        [[-60, -120]] * 2,
    ]
    assert rows.tolist() == [[-60, -120]] * 2


def test_damage_is_measured_from_the_honest_mean(make_round) -> None:
    # The rule answers with the crafted row down to −20 and with 60 beyond: 10 from the honest mean
    # of 50, but farther from 0 than −20 is.
    world = make_round([[9.0]], [[49.0], [51.0]])
    rule = Rule(world, lambda rows: torch.where(rows[0] >= -20, rows[0], torch.full((1,), 60.0)))
    rows = world.craft(build.make("attacks", "optimal(direction=ipm, evaluations=20)"), defence=rule)
    assert -20 <= float(rows) < -10


def test_it_declares_what_it_uses(random_round) -> None:
    attack = build.make("attacks", "optimal")
    assert attack.knowledge == Knowledge.ALL
    assert attack.knows_defence
    assert attack.adaptive
    with pytest.raises(UndeclaredAccess, match="knows_defence"):
        random_round.craft(attack)
