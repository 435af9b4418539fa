"""The leaderboard: one row a rule, its worst case beside its mean, costs, coverage; ranks by track."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from robustbench_fl.analysis import captions
from robustbench_fl.analysis.attack_effect import PLAIN, effects
from robustbench_fl.analysis.blocks import CLEAN, in_blocks
from robustbench_fl.analysis.columns import bounds
from robustbench_fl.analysis.counting import Counting, counting
from robustbench_fl.analysis.coverage import Missing, check_policy, counted_cells, coverage, imputed
from robustbench_fl.analysis.flags import Flag, flags
from robustbench_fl.analysis.image_counts import COLUMN
from robustbench_fl.analysis.inference import mean_interval, pairwise, worst_interval
from robustbench_fl.analysis.invariants import check_detection, check_worst_below_mean
from robustbench_fl.analysis.picks import left_out_worst_by_seed
from robustbench_fl.analysis.ranking import ENOUGH_SEEDS, ranked
from robustbench_fl.analysis.rates import binomial_interval
from robustbench_fl.analysis.scores import (
    Seeded,
    block_means,
    clean,
    interquartile_means,
    over_blocks,
    seeded,
    worst_attacks,
)
from robustbench_fl.analysis.strengths import filled, has_picks, is_default
from robustbench_fl.analysis.table import Table
from robustbench_fl.analysis.tracks import TRACKS, track_of
from robustbench_fl.analysis.tuned import tuned_to
from robustbench_fl.core.errors import UsageError, among

WORST, MEAN, LEFT_OUT = "worst_accuracy", "mean_accuracy", "worst_left_out"
ADAPTIVE, UNHURT = "worst_adaptive", "clean_accuracy"
BASELINE = "baseline"
"""The note of a rule that is shown for comparison and never ranked."""
ROOT_ONLY, LOCAL_ONLY = "root_only", "local_only"
"""Baselines without federation: trained on the root set alone, and each client alone."""
BELOW_ROOT = f"not above {ROOT_ONLY}"
FLAG = "Flag: "
"""How the sentence of a flag begins."""
NOBODY_HURT = "no attack hurts a rule"
UNSCORED = "no attacked cell"
ONLY_ADAPTIVE = "adaptive attacks alone"
_WHOLE = (NOBODY_HURT, UNSCORED, ONLY_ADAPTIVE)
"""Notes on a rule that is not ranked although it lacks nothing."""
COLUMNS = (
    "track",
    *("rank", "tied", "rank_low", "rank_high"),
    "aggregator",
    *(WORST, "worst_low", "worst_high"),
    LEFT_OUT,
    "worst_at_defaults",
    "worst_attack",
    ADAPTIVE,
    *(MEAN, "mean_low", "mean_high"),
    "iqm_accuracy",
    UNHURT,
    "defence_tax",
    "max_accuracy_loss",
    "attack_success",
    *("tpr", "tpr_low", "tpr_high"),
    *("fpr", "fpr_low", "fpr_high"),
    *("clean_fpr", "clean_fpr_low", "clean_fpr_high"),
    *("server_ms", "server_ms_attacked", "peak_memory_mb"),
    "told",
    "tuned_to",
    "coverage",
    *("diverged", "imputed"),
    "note",
)
"""All columns in their order; those in `_OPTIONAL` appear only where they say something."""
_OPTIONAL = frozenset(
    {
        *(LEFT_OUT, "worst_low", "worst_high", "mean_low", "mean_high", "rank_low", "rank_high"),
        "tuned_to",
        *("worst_at_defaults", ADAPTIVE, "attack_success", "diverged", "imputed"),
    }
)


_ASKED = (
    *("_setting", "_assumed", "dataset", "partition", "malicious", "classes"),
    *("aggregator", "attack", "seed", "status", "accuracy", COLUMN),
    *("ranked", "adaptive", "category", "family", "edge", "attack_success"),
    *("tpr", "fpr", "malicious_clients", "honest_clients", "server_ms"),
)
"""The columns of which rows are asked: every copy costs by the column."""


@dataclass(frozen=True)
class Leaderboard(Table):
    """One row a rule with the columns of :data:`COLUMNS`; by track, best first, then the baselines.

    Attributes
    ----------
    effects : pandas.DataFrame
        What each attack does to plain averaging (:func:`robustbench_fl.analysis.attack_effect.effects`).
    flags : tuple of Flag
        Reasons for doubt; the last of the sentences.
    only : str
        The track that it is of, with references from others; empty for all tracks.
    """

    effects: pd.DataFrame
    flags: tuple[Flag, ...]
    only: str = ""

    @property
    def tracks(self) -> list[str]:
        """The tracks that have rules."""
        if self.only:
            return [self.only]
        return sorted(set(self.table["track"]) - {""})

    def of_track(self, track: str) -> Leaderboard:
        """Return the table of one track.

        Its rules, for reference the best of each lower track (of those without holes), and the
        baselines that may be compared with them: ``root_only`` where the server has root data.

        Raises
        ------
        UsageError
            If no rule competes in it.
        """
        if track not in self.tracks:
            known = ", ".join(self.tracks) or "none"
            raise UsageError(f"No rule competes in track {track!r}. {among(track, [*TRACKS])} Here: {known}.")
        table = self.table
        own = table["track"] == track
        baselines = (table["track"] == "") & ((table["aggregator"] != ROOT_ONLY) | (track == "D"))
        whole = table[table["note"].isin(["", *_WHOLE]) & (table["track"] < track)]
        leaders = whole.drop_duplicates("track")["aggregator"]  # best first
        shown = table[own | baselines | table["aggregator"].isin(leaders)].copy()
        borrowed = shown["aggregator"].isin(leaders)
        shown.loc[borrowed, ["rank", "rank_low", "rank_high"]] = pd.NA
        shown.loc[borrowed, "tied"] = False
        shown.loc[borrowed, "note"] = "best of track " + shown.loc[borrowed, "track"]
        return replace(self, table=_in_order(shown, self.score_column, mixed=True), only=track)


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
        ``worst_accuracy`` is the minimum over attacks of the mean over seeds, averaged over blocks;
        ranks go by it, in each track alone, from five seeds on. Where adaptive attacks alone were run,
        nothing is ranked, and rows are sorted by ``worst_adaptive``, the same minimum over adaptive
        attacks; without any attack by ``clean_accuracy``. ``worst_left_out`` is the mean over
        seeds of the accuracy at the attack that is worst on the other seeds, ``worst_at_defaults`` the
        worst at the strengths that no pilot picked. ``mean_accuracy`` is the mean over the attacks that
        hurt plain averaging (over all in a block where none does), each family once, at its member that
        is worst for the rule in the block; ``iqm_accuracy`` the mean of the middle half of those cells.
        The attack ``none`` and adaptive attacks count in neither. ``tuned_to`` says what a tuned rule
        stands for. ``clean_accuracy`` is under the attack ``none`` at the same
        fractions of malicious clients; ``defence_tax`` is plain averaging's clean accuracy minus
        the rule's, over the blocks both have; ``max_accuracy_loss`` the largest difference between
        plain averaging's clean accuracy and the rule's accuracy under an attack. Blocks in which no
        attack hurts any rule count nowhere, if there are others. Intervals are t over seeds
        (:mod:`robustbench_fl.analysis.inference`).

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
    as_run = counted_cells(frame)
    found = effects(as_run)
    cells = imputed(as_run, missing)
    blocks = in_blocks(cells[[name for name in _ASKED if name in cells]])
    counts = counting(blocks, found)
    table = _columns(cells, counts)
    by_seed = seeded(filled(counts.worst))
    if by_seed is not None:
        _add_intervals(table, by_seed, seeded(counts.mean))
    table = _with_notes(table, coverage(cells), cells, counts.nobody)
    enough = by_seed is not None and by_seed.values.shape[-1] >= ENOUGH_SEEDS
    _add_ranks(table, by_seed if enough else None)
    score = next((name for name in (WORST, ADAPTIVE, UNHURT) if table[name].notna().any()), WORST)
    table = _in_order(table.reset_index(), score, mixed=False)
    check_worst_below_mean(table)
    doubts = flags(frame, blocks, counts.drops) if missing == "exclude" else flags(frame)
    sentences = captions.leaderboard(cells, found, by_seed is not None, missing, counts, score)
    sentences = (*sentences, *(f"{FLAG}{flag.text}" for flag in doubts))
    said = [
        name for name in COLUMNS
        if name in table and (name not in _OPTIONAL or name == score or _says(table[name]))
    ]  # fmt: skip
    return Leaderboard(table[said], "rank", score, sentences, found, doubts)


def _columns(cells: pd.DataFrame, counts: Counting) -> pd.DataFrame:
    """Return the scores and costs of every rule, indexed by rule."""
    table = pd.DataFrame(index=pd.Index(sorted(cells["aggregator"].unique()), name="aggregator"))
    blocks, hurt, unhurt = counts.blocks, counts.worst, clean(counts.blocks)
    adaptive = blocks[blocks["adaptive"] & (blocks["attack"] != CLEAN)]
    backdoor = hurt[hurt["category"] == "backdoor"]
    means, clean_means = block_means(hurt), block_means(unhurt)
    table[WORST] = over_blocks(means, "accuracy", "min")
    table["worst_attack"] = worst_attacks(means)
    if has_picks(hurt):
        at_defaults = block_means(hurt[is_default(hurt)])
        table["worst_at_defaults"] = over_blocks(at_defaults, "accuracy", "min")
    table[ADAPTIVE] = over_blocks(block_means(adaptive), "accuracy", "min")
    table[MEAN] = over_blocks(block_means(counts.mean), "accuracy", "mean")
    table["iqm_accuracy"] = interquartile_means(counts.mean)
    table[UNHURT] = over_blocks(clean_means, "accuracy", "mean")
    table["defence_tax"] = _below_plain(clean_means, clean_means).mean()
    table["max_accuracy_loss"] = _below_plain(means, clean_means).max()
    table["attack_success"] = _average(backdoor, "attack_success", "max")
    for name, value, rows in (("tpr", "tpr", hurt), ("fpr", "fpr", hurt), ("clean_fpr", "fpr", unhurt)):
        table[name] = _average(rows, value)
        _add_rate_interval(table, name, rows, "malicious_clients" if value == "tpr" else "honest_clients")
    table["server_ms"] = _average(unhurt, "server_ms")
    table["server_ms_attacked"] = _average(hurt, "server_ms")
    table["peak_memory_mb"] = cells.groupby("aggregator")["peak_memory_mb"].max()
    table["told"] = cells.groupby("aggregator")["told"].first()
    table["tuned_to"] = tuned_to(cells)
    return table


def _average(rows: pd.DataFrame, value: str, within: str = "mean") -> pd.Series:
    return over_blocks(block_means(rows, value), value, within)


def _below_plain(means: pd.DataFrame, clean_means: pd.DataFrame) -> pd.core.groupby.SeriesGroupBy:
    """Return by how much means lie below plain averaging's clean accuracy in the block, by rule."""
    plain = clean_means[clean_means["aggregator"] == PLAIN][["_block", "accuracy"]]
    both = means.merge(plain, on="_block", suffixes=("", "_plain"))
    return (both["accuracy_plain"] - both["accuracy"]).groupby(both["aggregator"])


def _add_rate_interval(table: pd.DataFrame, name: str, rows: pd.DataFrame, clients: str) -> None:
    """Add the binomial interval of a rate over the clients of each setting and seed.

    The same clients stand under every attack, so they are counted once, not once an attack.
    """
    judged = rows[rows["fpr"].notna()].drop_duplicates(["aggregator", "_setting", "seed"])
    n_clients = judged.groupby("aggregator")[clients].sum()
    found = {
        rule: binomial_interval(table[name][rule], n)
        for rule, n in n_clients.items()
        if n > 0 and pd.notna(table[name][rule])
    }
    for place, end in enumerate(bounds(name)):
        table[end] = pd.Series({rule: pair[place] for rule, pair in found.items()}, dtype=float)


def _add_intervals(table: pd.DataFrame, hurt: Seeded, useful: Seeded | None) -> None:
    for place, rule in enumerate(hurt.rules):
        _, *ends = worst_interval(hurt.values[place], **hurt.test_images_of(place))
        table.loc[rule, list(bounds(WORST))] = ends
        table.loc[rule, LEFT_OUT] = left_out_worst_by_seed(hurt.values[place]).mean()
    for place, rule in enumerate(useful.rules if useful else ()):
        assert useful is not None
        _, *ends = mean_interval(useful.values[place], **useful.test_images_of(place))
        table.loc[rule, list(bounds(MEAN))] = ends


def _with_notes(
    table: pd.DataFrame, covered: pd.DataFrame, cells: pd.DataFrame, nobody: bool
) -> pd.DataFrame:
    """Add coverage, track and note; a rule with a note is not ranked."""
    baseline = ~cells.groupby("aggregator")["ranked"].first().astype(bool)
    for name in ("coverage", "diverged", "imputed"):
        table[name] = covered[name]
    table["track"] = table["told"].map(track_of).mask(baseline, "")
    notes = pd.DataFrame({"baseline": baseline.map({True: BASELINE, False: ""})})
    notes["holes"] = covered["holes"]
    unscored = table[WORST].isna() & (notes["holes"] == "") & (not nobody)
    why = table[ADAPTIVE].isna().map({True: UNSCORED, False: ONLY_ADAPTIVE})
    notes["score"] = why.where(unscored, "")
    root = float(table[WORST].get(ROOT_ONLY, np.nan))
    below = (table["track"] == "D") & (table[WORST] <= root)
    notes["root"] = below.map({True: BELOW_ROOT, False: ""})
    notes["idle"] = NOBODY_HURT if nobody else ""
    table["note"] = notes.apply(lambda row: "; ".join(filter(None, row)), axis=1)
    return table


def _add_ranks(table: pd.DataFrame, by_seed: Seeded | None) -> None:
    """Rank each track alone; nothing without enough seeds."""
    for name in ("rank", "rank_low", "rank_high"):
        table[name] = pd.Series(pd.NA, index=table.index, dtype="Int64")
    table["tied"] = False
    if by_seed is None:
        return
    fit = table[(table["note"] == "") & table.index.isin(by_seed.rules)]
    for _, rows in fit.groupby("track"):
        rules = [str(rule) for rule in rows.index]
        own = by_seed.of(*rules)
        found = ranked(rows[WORST], pairwise(own.values, **own.test_images), rules)
        table.loc[rules, list(found)] = found.loc[rules]


def _in_order(table: pd.DataFrame, score: str, mixed: bool) -> pd.DataFrame:
    """Sort by `score`, rules with holes last; whole tracks one after another unless `mixed`."""
    whole = "|".join(_WHOLE)
    last = ~table["note"].str.fullmatch(f"|{BASELINE}|best of track .|({BASELINE}; )?({whole})")
    order = pd.DataFrame(
        {
            "track": "" if mixed else table["track"].replace("", "Z"),
            "last": last,
            "by": -table[score].fillna(-1.0),
            "clean": -table[UNHURT].fillna(-1.0),
            "name": table["aggregator"],
        }
    )
    return table.loc[order.sort_values(list(order), kind="stable").index].reset_index(drop=True)


def _says(values: pd.Series) -> bool:
    return bool(values.notna().any() and (values != 0).any())
