"""The leaderboard: one row a rule, its worst case beside its mean, its costs and its coverage."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd

from robustbench_fl.analysis import bootstrap, captions
from robustbench_fl.analysis.attack_effect import PLAIN, effects
from robustbench_fl.analysis.blocks import CLEAN, completed, in_blocks
from robustbench_fl.analysis.columns import bounds
from robustbench_fl.analysis.coverage import Missing, check_policy, coverage, imputed, only_counted
from robustbench_fl.analysis.invariants import check_detection, check_worst_below_mean
from robustbench_fl.analysis.ranking import equal_scores, rank_interval, ranked
from robustbench_fl.analysis.scores import (
    Resampled,
    attacked,
    block_means,
    clean,
    interquartile_means,
    over_blocks,
    resample,
    worst_attacks,
)
from robustbench_fl.analysis.table import Table
from robustbench_fl.core.errors import UsageError

WORST, HONEST, MEAN, IQM = "worst_accuracy", "worst_accuracy_honest", "mean_accuracy", "iqm_accuracy"
SCORES = (WORST, MEAN, HONEST, IQM)
BASELINE = "baseline"
"""The note of a rule that is shown for comparison and never ranked."""
COLUMNS = (
    "rank",
    "tied",
    "rank_low",
    "rank_high",
    "aggregator",
    HONEST,
    "honest_low",
    "honest_high",
    WORST,
    "worst_low",
    "worst_high",
    "worst_attack",
    "worst_adaptive",
    MEAN,
    "mean_low",
    "mean_high",
    IQM,
    "iqm_low",
    "iqm_high",
    "clean_accuracy",
    "defence_tax",
    "max_accuracy_loss",
    "attack_success",
    "tpr",
    "tpr_low",
    "tpr_high",
    "fpr",
    "fpr_low",
    "fpr_high",
    "clean_fpr",
    "clean_fpr_low",
    "clean_fpr_high",
    "server_ms",
    "server_ms_attacked",
    "peak_memory_mb",
    "told",
    "coverage",
    "diverged",
    "imputed",
    "note",
)
"""All columns in their order; those in `_OPTIONAL` appear only where they say something."""
_OPTIONAL = frozenset(
    {
        *(HONEST, "honest_low", "honest_high", "worst_low", "worst_high", "mean_low", "mean_high"),
        *("rank_low", "rank_high", "iqm_low", "iqm_high"),
        *("worst_adaptive", "attack_success", "diverged", "imputed"),
    }
)


@dataclass(frozen=True)
class Leaderboard(Table):
    """One row a rule, best first, with the columns of :data:`COLUMNS`.

    Attributes
    ----------
    effects : pandas.DataFrame
        What each attack does to plain averaging (:func:`robustbench_fl.analysis.attack_effect.effects`).
    """

    effects: pd.DataFrame


def leaderboard(frame: pd.DataFrame, missing: Missing = "exclude") -> Leaderboard:
    """Compare the rules of a frame.

    Parameters
    ----------
    frame : pandas.DataFrame
        As from :func:`robustbench_fl.analysis.frame`.
    missing : {"exclude", "worst", "zero"}, optional
        What to do with rules that lack cells
        (see :data:`robustbench_fl.analysis.coverage.Missing`).

    Returns
    -------
    Leaderboard
        ``worst_accuracy`` is the minimum over attacks of the mean over seeds, ``mean_accuracy``
        the mean over attacks, each averaged over blocks; the attack ``none`` and adaptive attacks
        count in neither. ``clean_accuracy`` is under the attack ``none`` at the same fractions of
        malicious clients; blocks without any count only where there are no others.
        ``defence_tax`` is plain averaging's clean accuracy minus the rule's, over the blocks both
        have. ``iqm_accuracy`` is the mean of the middle half of the attacked cells,
        ``max_accuracy_loss`` the largest difference, over blocks and attacks, between plain
        averaging's clean accuracy and the rule's accuracy under the attack. Ranks go by
        ``worst_accuracy_honest`` where every block has at least two seeds, else by
        ``worst_accuracy``.

    Raises
    ------
    UsageError
        If there is no cell, two cells agree in every setting, or the policy is unknown.
    IdentityError
        If stored numbers contradict each other.
    """
    check_policy(missing)
    if frame.empty:
        raise UsageError("There is no cell to compare: the frame is empty. Run the sweep first.")
    check_detection(frame)
    cells = only_counted(completed(frame))
    found = effects(cells)
    cells = imputed(cells, missing)
    blocks = in_blocks(cells)
    resampled = resample(blocks)
    table = _columns(cells, blocks)
    if resampled is not None and not pd.notna(resampled.point[HONEST]).any():
        resampled = None  # a sweep of which hardly anything is finished
    if resampled is not None:
        _add_intervals(table, resampled)
    covered = coverage(cells)
    score = HONEST if resampled is not None else WORST
    _add_ranks(table, covered, cells, score, resampled)
    table = _sorted(table, score)
    check_worst_below_mean(table)
    sentences = captions.leaderboard(cells, found, score, resampled is not None, missing)
    return Leaderboard(table, "rank", score, sentences, found)


def _columns(cells: pd.DataFrame, blocks: pd.DataFrame) -> pd.DataFrame:
    """Return the scores and costs of every rule, indexed by rule."""
    table = pd.DataFrame(index=pd.Index(sorted(cells["aggregator"].unique()), name="aggregator"))
    hurt, unhurt = attacked(blocks), clean(blocks)
    adaptive = blocks[blocks["adaptive"] & (blocks["attack"] != CLEAN)]
    backdoor = hurt[hurt["category"] == "backdoor"]
    means, clean_means = block_means(hurt), block_means(unhurt)
    table[WORST] = over_blocks(means, "accuracy", "min")
    table["worst_attack"] = worst_attacks(means)
    table["worst_adaptive"] = over_blocks(block_means(adaptive), "accuracy", "min")
    table[MEAN] = over_blocks(means, "accuracy", "mean")
    table[IQM] = interquartile_means(hurt)
    table["clean_accuracy"] = over_blocks(clean_means, "accuracy", "mean")
    table["defence_tax"] = _tax(clean_means)
    table["max_accuracy_loss"] = _greatest_loss(means, clean_means)
    table["attack_success"] = _average(backdoor, "attack_success", "max")
    for name, value, rows in (("tpr", "tpr", hurt), ("fpr", "fpr", hurt), ("clean_fpr", "fpr", unhurt)):
        table[name] = _average(rows, value)
        _add_rate_interval(table, name, rows, "malicious_clients" if value == "tpr" else "honest_clients")
    table["server_ms"] = _average(unhurt, "server_ms")
    table["server_ms_attacked"] = _average(hurt, "server_ms")
    table["peak_memory_mb"] = cells.groupby("aggregator")["peak_memory_mb"].max()
    table["told"] = cells.groupby("aggregator")["told"].first()
    return table


def _average(rows: pd.DataFrame, value: str, within: str = "mean") -> pd.Series:
    return over_blocks(block_means(rows, value), value, within)


def _tax(means: pd.DataFrame) -> pd.Series:
    plain = means[means["aggregator"] == PLAIN][["_block", "accuracy"]]
    both = means.merge(plain, on="_block", suffixes=("", "_plain"))
    return (both["accuracy_plain"] - both["accuracy"]).groupby(both["aggregator"]).mean()


def _greatest_loss(means: pd.DataFrame, clean_means: pd.DataFrame) -> pd.Series:
    plain = clean_means[clean_means["aggregator"] == PLAIN][["_block", "accuracy"]]
    both = means.merge(plain, on="_block", suffixes=("", "_plain"))
    return (both["accuracy_plain"] - both["accuracy"]).groupby(both["aggregator"]).max()


def _add_rate_interval(table: pd.DataFrame, name: str, rows: pd.DataFrame, clients: str) -> None:
    """Add the binomial interval of a rate over the clients of each world and seed.

    The same clients stand under every attack, so they are counted once, not once an attack.
    """
    judged = rows[rows["fpr"].notna()].drop_duplicates(["aggregator", "_world", "seed"])
    n_clients = judged.groupby("aggregator")[clients].sum()
    bounds = {
        rule: bootstrap.binomial_interval(table[name][rule], n)
        for rule, n in n_clients.items()
        if n > 0 and pd.notna(table[name][rule])
    }
    for place, end in enumerate(("low", "high")):
        table[f"{name}_{end}"] = pd.Series({rule: pair[place] for rule, pair in bounds.items()}, dtype=float)


def _add_intervals(table: pd.DataFrame, resampled: Resampled) -> None:
    table[HONEST] = pd.Series(resampled.point[HONEST], index=resampled.rules)
    for score in SCORES:
        for name, ends in zip(bounds(score), bootstrap.interval(resampled.samples[score]), strict=True):
            table[name] = pd.Series(ends, index=resampled.rules)


def _add_ranks(
    table: pd.DataFrame, covered: pd.DataFrame, cells: pd.DataFrame, score: str, resampled: Resampled | None
) -> None:
    baseline = ~cells.groupby("aggregator")["ranked"].first().astype(bool)
    table["coverage"] = covered["coverage"]
    for count in ("diverged", "imputed"):
        table[count] = covered[count]
    notes = pd.DataFrame({"baseline": baseline.map({True: BASELINE, False: ""})})
    notes["holes"] = covered["holes"]
    notes["score"] = table[score].isna().map({True: "no attacked cell", False: ""})
    notes.loc[notes["holes"] != "", "score"] = ""
    table["note"] = notes.apply(lambda row: "; ".join(filter(None, row)), axis=1)
    scores = table.loc[table["note"] == "", score]
    tied = equal_scores(scores)
    if resampled is not None:
        tied = _within_doubt(resampled, score)
        places = [resampled.rules.index(rule) for rule in scores.index]
        low, high = rank_interval(resampled.samples[score][places])
        table["rank_low"] = pd.Series(low, index=scores.index, dtype="Int64")
        table["rank_high"] = pd.Series(high, index=scores.index, dtype="Int64")
    found = ranked(scores, tied)
    table["rank"] = found["rank"].reindex(table.index).astype("Int64")
    table["tied"] = found["tied"].reindex(table.index, fill_value=False).astype(bool)


def _within_doubt(resampled: Resampled, score: str) -> Callable[[str, str], bool]:
    def tied(first: str, second: str) -> bool:
        low, high = resampled.difference(score, first, second)
        return low <= 0 <= high

    return tied


def _sorted(table: pd.DataFrame, score: str) -> pd.DataFrame:
    """Sort by score; rules that could not be ranked for lack of cells come last."""
    holes = table["rank"].isna() & (table["note"] != BASELINE)
    by = table[score].fillna(table[WORST]).fillna(-1.0)
    order = pd.DataFrame({"holes": holes, "by": -by, "clean": -table["clean_accuracy"].fillna(-1.0)})
    table = table.loc[order.sort_values(["holes", "by", "clean"], kind="stable").index].reset_index()
    said = [name for name in COLUMNS if name in table and (name not in _OPTIONAL or _says(table[name]))]
    return table[said]


def _says(column: pd.Series) -> bool:
    return bool(column.notna().any() and (column != 0).any())
