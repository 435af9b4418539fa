"""Ranks with ties: a rule is tied to a leader whose lead is not beyond doubt."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from robustbench_fl.analysis.bootstrap import LEVEL
from robustbench_fl.analysis.estimators import Array

EQUAL = 1e-12


def ranked(score: pd.Series, tied_to: Callable[[str, str], bool]) -> pd.DataFrame:
    """Rank rules by `score`, highest first.

    Parameters
    ----------
    score : pandas.Series
        One finite score for each rule that may be ranked, indexed by rule.
    tied_to : callable
        Whether the first rule's lead over the second is within doubt.

    Returns
    -------
    pandas.DataFrame
        Indexed by rule: ``rank`` (the members of a tie group share the place of its leader, the
        next group counts on: 1, 1, 3) and ``tied``.
    """
    order = sorted(score.index, key=lambda rule: (-score[rule], rule))
    places: dict[str, int] = {}
    leader = ""
    for place, rule in enumerate(order, start=1):
        if leader and tied_to(leader, rule):
            places[rule] = places[leader]
        else:
            leader, places[rule] = rule, place
    rank = pd.Series(places, dtype="Int64")
    return pd.DataFrame({"rank": rank, "tied": rank.duplicated(keep=False)})


def equal_scores(score: pd.Series) -> Callable[[str, str], bool]:
    """Return the tie test for one seed: equal scores only."""
    return lambda first, second: abs(score[first] - score[second]) <= EQUAL


def rank_interval(samples: Array) -> tuple[Array, Array]:
    """Return between which ranks each rule ends in 95 % of the resamples.

    Parameters
    ----------
    samples : array of shape [n_rules, n_resamples]
        Scores, higher is better; all rules share the resamples. Equal scores share the better rank;
        other ties are not grouped here.

    Returns
    -------
    tuple of two int arrays of shape [n_rules]
    """
    from scipy.stats import rankdata

    ranks = rankdata(-np.round(samples, 12), method="min", axis=0)
    shares = [(1 - LEVEL) / 2, (1 + LEVEL) / 2]
    low, high = np.quantile(ranks, shares, axis=1, method="inverted_cdf")
    return low.astype(int), high.astype(int)
