"""Whether the rules differ at all, and which pairs do: Friedman, Nemenyi, Wilcoxon with Holm.

The tests themselves are those of scipy and scikit-posthocs (extra ``stats``).
"""

from __future__ import annotations

import string
from dataclasses import dataclass
from itertools import combinations
from types import ModuleType
from typing import Literal, get_args

import numpy as np
import pandas as pd

from robustbench_fl.analysis import captions
from robustbench_fl.analysis.attack_effect import credited, effects
from robustbench_fl.analysis.blocks import in_blocks
from robustbench_fl.analysis.coverage import beyond_all, counted_cells
from robustbench_fl.analysis.leaderboard import leaderboard
from robustbench_fl.analysis.scores import attacked
from robustbench_fl.analysis.strengths import by_family
from robustbench_fl.analysis.table import Table
from robustbench_fl.core.errors import UsageError, among

ALPHA = 0.05
_DIGITS = 12
Score = Literal["worst", "mean"]
_MEANS = {"worst": "accuracy under the worst attack", "mean": "mean accuracy over attacks"}
FEWEST_UNITS = 6
"""With fewer the tests can hardly see anything, and are refused."""
_UNIT = ["dataset", "partition", "malicious"]


@dataclass(frozen=True)
class Significance(Table):
    """One row a rule, the best average rank first.

    Attributes
    ----------
    pairs : pandas.DataFrame
        One row for each two rules: ``difference`` (mean over units, first − second), ``wins``,
        ``ties``, ``losses``, and the p-values ``nemenyi_p``, ``wilcoxon_p``, ``holm_p``.
    nemenyi : pandas.DataFrame
        The p-values of Nemenyi's test, rules × rules.
    critical_difference : float
        Average ranks closer than this do not differ by Nemenyi's test at 0.05.
    friedman_p : float
        Of the hypothesis that all rules are equally good; NaN if all rules always tie.
    n_units : int
        Units: settings of data set, partition and share of malicious clients.
    """

    pairs: pd.DataFrame
    nemenyi: pd.DataFrame
    critical_difference: float
    friedman_p: float
    n_units: int

    @property
    def pair_table(self) -> Table:
        """The pairs as a table of their own."""
        least = 2.0 ** (1 - self.n_units)
        said = (
            "Difference: first − second, mean over units. Wilcoxon: two-sided signed-rank test, corrected by "
            f"Holm for {len(self.pairs)} pairs; with {self.n_units} units none is below {least:.2g} before.",
        )
        return Table(self.pairs, None, "difference", (*said, *self.sentences[1:]))


def significance(frame: pd.DataFrame, score: Score = "worst") -> Significance:
    """Test whether the rules of a frame differ.

    Parameters
    ----------
    frame : pandas.DataFrame
        As from :func:`robustbench_fl.analysis.frame.frame`.
    score : {"worst", "mean"}, optional
        What is compared in each unit, a unit being a data set with a partition and a share of
        malicious clients: the lowest of the attacks' means over seeds, or the mean that the
        leaderboard gives, over attacks that hurt plain averaging, each family once. Adaptive
        attacks, baselines and rules that lack a unit are left out.

    Returns
    -------
    Significance
        ``average_rank`` (1 is best; equal scores share the mean of their ranks), ``score`` (mean
        over units) and ``group``: rules with a letter in common do not differ by Nemenyi's test.

    Raises
    ------
    UsageError
        If scikit-posthocs is not installed, the score is unknown, or there are fewer than three
        rules or six units.

    References
    ----------
    .. [1] J. Demšar, "Statistical Comparisons of Classifiers over Multiple Data Sets", JMLR 7, 2006,
       Section 3.2.
    .. [2] S. Holm, "A Simple Sequentially Rejective Multiple Test Procedure", Scandinavian Journal
       of Statistics 6, 1979.
    """
    from scipy.stats import friedmanchisquare, studentized_range

    if score not in get_args(Score):
        raise UsageError(f"Unknown score {score!r}. {among(score, get_args(Score))}")
    posthocs = _posthocs()
    cells = counted_cells(frame)
    cells = cells[~beyond_all(cells)] if len(cells) else cells
    units, left_out = _units(cells, score)
    n_units, n_rules = units.shape
    if n_rules < 3 or n_units < FEWEST_UNITS:
        raise UsageError(
            f"The tests need 3 rules and {FEWEST_UNITS} units (data set × partition × share of malicious "
            f"clients) without a hole, found {n_rules} {'rule' if n_rules == 1 else 'rules'} and {n_units} "
            f"{'unit' if n_units == 1 else 'units'}"
            f"{'; left out: ' + ', '.join(left_out) if left_out else ''}. "
            "More seeds are no further units: run more settings, or see robustbench-fl differences DIR."
        )
    ranks = units.rank(axis=1, ascending=False)
    alike = bool((units.nunique(axis=1) == 1).all())
    columns = [units[name].to_numpy() for name in units]
    chi, friedman_p = (np.nan, np.nan) if alike else friedmanchisquare(*columns)
    nemenyi = posthocs.posthoc_nemenyi_friedman(units.reset_index(drop=True))
    spread = studentized_range.ppf(1 - ALPHA, n_rules, np.inf) / np.sqrt(2)
    critical = float(spread * np.sqrt(n_rules * (n_rules + 1) / (6 * n_units)))
    table = pd.DataFrame({"average_rank": ranks.mean(), "score": units.mean()})
    table = table.rename_axis("aggregator").reset_index()
    table = table.sort_values(["average_rank", "aggregator"], ignore_index=True)
    table["group"] = _letters(list(table["aggregator"]), nemenyi)
    sentences = _sentences(cells, units, score, left_out, (float(chi), float(friedman_p), critical))
    pairs = _pairs(units, nemenyi, posthocs)
    return Significance(
        table, None, "average_rank", sentences, pairs, nemenyi, critical, float(friedman_p), n_units
    )


def _posthocs() -> ModuleType:
    try:
        import scikit_posthocs
    except ImportError:
        raise UsageError(
            "Tests of significance need scikit-posthocs. Install it: pip install 'robustbench-fl[stats]'."
        ) from None
    module: ModuleType = scikit_posthocs
    return module


def _units(cells: pd.DataFrame, score: str) -> tuple[pd.DataFrame, list[str]]:
    """Return the scores [units, rules] of the rules that have them all, and the rules left out."""
    rows = attacked(cells)
    rows = in_blocks(rows[rows["ranked"].astype(bool)]) if len(rows) else rows.assign(_block=0)
    whole = rows.groupby("aggregator")["accuracy"].apply(lambda values: bool(values.notna().all()))
    left_out = sorted(whole.index[~whole])
    kept = rows[~rows["aggregator"].isin(left_out)]
    if score == "mean":
        kept = by_family(credited(kept, effects(cells)))
    means = kept.groupby([*_UNIT, "_block", "attack", "aggregator"])["accuracy"].mean().reset_index()
    within = means.groupby([*_UNIT, "_block", "aggregator"])["accuracy"].agg(
        "min" if score == "worst" else "mean"
    )
    units = within.groupby([*_UNIT, "aggregator"]).mean().unstack()
    # Equal accuracies differ by rounding after averaging, and a rank must not hang on that.
    return units.round(_DIGITS).rename_axis(columns=None), left_out


def _letters(ordered: list[str], p_values: pd.DataFrame) -> list[str]:
    """Return letters; rules of which none differs from another share one. `ordered` is best first."""
    groups: list[tuple[int, int]] = []
    for start, rule in enumerate(ordered):
        alike = [place for place in range(start, len(ordered)) if _same(p_values, rule, ordered[place])]
        if not groups or alike[-1] > groups[-1][1]:
            groups.append((start, alike[-1]))
    names = [
        *string.ascii_lowercase,
        *(a + b for a in string.ascii_lowercase for b in string.ascii_lowercase),
    ]
    return [
        "".join(name for name, (low, high) in zip(names, groups, strict=False) if low <= place <= high)
        for place in range(len(ordered))
    ]


def _same(p_values: pd.DataFrame, first: str, second: str) -> bool:
    return bool(p_values.loc[first, second] > ALPHA)


def _pairs(units: pd.DataFrame, nemenyi: pd.DataFrame, posthocs: ModuleType) -> pd.DataFrame:
    long = units.melt(var_name="rule", value_name="score")
    with np.errstate(all="ignore"):
        wilcoxon = posthocs.posthoc_wilcoxon(long, val_col="score", group_col="rule").fillna(1.0)
    rows = [
        {
            "first": first,
            "second": second,
            "difference": gap.mean(),
            "wins": int((gap > 0).sum()),
            "ties": int((gap == 0).sum()),
            "losses": int((gap < 0).sum()),
            "nemenyi_p": float(nemenyi.loc[first, second]),
            "wilcoxon_p": float(wilcoxon.loc[first, second]),
        }
        for first, second in combinations(list(units.mean().sort_values(ascending=False).index), 2)
        for gap in (units[first] - units[second],)
    ]
    table = pd.DataFrame(rows)
    return table.assign(holm_p=_holm(table["wilcoxon_p"]))


def _holm(p_values: pd.Series) -> pd.Series:
    """Return Holm's adjusted p-values: the i-th smallest of m times m − i, never falling, at most 1."""
    ordered = p_values.sort_values()
    factors = np.arange(len(ordered), 0, -1)
    return (ordered * factors).cummax().clip(upper=1.0).reindex(p_values.index)


def _sentences(
    cells: pd.DataFrame,
    units: pd.DataFrame,
    score: str,
    left_out: list[str],
    found: tuple[float, float, float],
) -> tuple[str, ...]:
    chi, p, critical = found
    n_units, n_rules = units.shape
    friedman = f"Friedman: chi² = {chi:.3g}, p = {p:.2g}" if p == p else "Friedman: all rules always tie"
    verdict = "" if p < ALPHA else "; the rules do not differ beyond doubt, so no pair is to be believed"
    return (
        f"Sorted by average_rank over {n_units} units (data set, partition, share of malicious clients), "
        f"{n_rules} rules ranked in each by {_MEANS[score]}, mean over seeds.",
        f"{friedman}{verdict}.",
        f"Nemenyi: average ranks closer than {critical:.2f} do not differ at {ALPHA:g}, "
        "nor do rules that share a letter.",
        _beside_the_leaderboard(cells, units),
        *([f"Left out for lack of cells: {', '.join(left_out)}."] if left_out else []),
        *captions.mixed(cells),
        captions.origin(cells[cells["aggregator"].isin(units.columns)]),
    )


def _beside_the_leaderboard(cells: pd.DataFrame, units: pd.DataFrame) -> str:
    """Say whether the leaderboard has the same rule on top, and if not, why."""
    first = str(units.rank(axis=1, ascending=False).mean().sort_index().idxmin())
    board = leaderboard(cells).table
    board = board[board["aggregator"].isin(units.columns)]
    leader = str(board.loc[board["worst_accuracy"].idxmax(), "aggregator"])
    if leader == first:
        return f"The leaderboard has the same rule on top: {first}."
    return (
        f"The leaderboard has {leader} on top, not {first}: it averages accuracies, so that a large lead in "
        "one setting counts, where ranks count settings won."
    )
