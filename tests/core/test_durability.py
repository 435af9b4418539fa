"""What is left of an attack after its end."""

from __future__ import annotations

from robustbench_fl.core.durability import durability

ROUNDS = list(range(5, 55, 5))
ACCURACY = [0.8, 0.9, 0.5, 0.4, 0.7, 0.87, 0.88, 0.9, 0.9, 0.9]
SUCCESS = [0.0, 0.1, 0.9, 1.0, 0.9, 0.8, 0.6, 0.4, 0.2, 0.1]


def test_by_hand() -> None:
    # Poisoned from round 10 to round 19 (from 0): twenty rounds are then finished.
    found = durability(ROUNDS, ACCURACY, SUCCESS, start=10, stop=20)
    assert found == {"success_after_10": 0.8, "success_after_20": 0.4, "recovery_rounds": 15}


def test_the_first_evaluation_at_least_so_late_counts() -> None:
    found = durability(ROUNDS, ACCURACY, SUCCESS, start=10, stop=23)
    assert (found["success_after_10"], found["success_after_20"]) == (0.6, 0.2)
    assert found["recovery_rounds"] == 12  # at 35; at 30 accuracy is 3 points below the 90 % at round 10


def test_where_nothing_can_be_said() -> None:
    nothing = {"success_after_10": None, "success_after_20": None, "recovery_rounds": None}
    assert durability(ROUNDS, ACCURACY, SUCCESS, start=10, stop=None) == nothing
    assert durability(ROUNDS, ACCURACY, SUCCESS, start=10, stop=90) == nothing
    assert durability(ROUNDS, ACCURACY, [None] * 10, start=0, stop=20) == nothing  # no accuracy before it
    assert durability(ROUNDS, [0.9, 0.9, *[0.5] * 8], SUCCESS, start=10, stop=20)["recovery_rounds"] is None
    assert durability(ROUNDS, ACCURACY, SUCCESS, start=10, stop=40)["success_after_20"] is None


def test_two_points_exactly_are_within_two_points() -> None:
    assert 0.05 - 0.02 > 0.03  # as binary fractions
    assert durability([1, 2, 3], [0.05, 0.01, 0.03], [None] * 3, start=1, stop=2)["recovery_rounds"] == 1
