"""What stands under a table: how it was made, from what, and what it leaves out."""

from __future__ import annotations

import pandas as pd

from robustbench_fl.analysis.attack_effect import PLAIN, ineffective
from robustbench_fl.analysis.blocks import CLEAN
from robustbench_fl.analysis.counting import Counting
from robustbench_fl.analysis.coverage import Missing, counted
from robustbench_fl.analysis.frame import SUITE, digest
from robustbench_fl.analysis.ranking import ENOUGH_SEEDS
from robustbench_fl.analysis.table import Said
from robustbench_fl.core.status import KEPT, OTHER_DATA
from robustbench_fl.core.tuned import is_tuned

_SHOWN = 3
"""Commits named, of several."""
_RATES = Said("Brackets of rates: 95 % binomial over clients.", "tpr", "fpr", "clean_fpr")
INTERVAL = "95 % t interval over seeds"
TEST = "a t-test over seeds, moderated over all pairs and corrected by Holm,"
NO_RANKS = f"No ranks: they need {ENOUGH_SEEDS} seeds."
_MEANS = ("mean_accuracy", "iqm_accuracy", "mean_gain")
_SCORES = {
    "worst_accuracy": "accuracy under the worst attack of each block",
    "worst_adaptive": "accuracy under the worst adaptive attack of each block",
    "clean_accuracy": "accuracy without attack",
}
POLICY = {
    "exclude": "rules that lack cells, or were infeasible where others were not, are not ranked",
    "worst": "lacking and infeasible cells count as the lowest accuracy of any rule in their setting",
    "zero": "lacking and infeasible cells count as accuracy 0",
}


def leaderboard(
    cells: pd.DataFrame, found: pd.DataFrame, several: bool, missing: Missing, counts: Counting, score: str
) -> tuple[str, ...]:
    """Return the sentences under a leaderboard that is sorted by `score`."""
    sentences = [
        f"Sorted by {score}: {_SCORES[score]}, mean over blocks.",
        *_intervals(cells, several),
        _extent(cells),
        *_apart(cells),
        *idle(counts, ": nothing is ranked"),
        f"Missing cells ({missing}): {POLICY[missing]}.",
        *credit(cells, found),
        *families(cells),
        *_tuned(cells),
        *_attack_success(cells),
        *_losses(cells, found),
        *mixed(cells),
        origin(cells),
    ]
    return tuple(sentences)


def seeds(cells: pd.DataFrame) -> str:
    """Return for example ``"5 seeds"``, ``"2–5 seeds"`` or ``"1 seed"``."""
    counts = cells.groupby("_setting")["seed"].nunique()
    low, high = int(counts.min()), int(counts.max())
    return f"{low}–{high} seeds" if low != high else f"{low} seed{'s' if low > 1 else ''}"


def runs(cells: pd.DataFrame) -> str:
    """Return the seeds of cells that need not be completed: ``"5 seeds"``, or ``"n=1, no interval"``."""
    count = cells["seed"].nunique()
    return f"{count} seeds" if count > 1 else "n=1, no interval over seeds"


def mixed(cells: pd.DataFrame) -> list[str]:
    """Return a sentence if cells come from different engines, devices or versions."""
    names = {"engine_name": "engines", "device": "devices", "versions": "versions"}
    several = [name for column, name in names.items() if cells[column].nunique() > 1]
    return [f"Cells of different {', '.join(several)} are mixed."] if several else []


def origin(cells: pd.DataFrame) -> str:
    """Return the sentence that names the cells a table was made from."""
    finished = cells[counted(cells)]
    apart = int((cells["status"] == OTHER_DATA).sum())
    left_out = f" {apart} are left out: they were made with other data than the rest." if apart else ""
    kept = finished.loc[finished["reason"].fillna("").astype(str).str.startswith(KEPT), "reason"]
    older = f" {len(kept)} are {', '.join(sorted(set(kept)))}." if len(kept) else ""
    n_cells = finished["key"].nunique()  # one may stand in two rows
    made = f"Made from {n_cells} cells, digest {digest(finished)}{_commits(finished)}."
    return f"{made}{_suite(finished)}{older}{left_out}"


def _suite(cells: pd.DataFrame) -> str:
    """Return the sentence that names the suite, or the suites, that cells were run for."""
    if SUITE not in cells or cells[SUITE].isna().all():
        return ""
    own = cells[SUITE].isna()
    others = f"; {own.sum()} cells were run for none" if own.any() else ""
    return f" Suite: {'; '.join(sorted(cells[SUITE].dropna().unique()))}{others}."


def _commits(cells: pd.DataFrame) -> str:
    """Return for example ``", commit 64a900a9c404"``; nothing where it is not known."""
    commits = sorted(cells["commit"].dropna().unique())
    if not commits:
        return ""
    shown = ", ".join(commits[:_SHOWN]) + f" and {len(commits) - _SHOWN} more" * (len(commits) > _SHOWN)
    changed = " (+ with uncommitted changes)" * any(commit.endswith("+") for commit in commits)
    return f", commit{'s' if len(commits) > 1 else ''} {shown}{changed}"


def _intervals(cells: pd.DataFrame, several: bool) -> list[str]:
    rates = [_RATES] * bool(cells["fpr"].notna().any())
    n_seeds = cells["seed"].nunique()
    if cells.loc[cells["attack"] != CLEAN, "adaptive"].all():
        return ["Only adaptive attacks or none were run: no worst case, no ranks.", *rates]
    if n_seeds == 1:
        return ["n=1, no interval.", *rates, NO_RANKS]
    if not several:
        return [
            f"{seeds(cells)}, not the same in every block and attack: no interval.", *rates,
            "No ranks: they need the same seeds everywhere.",
        ]  # fmt: skip
    said = [
        f"{seeds(cells)}.",
        Said(f"Brackets: {INTERVAL}.", "worst_accuracy", "mean_accuracy"),
        *rates,
        Said(
            "The upper end of the worst case is missed more often where many attacks tie.", "worst_accuracy"
        ),
        Said("worst_left_out: for each seed the attack is picked on the other seeds.", "worst_left_out"),
    ]
    if n_seeds < ENOUGH_SEEDS:
        return [*said, NO_RANKS]
    same = f"Rules share a rank (=) where {TEST} cannot tell them from the leader of their group."
    each = "Brackets of ranks: the places that this test leaves open; each holds by itself, not all at once."
    return [*said, Said(same, "rank"), Said(each, "rank")]


def idle(counts: Counting, so: str = "") -> list[str]:
    """Return a sentence if in some block no rule is hurt; `so`: what follows if in none one is."""
    if counts.nobody:
        return [f"No attack hurts any rule in any block{so}."]
    text = f"Left out: {counts.n_idle} block{'s' * (counts.n_idle > 1)} in which no attack hurts any rule."
    return [text] * bool(counts.n_idle)


def _extent(cells: pd.DataFrame) -> str:
    apart = cells.drop_duplicates("_setting")
    blocks = cells[["_setting", "_assumed"]].drop_duplicates()
    told = set(blocks.loc[blocks["_assumed"] != "", "_setting"])
    blocks = blocks[(blocks["_assumed"] != "") | ~blocks["_setting"].isin(told)]
    idle = int((apart["malicious"] == 0).sum())
    regular = cells[(cells["attack"] != CLEAN) & ~cells["adaptive"]]
    names = sorted(regular["attack"].unique())
    text = f"{len(blocks)} block{'s' if len(blocks) > 1 else ''}"
    if idle:
        use = "for clean accuracy only" if idle == len(apart) else "counted nowhere here"
        text += f" ({idle} without malicious clients, {use})"
    if not names and cells["adaptive"].any():
        return f"{text}, adaptive attacks alone."
    attacks = f"{len(names)} attack{'s' if len(names) != 1 else ''}"
    return f"{text}, {attacks}{': ' + ', '.join(names) if names else ''}."


def _apart(cells: pd.DataFrame) -> list[str]:
    names = sorted(cells.loc[cells["adaptive"] & (cells["attack"] != CLEAN), "attack"].unique())
    said = f"Adaptive attacks, apart in worst_adaptive: {', '.join(names)}."
    return [Said(said, "worst_adaptive")] if names else []


def credit(cells: pd.DataFrame, found: pd.DataFrame) -> list[str]:
    """Return a sentence on the attacks that means leave out, if there are some or it is not known."""
    if not ((cells["attack"] != CLEAN).any()):
        return []
    if found.empty:
        run = cells.loc[cells["aggregator"] == PLAIN, "accuracy"].notna().any()
        both = " both without attack and under one" * bool(run)
        why = f"no finished cells of the rule {PLAIN}{both}"
        return [Said(f"Whether the attacks hurt is not known: {why}.", *_MEANS)]
    names = ineffective(found)
    said = f"Ineffective, left out of means (plain averaging is not hurt): {', '.join(names)}."
    return [Said(said, *_MEANS)] if names else []


def families_of_several(cells: pd.DataFrame) -> list[str]:
    """Return the families of which several members, not adaptive, were run."""
    hurt = cells[(cells["attack"] != CLEAN) & ~cells["adaptive"] & (cells["family"] != "")]
    several = hurt.groupby("family")["attack"].nunique()
    return sorted(several.index[several > 1])


def families(cells: pd.DataFrame) -> list[str]:
    """Return a sentence on how means count families, if there are some of several members."""
    names = families_of_several(cells)
    said = "Means count each family of attacks once, at the member that is worst for the rule in the block"
    return [Said(f"{said}; several members: {', '.join(names)}.", *_MEANS)] if names else []


def _tuned(cells: pd.DataFrame) -> list[str]:
    said = (
        "tuned > RULE: the rule with the parameters and the client learning rate that were best on the "
        "validation split of pilot seeds; RULE: as the sweep names it."
    )
    return [said] * bool(cells["aggregator"].map(is_tuned).any())


def _attack_success(cells: pd.DataFrame) -> list[str]:
    backdoor = (cells["category"] == "backdoor") & cells["attack_success"].notna()
    said = Said("attack_success: under the backdoor that succeeds best, lower is better.", "attack_success")
    return [said] * bool(backdoor.any())


def _losses(cells: pd.DataFrame, found: pd.DataFrame) -> list[str]:
    if cells.loc[cells["attack"] != CLEAN, "adaptive"].all():
        return []
    said: list[str] = [
        Said("iqm_accuracy: mean of the middle half of the cells in the mean.", "iqm_accuracy")
    ]
    if found.empty:
        return said
    loss = Said(
        "max_accuracy_loss: the largest drop in any block, "
        "from plain averaging without attack to the rule under one.",
        "max_accuracy_loss",
    )
    return [*said, loss]
