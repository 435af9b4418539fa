"""Accuracy and attack success over rounds, as a long frame."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

_VALUES = ("accuracy", "attack_success")


def attack_ends(records: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """Return, for every attack that ends before its cells do, the rounds finished with the last poisoned one.

    Parameters
    ----------
    records : iterable of mappings
        Cell records as plain data.

    Returns
    -------
    dict of str to int
        By the attack's text; its parameter ``stop``.
    """
    found = {}
    for record in records:
        attack = record["cell"].get("attack")
        params = (attack.get("params") if isinstance(attack, Mapping) else None) or {}
        stop, rounds = params.get("stop"), record["cell"].get("rounds")
        if isinstance(stop, int) and isinstance(rounds, int) and stop < rounds:
            found[record["labels"]["attack"]] = stop
    return found


def curves(records: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """Return one row for every evaluation of every cell that has a curve.

    Parameters
    ----------
    records : iterable of mappings
        Cell records as plain data.

    Returns
    -------
    pandas.DataFrame
        Columns ``key``, ``round`` (rounds finished, from 1), ``accuracy`` and ``attack_success``
        (fractions, NaN where an attack has no such thing); join on ``key`` with
        :func:`robustbench_fl.analysis.frame` for the settings.
    """
    parts = [
        pd.DataFrame({"key": record["key"]} | {name: curve[name] for name in ("round", *_VALUES)})
        for record in records
        if (curve := record.get("curves"))
    ]
    if not parts:
        return pd.DataFrame({name: [] for name in ("key", "round", *_VALUES)})
    return pd.concat(parts, ignore_index=True).astype(dict.fromkeys(_VALUES, "float64"))
