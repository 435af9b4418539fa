"""Tuned rules: the file ``tuned.json``, which parameters and learning rate a pilot picked for each rule.

A tuned rule is written ``tuned > krum``. It is a row of its own in tables, beside ``krum``, and stands for
cells of the picked rule at the picked learning rate; their keys are the ordinary ones.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from annotated_types import Ge, Gt, Lt
from pydantic import model_validator

from robustbench_fl.core.files import write_atomically
from robustbench_fl.core.picks import FEWEST_SEEDS, Strict, read_data
from robustbench_fl.core.settings import LARGEST_SEED

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


class TunedRules(Strict):
    """Everything that tuning picked."""

    schema_version: Literal[1] = 1
    version: str
    """Of this package, when the picks were made."""
    engine: int
    """Version of the simulation's numbers, :data:`robustbench_fl.core.cell.ENGINE_VERSION`."""
    sweep: str
    """Name of the sweep that was tuned for."""
    seeds: list[Annotated[int, Ge(0), Lt(LARGEST_SEED)]]
    """The pilot seeds, of which no result may be reported."""
    cells: str
    """First 12 hex digits of the SHA-256 of the pilot cells' sorted keys, a line each."""
    picks: list[TunedPick]
    log: list[Candidate]
    """Every candidate that was tried everywhere."""

    @model_validator(mode="after")
    def _one_pick_each(self) -> Self:
        if len(set(self.seeds)) < FEWEST_SEEDS:
            raise ValueError(f"fewer than {FEWEST_SEEDS} pilot seeds")
        if len({pick.place for pick in self.picks}) < len(self.picks):
            raise ValueError("a rule is picked twice for one data set")
        return self


def write_tuned(path: Path, found: TunedRules) -> None:
    """Write `found` to `path` at once or not at all.

    Raises
    ------
    WriteError
        If the folder cannot be written.
    """
    write_atomically(path, found.model_dump_json(indent=1).encode() + b"\n")


def read_tuned(path: Path) -> TunedRules:
    """Return the tuned rules that a file holds.

    Raises
    ------
    UsageError
        If it cannot be read, is too large, or holds anything else.
    """
    return read_data(path, TunedRules, "tuned rules", "tuned", COMMAND)
