"""What stands under a table: how it was made, from what, and what it leaves out."""

from __future__ import annotations

import pandas as pd

from robustbench_fl.analysis.attack_effect import PLAIN, ineffective
from robustbench_fl.analysis.blocks import CLEAN
from robustbench_fl.analysis.coverage import Missing, counted
from robustbench_fl.analysis.frame import digest

_SHOWN = 3
"""Commits named, of several."""
ENOUGH_SEEDS = 5
"""With fewer a percentile bootstrap covers clearly less than it says."""
SORT = {
    "worst_accuracy": "accuracy under the worst attack of each block, mean over blocks",
    "worst_accuracy_honest": (
        "accuracy under the worst attack of each block, picked on one half of the seeds and "
        "reported on the other, mean over blocks"
    ),
}
POLICY = {
    "exclude": "rules that lack cells, or were infeasible where others were not, are not ranked",
    "worst": "lacking and infeasible cells count as the lowest accuracy of any rule in their world",
    "zero": "lacking and infeasible cells count as accuracy 0",
}


def leaderboard(
    cells: pd.DataFrame, found: pd.DataFrame, score: str, several: bool, missing: Missing
) -> tuple[str, ...]:
    """Return the sentences under a leaderboard."""
    sentences = [
        f"Sorted by {score}: {SORT[score]}.",
        _intervals(cells, several),
        _extent(cells),
        *_apart(cells),
        f"Missing cells ({missing}): {POLICY[missing]}.",
        *_effects(cells, found),
        *_attack_success(cells),
        *_losses(cells, found),
        *mixed(cells),
        origin(cells),
    ]
    return tuple(sentences)


def seeds(cells: pd.DataFrame) -> str:
    """Return for example ``"5 seeds"``, ``"2–5 seeds"`` or ``"1 seed"``."""
    counts = cells.groupby("_world")["seed"].nunique()
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
    return f"Made from {len(finished)} cells, digest {digest(finished)}{_commits(finished)}."


def _commits(cells: pd.DataFrame) -> str:
    """Return for example ``", commit 64a900a9c404"``; nothing where it is not known."""
    commits = sorted(cells["commit"].dropna().unique())
    if not commits:
        return ""
    shown = ", ".join(commits[:_SHOWN]) + f" and {len(commits) - _SHOWN} more" * (len(commits) > _SHOWN)
    changed = " (+ with uncommitted changes)" * any(commit.endswith("+") for commit in commits)
    return f", commit{'s' if len(commits) > 1 else ''} {shown}{changed}"


def _intervals(cells: pd.DataFrame, several: bool) -> str:
    rates = "; brackets of rates: 95 % binomial over clients" if cells["fpr"].notna().any() else ""
    if several:
        few = cells.groupby("_world")["seed"].nunique().min() < ENOUGH_SEEDS
        narrow = f" With fewer than {ENOUGH_SEEDS} seeds intervals are too narrow." * bool(few)
        return (
            f"{seeds(cells)}; brackets: 95 % percentile bootstrap over seeds within each block{rates}. "
            "Brackets of ranks: where the rule ends in 95 % of the resamples. "
            "Rules whose paired difference to the leader of their group does not exclude 0 are tied (=). "
            f"worst_accuracy, a minimum of noisy means, is biased low.{narrow}"
        )
    if cells["seed"].nunique() == 1:
        return f"n=1, no interval{rates}."
    return f"{seeds(cells)}, too few or not the same in every block and attack: no interval{rates}."


def _extent(cells: pd.DataFrame) -> str:
    worlds = cells.drop_duplicates("_world")
    blocks = cells[["_world", "_assumed"]].drop_duplicates()
    told = set(blocks.loc[blocks["_assumed"] != "", "_world"])
    blocks = blocks[(blocks["_assumed"] != "") | ~blocks["_world"].isin(told)]
    idle = int((worlds["malicious"] == 0).sum())
    regular = cells[(cells["attack"] != CLEAN) & ~cells["adaptive"]]
    names = sorted(regular["attack"].unique())
    text = f"{len(blocks)} block{'s' if len(blocks) > 1 else ''}"
    if idle:
        use = "for clean accuracy only" if idle == len(worlds) else "counted nowhere here"
        text += f" ({idle} without malicious clients, {use})"
    attacks = f"{len(names)} attack{'s' if len(names) != 1 else ''}"
    return f"{text}, {attacks}{': ' + ', '.join(names) if names else ''}."


def _apart(cells: pd.DataFrame) -> list[str]:
    names = sorted(cells.loc[cells["adaptive"] & (cells["attack"] != CLEAN), "attack"].unique())
    return [f"Adaptive attacks, apart in worst_adaptive: {', '.join(names)}."] if names else []


def _effects(cells: pd.DataFrame, found: pd.DataFrame) -> list[str]:
    if not ((cells["attack"] != CLEAN).any()):
        return []
    if found.empty:
        return [f"Whether the attacks hurt is not checked: no finished cells of the rule {PLAIN}."]
    names = ineffective(found)
    if not names:
        return []
    return [f"Ineffective (plain averaging is not hurt; no defence earns credit there): {', '.join(names)}."]


def _attack_success(cells: pd.DataFrame) -> list[str]:
    backdoor = (cells["category"] == "backdoor") & cells["attack_success"].notna()
    return ["attack_success: under the backdoor that succeeds best, lower is better."] * bool(backdoor.any())


def _losses(cells: pd.DataFrame, found: pd.DataFrame) -> list[str]:
    said = ["iqm_accuracy: mean of the middle half of the attacked cells."]
    if found.empty:
        return said * bool((cells["attack"] != CLEAN).any())
    loss = (
        "max_accuracy_loss: the largest drop of any block and attack, "
        "from plain averaging without attack to the rule under it."
    )
    return [*said, loss]
