"""What is left of an attack that has ended, from a cell's curves alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

LATER = (10, 20)
"""Rounds after the last poisoned one at which the attack's success is read."""
WITHIN = 0.02
"""Accuracy is back when it is at most so far below what it was before the attack."""
_ROUNDING = 1e-9
"""Two points exactly are two points, whatever the difference of two binary fractions is."""


def durability(
    rounds: Sequence[int],
    accuracy: Sequence[float],
    attack_success: Sequence[float | None],
    start: int,
    stop: int | None,
) -> dict[str, Any]:
    """Return the success of an attack after its end, and how long accuracy takes to come back.

    Parameters
    ----------
    rounds : sequence of int
        Rounds finished at each evaluation, ascending, from 1.
    accuracy, attack_success : sequence
        Of the model then; fractions.
    start, stop : int
        First round of the attack and first round in which it is over, from 0; ``None`` if it never is.

    Returns
    -------
    dict
        ``success_after_10``, ``success_after_20``: the success at the first evaluation so many rounds after
        the last poisoned one. ``recovery_rounds``: rounds from the last poisoned one to the first
        evaluation with an accuracy at most 2 points below that of the last evaluation before the attack.
        ``None`` where the attack does not end, the cell ends before, nothing was evaluated before the
        attack, or accuracy does not come back.

    Examples
    --------
    >>> durability([5, 10, 20, 30], [0.9, 0.5, 0.87, 0.89], [0.0, 1.0, 0.8, 0.2], start=5, stop=10)
    {'success_after_10': 0.8, 'success_after_20': 0.2, 'recovery_rounds': 20}
    """
    found: dict[str, Any] = {f"success_after_{later}": None for later in LATER}
    found["recovery_rounds"] = None
    if stop is None:
        return found
    for later in LATER:
        after = (place for place, round in enumerate(rounds) if round >= stop + later)
        place = next(after, None)
        found[f"success_after_{later}"] = None if place is None else attack_success[place]
    before = [value for round, value in zip(rounds, accuracy, strict=True) if round <= start]
    if before:
        back = (
            round - stop
            for round, value in zip(rounds, accuracy, strict=True)
            if round >= stop and value >= before[-1] - WITHIN - _ROUNDING
        )
        found["recovery_rounds"] = next(back, None)
    return found
