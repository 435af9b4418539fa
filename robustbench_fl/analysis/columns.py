"""Every column of every table, said once: its title, unit, better direction, interval, and where it shows.

Terminal, Markdown, LaTeX, page and figures read it here. CSV and JSON hold raw names and fractions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import pandas as pd

DASH = "–"
"""What stands where there is no value."""
Better = Literal["higher", "lower", ""]
Unit = Literal["", "%", "points", "ms", "MB"]


@dataclass(frozen=True, kw_only=True)
class Column:
    """How people read a column.

    Attributes
    ----------
    title : str
        Without the unit.
    unit : {"", "%", "points", "ms", "MB"}
        ``%`` and ``points`` are stored as fractions and shown times 100.
    better : {"higher", "lower", ""}
        Which values are good for the defender; ``""`` where neither is.
    averaged : bool
        Whether a matrix can average it.
    wide : bool
        Whether a terminal shows it in a leaderboard with ``--wide`` only.
    interval : str
        What the columns of its bounds begin with, where that is not its own name.
    """

    title: str
    unit: Unit = ""
    better: Better = ""
    averaged: bool = False
    wide: bool = False
    interval: str = ""

    @property
    def header(self) -> str:
        """The title with its unit."""
        if self.unit == "%":
            return f"{self.title} %"
        return f"{self.title}, {self.unit}" if self.unit else self.title

    @property
    def is_percent(self) -> bool:
        """Whether stored fractions are shown times 100."""
        return self.unit in ("%", "points")


def _share(title: str, better: Better = "higher", *, wide: bool = False, interval: str = "") -> Column:
    return Column(title=title, unit="%", better=better, wide=wide, interval=interval)


def _points(title: str, better: Better = "lower", *, wide: bool = False) -> Column:
    return Column(title=title, unit="points", better=better, wide=wide)


def _measured(title: str, unit: Unit, better: Better, *, wide: bool = False) -> Column:
    return Column(title=title, unit=unit, better=better, averaged=True, wide=wide)


COLUMNS: Mapping[str, Column] = MappingProxyType(
    {
        # What one cell measures, and a matrix averages.
        "accuracy": _measured("Accuracy", "%", "higher"),
        "accuracy_loss": _measured("Accuracy loss", "points", "lower"),
        "validation_accuracy": _measured("Validation accuracy", "%", "higher"),
        "worst_class_accuracy": _measured("Worst class accuracy", "%", "higher"),
        "accuracy_std": _measured("Accuracy std", "%", "lower"),
        "loss": _measured("Loss", "", "lower"),
        "attack_success": _measured("Attack success", "%", "lower", wide=True),
        "tpr": _measured("TPR", "%", "higher", wide=True),
        "fpr": _measured("FPR", "%", "lower", wide=True),
        "dacc": _measured("DACC", "%", "higher"),
        "auc": _measured("AUC", "%", "higher"),
        "success_after_10": _measured("Success 10 rounds after", "%", "lower"),
        "success_after_20": _measured("Success 20 rounds after", "%", "lower"),
        "recovery_rounds": _measured("Rounds to recover", "", "lower"),
        "client_accuracy": _measured("Client accuracy", "%", "higher"),
        "worst_client_accuracy": _measured("Worst client accuracy", "%", "higher"),
        "round_tpr": _measured("TPR a round", "%", "higher"),
        "round_fpr": _measured("FPR a round", "%", "lower"),
        "lost_clients": _measured("Honest clients lost", "", "lower"),
        "server_ms": _measured("Server time", "ms", "lower"),
        "peak_memory_mb": _measured("Memory", "MB", "lower", wide=True),
        "train_seconds": _measured("Train seconds", "", "lower"),
        "attack_seconds": _measured("Attack seconds", "", "lower"),
        "aggregate_seconds": _measured("Aggregate seconds", "", "lower"),
        "evaluate_seconds": _measured("Evaluate seconds", "", "lower"),
        "non_finite_rows": _measured("Non-finite updates", "", "lower"),
        "kept_model_rounds": _measured("Rounds without a step", "", "lower"),
        "capped_rounds": _measured("Capped rounds", "", ""),
        "underestimated_rounds": _measured("Underestimated rounds", "", ""),
        "honest_clients": _measured("Honest clients", "", ""),
        "malicious_clients": _measured("Malicious clients", "", ""),
        # Leaderboard.
        "track": Column(title="Track"),
        "rank": Column(title="#", better="lower"),
        "worst_accuracy": _share("Worst", interval="worst"),
        "worst_left_out": _share("Worst, left-out pick", wide=True),
        "worst_at_defaults": _share("Worst at defaults"),
        "worst_adaptive": _share("Worst adaptive"),
        "mean_accuracy": _share("Mean", interval="mean"),
        "iqm_accuracy": _share("IQM", wide=True),
        "clean_accuracy": _share("Clean"),
        "defence_tax": _points("Clean-accuracy cost"),
        "max_accuracy_loss": _points("Max loss", wide=True),
        "clean_fpr": _share("Clean FPR", "lower", wide=True),
        "server_ms_attacked": Column(title="Server time attacked", unit="ms", better="lower", wide=True),
        "told": Column(title="Server knows"),
        "tuned_to": Column(title="Tuned to"),
        "diverged": Column(title="Diverged", better="lower", wide=True),
        "imputed": Column(title="Imputed", better="lower", wide=True),
        "loses_most_to": Column(title="Loses most to"),
        # Attacks.
        "mean_drop": _points("Mean drop", ""),
        "plain_drop": _points("Drop of mean", ""),
        "worst_share": _share("Worst for", ""),
        "most_hurt": Column(title="Hurts most"),
        # Costs and detection.
        "server_ms_max": Column(title="Server time, most", unit="ms", better="lower"),
        "times_plain": Column(title="× mean", better="lower"),
        "train_ms": Column(title="Train time", unit="ms", better="lower"),
        "lost_share": _share("Honest clients lost", "lower"),
        # Differences and tests.
        "worst_gain": _points("Worst", "higher"),
        "mean_gain": _points("Mean", "higher"),
        "clean_gain": _points("Clean", "higher"),
        "difference": _points("Difference", ""),
        "score": _share("Score"),
        "verdict": Column(title="Beyond doubt"),
        "seeds_fewest": Column(title="Seeds needed, fewest"),
        "seeds_most": Column(title="Seeds needed, most"),
        "average_rank": Column(title="Average rank", better="lower"),
        "nemenyi_p": Column(title="Nemenyi p"),
        "wilcoxon_p": Column(title="Wilcoxon p"),
        "holm_p": Column(title="Holm p"),
    }
)
"""The columns by name; of others :func:`column` makes the title from the name."""

VALUES = frozenset(name for name, column in COLUMNS.items() if column.averaged)
"""Columns that can be averaged into a matrix."""
JUDGED = frozenset(name for name in VALUES if COLUMNS[name].better)
"""Those of them of which it is known whether higher or lower is better."""
WIDE = frozenset(name for name, column in COLUMNS.items() if column.wide)
"""Columns of a leaderboard that a terminal shows with ``--wide`` only."""
LEAST_FIRST = (
    *("imputed", "diverged", "clean_fpr", "worst_left_out", "iqm_accuracy", "max_accuracy_loss"),
    *("peak_memory_mb", "server_ms_attacked", "fpr", "tpr", "attack_success", "worst_at_defaults"),
    *("coverage", "seeds_most", "seeds_fewest", "server_ms_max", "train_ms", "told", "worst_adaptive"),
    *("defence_tax", "server_ms", "clean_gain", "clean_accuracy", "worst_attack", "note", "mean_accuracy"),
)
"""Columns that a narrow terminal leaves out, the least important first."""
_SIDES = {"_a": "A", "_b": "B", "_delta": "B − A"}
"""Suffixes of the columns of a comparison."""


def column(name: str) -> Column:
    """Return how people read the column `name`.

    Examples
    --------
    >>> column("clean_fpr").header, column("accuracy_delta").header, column("local_steps").header
    ('Clean FPR %', 'B − A, accuracy, points', 'Local steps')
    """
    for suffix, side in _SIDES.items():
        if name.endswith(suffix):
            stem = name.removesuffix(suffix)
            of = column(stem)
            unit = "points" if of.unit == "%" and suffix == "_delta" else of.unit
            return Column(title=f"{side}, {of.title[:1].lower()}{of.title[1:]}", unit=unit, better=of.better)
    return COLUMNS.get(name) or Column(title=name.replace("_", " ").capitalize())


def bounds(name: str) -> tuple[str, str]:
    """Return the names of the columns that hold the interval of `name`.

    Examples
    --------
    >>> bounds("worst_accuracy"), bounds("fpr")
    (('worst_low', 'worst_high'), ('fpr_low', 'fpr_high'))
    """
    start = column(name).interval or name
    return f"{start}_low", f"{start}_high"


def without_bounds(names: Iterable[str]) -> list[str]:
    """Return `names` without the columns that hold the interval of another one."""
    kept = list(names)
    hidden = {bound for name in kept for bound in bounds(name)}
    return [name for name in kept if name not in hidden]


def sign(name: str) -> float:
    """Return 1 where higher is better, −1 where lower is."""
    return 1.0 if column(name).better == "higher" else -1.0


def number(name: str) -> Callable[[float], str]:
    """Return how the numbers of a column are printed; missing is a dash.

    Examples
    --------
    >>> number("accuracy")(0.98765), number("server_ms")(1234.5), number("loss")(float("nan"))
    ('98.8', '1234', '–')
    """
    show = _percent if column(name).is_percent else _plain
    return lambda value: DASH if pd.isna(value) else show(value)


def _percent(value: float) -> str:
    text = f"{100 * value:.1f}"
    return "0.0" if text == "-0.0" else text


def _plain(value: float) -> str:
    if float(value).is_integer():
        return f"{value:.0f}"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
