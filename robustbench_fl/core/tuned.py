"""Tuned rules: the file ``tuned.json``, which parameters and learning rate a pilot picked for each rule.

A tuned rule is written ``tuned > krum``. It is a row of its own in tables, beside ``krum``, and stands for
cells of the picked rule at the picked learning rate; their keys are the ordinary ones.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self

from annotated_types import Ge, Gt
from pydantic import model_validator

from robustbench_fl.core.picks import OfPilot, Strict, read_data

FILE = "tuned.json"
COMMAND = "robustbench-fl pilot FILE.toml --tune"
"""What makes the file."""
_MARK = "tuned > "


def tuned(rule: str) -> str:
    """Return how the tuned `rule` is written.

    Examples
    --------
    >>> tuned("nnm > krum"), untuned("tuned > nnm > krum"), untuned("krum"), is_tuned("krum")
    ('tuned > nnm > krum', 'nnm > krum', 'krum', False)
    """
    return f"{_MARK}{rule}"


def is_tuned(rule: str) -> bool:
    """Whether a text names a tuned rule."""
    return rule.startswith(_MARK)


def untuned(rule: str) -> str:
    """Return the rule that a text names, tuned or not."""
    return rule.removeprefix(_MARK)


class Tuned(Strict):
    """What a tuned rule stands for on one data set."""

    dataset: str
    aggregator: str
    """The rule, as the sweep names it."""
    lr: Annotated[float, Gt(0)]
    """The clients' learning rate in the sweep."""
    picked: str
    """The rule with the picked parameters."""
    picked_lr: Annotated[float, Gt(0)]

    @property
    def place(self) -> tuple[str, str, float]:
        """What it is picked for."""
        return self.dataset, self.aggregator, self.lr


class TunedPick(Tuned):
    """What was picked, and by how much it is better."""

    accuracy: float | None
    """On the validation split: mean over seeds, then over the attacks of a family, families and blocks."""
    untuned_accuracy: float | None
    """Of the rule as the sweep names it; ``None`` where it can nowhere be run."""
    gain: float | None
    error: float | None
    """Standard error of the gain, paired over seeds."""
    edge: list[str]
    """Parameters, and ``lr``, whose pick is the first or last value of its grid."""
    tried: Annotated[int, Ge(0)]
    """Candidates that could be run wherever any of them could."""


class Candidate(Strict):
    """One candidate, in the log."""

    dataset: str
    aggregator: str
    """With its parameters."""
    lr: Annotated[float, Gt(0)]
    accuracy: float


class TunedRules(OfPilot):
    """Everything that tuning picked."""

    picks: list[TunedPick]
    log: list[Candidate]
    """Every candidate that was tried everywhere."""

    @model_validator(mode="after")
    def _one_pick_each(self) -> Self:
        if len({pick.place for pick in self.picks}) < len(self.picks):
            raise ValueError("a rule is picked twice for one data set")
        return self


def read_tuned(path: Path) -> TunedRules:
    """Return the tuned rules that a file holds.

    Raises
    ------
    UsageError
        If it cannot be read, is too large, or holds anything else.
    """
    return read_data(path, TunedRules, "tuned rules", "tuned", COMMAND)
