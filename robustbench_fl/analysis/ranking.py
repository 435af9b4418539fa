"""Ranks with ties: a rule is tied to a leader whose lead is not beyond doubt."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from robustbench_fl.analysis.picks import Array

ENOUGH_SEEDS = 5
"""With fewer seeds nothing is ranked: hardly any difference can be told from chance."""


def ranked(score: pd.Series, better: Array, rules: Sequence[str]) -> pd.DataFrame:
    """Rank rules by `score`, highest first.

    Parameters
    ----------
    score : pandas.Series
        One finite score for each rule that may be ranked, indexed by rule.
    better : array of shape [n_rules, n_rules]
        As from :func:`robustbench_fl.analysis.inference.pairwise`.
    rules : sequence of str
        The axes of `better`; all of `score` among them.

    Returns
    -------
    pandas.DataFrame
        Indexed by rule: ``rank`` (the members of a tie group share the place of its leader, the
        next group counts on: 1, 1, 3), ``tied``, and ``rank_low``, ``rank_high``: the places that
        the tests leave open, one more than the rules that are surely better, and all but those
        that are surely worse.
    """
    table = pd.DataFrame(better, index=list(rules), columns=list(rules)).loc[score.index, score.index]
    order = sorted(score.index, key=lambda rule: (-score[rule], rule))
    places: dict[str, int] = {}
    leader = ""
    for place, rule in enumerate(order, start=1):
        if leader and table.at[leader, rule] != 1:
            places[rule] = places[leader]
        else:
            leader, places[rule] = rule, place
    rank = pd.Series(places, dtype="Int64")
    low, high = 1 + (table == 1).sum(axis=0), len(order) - (table == 1).sum(axis=1)
    ends = {"rank_low": low.astype("Int64"), "rank_high": high.astype("Int64")}
    return pd.DataFrame({"rank": rank, "tied": rank.duplicated(keep=False), **ends})
