"""How far seeds lie apart: intervals of means, and bands of curves."""

from __future__ import annotations

import pandas as pd

from robustbench_fl.analysis.inference import mean_interval

_ENTRY = ["aggregator", "attack"]


def seed_intervals(frame: pd.DataFrame, value: str = "accuracy") -> pd.DataFrame:
    """Return the 95 % interval over seeds of the mean of each rule under each attack.

    Parameters
    ----------
    frame : pandas.DataFrame
        The cells of one block, a seed a cell.
    value : str, optional
        The column averaged.

    Returns
    -------
    pandas.DataFrame
        Indexed by ``aggregator`` and ``attack``: ``low`` and ``high`` (t over seeds).
        Entries with one seed are not in it: they have no interval.
    """
    rows = {}
    for entry, values in frame.dropna(subset=[value]).groupby(_ENTRY)[value]:
        if len(values) > 1:
            rows[entry] = mean_interval([[values.to_numpy(dtype=float)]])[1:]
    index = pd.MultiIndex.from_tuples(list(rows), names=_ENTRY)
    return pd.DataFrame(list(rows.values()), index=index, columns=["low", "high"])


def bands(curves: pd.DataFrame, value: str = "accuracy") -> pd.DataFrame:
    """Return mean, lowest and highest seed of every curve at every evaluation.

    Parameters
    ----------
    curves : pandas.DataFrame
        Columns ``aggregator``, ``attack``, ``round`` and `value`, a row for every seed.
    value : str, optional
        What the curves show.

    Returns
    -------
    pandas.DataFrame
        Columns ``attack``, ``aggregator``, ``round``, ``mean``, ``low``, ``high``, ``seeds``;
        evaluations without any value are left out.
    """
    groups = curves.dropna(subset=[value]).groupby(["attack", "aggregator", "round"])[value]
    found = groups.agg(["mean", "min", "max", "count"]).reset_index()
    return found.rename(columns={"min": "low", "max": "high", "count": "seeds"})
