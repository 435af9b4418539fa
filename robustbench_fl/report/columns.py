"""How people read a column: its header and how its numbers are printed."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd

DASH = "–"
_PERCENT = frozenset(
    {
        *("accuracy", "accuracy_std", "validation_accuracy", "worst_class_accuracy", "attack_success"),
        *("tpr", "fpr", "dacc", "auc", "round_tpr", "round_fpr", "clean_fpr"),
        *("worst_accuracy", "worst_accuracy_honest", "worst_adaptive", "mean_accuracy", "clean_accuracy"),
        *("defence_tax", "drop", "iqm_accuracy", "max_accuracy_loss"),
        *("mean_drop", "plain_drop", "worst_share", "lost_share"),
        *("worst_gain", "mean_gain", "clean_gain", "difference", "score"),
    }
)
_HEADERS = {
    "rank": "#",
    "aggregator": "Aggregator",
    "attack": "Attack",
    "worst_accuracy_honest": "Worst, honest %",
    "worst_accuracy": "Worst %",
    "worst_attack": "Worst attack",
    "worst_adaptive": "Worst adaptive %",
    "mean_accuracy": "Mean %",
    "iqm_accuracy": "IQM %",
    "max_accuracy_loss": "Max loss, points",
    "clean_accuracy": "Clean %",
    "defence_tax": "Tax, points",
    "attack_success": "Attack success %",
    "tpr": "TPR %",
    "fpr": "FPR %",
    "clean_fpr": "Clean FPR %",
    "mean_drop": "Mean drop, points",
    "plain_drop": "Drop of mean, points",
    "worst_share": "Worst for %",
    "most_hurt": "Hurts most",
    "worst_gain": "Worst, points",
    "mean_gain": "Mean, points",
    "clean_gain": "Clean, points",
    "difference": "Difference, points",
    "nemenyi_p": "Nemenyi p",
    "wilcoxon_p": "Wilcoxon p",
    "holm_p": "Holm p",
    "dacc": "DACC %",
    "auc": "AUC %",
    "round_tpr": "TPR a round %",
    "round_fpr": "FPR a round %",
    "lost_clients": "Honest lost",
    "lost_share": "Honest lost %",
    "server_ms": "Server ms",
    "server_ms_max": "Server ms, most",
    "times_plain": "× mean",
    "train_ms": "Train ms",
    "server_ms_attacked": "Server ms, attacked",
    "peak_memory_mb": "Memory MB",
    "told": "Told",
}


_SIDES = {"_a": "A", "_b": "B", "_delta": "B − A"}
"""Suffixes of the columns of a comparison."""


def header(name: str) -> str:
    """Return the header of a column for people.

    Examples
    --------
    >>> header("clean_fpr"), header("validation_accuracy"), header("local_steps")
    ('Clean FPR %', 'Validation accuracy %', 'Local steps')
    """
    stem, side = _side(name)
    if side:
        unit = "" if stem not in _PERCENT else ", points" if side == _SIDES["_delta"] else " %"
        return f"{side}, {stem.replace('_', ' ')}{unit}"
    plain = name.replace("_", " ").capitalize() + (" %" if name in _PERCENT else "")
    return _HEADERS.get(name, plain)


def is_percent(name: str) -> bool:
    """Return whether a column holds fractions that people read as percentages."""
    return _side(name)[0] in _PERCENT


def _side(name: str) -> tuple[str, str]:
    """Return ``("accuracy", "B − A")`` for ``"accuracy_delta"``, ``(name, "")`` for other columns."""
    for suffix, side in _SIDES.items():
        if name.endswith(suffix):
            return name.removesuffix(suffix), side
    return name, ""


def number(name: str) -> Callable[[float], str]:
    """Return how the numbers of a column are printed; missing is a dash.

    Examples
    --------
    >>> number("accuracy")(0.98765), number("server_ms")(1234.5), number("loss")(float("nan"))
    ('98.8', '1234', '–')
    """
    show = _percent if is_percent(name) else _plain
    return lambda value: DASH if pd.isna(value) else show(value)


def _percent(value: float) -> str:
    text = f"{100 * value:.1f}"
    return "0.0" if text == "-0.0" else text


def _plain(value: float) -> str:
    if float(value).is_integer():
        return f"{value:.0f}"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
