"""Which attack hurts most: what each attack costs the rules, plain averaging first of all."""

from __future__ import annotations

import numpy as np
import pandas as pd

from robustbench_fl.analysis import captions
from robustbench_fl.analysis.attack_effect import PLAIN, effects
from robustbench_fl.analysis.blocks import CLEAN, in_blocks
from robustbench_fl.analysis.coverage import beyond_all, counted_cells, shares
from robustbench_fl.analysis.inference import mean_interval
from robustbench_fl.analysis.scores import worst_pairs
from robustbench_fl.analysis.table import Said, Table
from robustbench_fl.core.errors import UsageError

COLUMNS = (
    "attack",
    "mean_drop",
    "mean_drop_low",
    "mean_drop_high",
    "plain_drop",
    "worst_share",
    "most_hurt",
    "attack_success",
    "effective",
    "knowledge",
    "knows_defence",
    "adaptive",
    "category",
    "coverage",
)
_FACTS = ("knowledge", "knows_defence", "adaptive", "category")


def attack_table(frame: pd.DataFrame) -> Table:
    """Return what each attack does to the rules, the most harmful first.

    Parameters
    ----------
    frame : pandas.DataFrame
        As from :func:`robustbench_fl.analysis.frame.frame`.

    Returns
    -------
    Table
        A drop is a rule's clean accuracy minus its accuracy under the attack, in the same block and
        seed. ``mean_drop``: its mean over rules, blocks and seeds, baselines left out, with the
        95 % t interval over seeds; ``plain_drop``: that of plain averaging; ``worst_share``:
        the share of all pairs of a rule and a block to which this attack does most harm, attacks
        that do equal harm sharing the pair; ``most_hurt``: the rule with the largest mean drop;
        ``effective``: the blocks in which plain averaging is hurt.

    Raises
    ------
    UsageError
        If no rule has both a clean and an attacked cell.

    References
    ----------
    .. [1] V. Shejwalkar et al., "Back to the Drawing Board: A Critical Evaluation of Poisoning
       Attacks on Production Federated Learning", IEEE S&P 2022, Section VI (attack impact).
    """
    cells = counted_cells(frame)
    cells = cells[~beyond_all(cells)] if len(cells) else cells
    cells = cells[cells["ranked"].astype(bool) & (cells["malicious"] > 0)]
    drops = _drops(in_blocks(cells)) if len(cells) else cells
    if drops.empty:
        raise UsageError(
            "No rule has a cell under an attack and one under the attack none with the same seed and share "
            "of malicious clients. Add the attack none to the sweep."
        )
    attacked = cells[cells["attack"] != CLEAN]
    by_attack = drops.groupby("attack")["drop"]
    found = pd.DataFrame({"mean_drop": by_attack.mean()})
    for name, end in enumerate(("low", "high")):
        bounds = {attack: _interval(rows)[name] for attack, rows in drops.groupby("attack")}
        found[f"mean_drop_{end}"] = pd.Series(bounds, dtype=float)
    plain = drops[drops["aggregator"] == PLAIN]
    found["plain_drop"] = plain.groupby("attack")["drop"].mean()
    found["worst_share"] = _worst_share(attacked)
    found["most_hurt"] = _most_hurt(drops)
    found["attack_success"] = attacked.groupby("attack")["attack_success"].mean()
    found["effective"] = _effective(cells)
    found[list(_FACTS)] = attacked.groupby("attack")[list(_FACTS)].first()
    found["coverage"] = shares(attacked, "attack")
    found = found.rename_axis("attack").reset_index()
    found = found.sort_values(["mean_drop", "attack"], ascending=[False, True], ignore_index=True)
    return Table(found[list(COLUMNS)], None, "mean_drop", _sentences(cells, found))


def _drops(blocks: pd.DataFrame) -> pd.DataFrame:
    """Return one row for every attacked cell with the rule's own ``drop``; no NaN."""
    keys = ["aggregator", "_block", "seed"]
    clean = blocks.loc[blocks["attack"] == CLEAN, [*keys, "accuracy"]]
    pairs = blocks[blocks["attack"] != CLEAN].merge(clean, on=keys, suffixes=("", "_clean"))
    return pairs.assign(drop=pairs["accuracy_clean"] - pairs["accuracy"]).dropna(subset=["drop"])


def _interval(drops: pd.DataFrame) -> tuple[float, float]:
    """Return the interval over seeds, NaN with one seed or where a rule lacks one."""
    by_seed = drops.pivot(index=["aggregator", "_block"], columns="seed", values="drop").to_numpy(dtype=float)
    if by_seed.shape[1] < 2 or np.isnan(by_seed).any():
        return float("nan"), float("nan")
    return mean_interval(by_seed[:, None])[1:]


def _worst_share(attacked: pd.DataFrame) -> pd.Series:
    winners = worst_pairs(in_blocks(attacked))
    shares = 1 / winners.groupby(["aggregator", "_block"])["attack"].transform("size")
    counts = shares.groupby(winners["attack"]).sum() / shares.sum()
    return counts.reindex(sorted(attacked["attack"].unique()), fill_value=0.0)


def _most_hurt(drops: pd.DataFrame) -> pd.Series:
    means = drops.groupby(["attack", "aggregator"])["drop"].mean().reset_index()
    means = means.sort_values(["attack", "drop", "aggregator"], ascending=[True, False, True])
    return means.drop_duplicates("attack").set_index("attack")["aggregator"]


def _effective(cells: pd.DataFrame) -> pd.Series:
    found = effects(cells)
    texts = {
        attack: f"{int(rows['effective'].astype(bool).sum())}/{len(rows)}"
        for attack, rows in found.groupby("attack")
    }
    return pd.Series(texts, dtype=object)


def _sentences(cells: pd.DataFrame, found: pd.DataFrame) -> tuple[str, ...]:
    rules = cells["aggregator"].nunique()
    several = found["mean_drop_low"].notna().any()
    brackets = f"; brackets: {captions.INTERVAL}" * bool(several)
    return (
        "Sorted by mean_drop: a rule's accuracy without attack minus that under the attack, same block and "
        f"seed; mean over {rules} rule{'s' if rules != 1 else ''}, blocks and seeds; baselines left out.",
        f"{captions.runs(cells)}{brackets}.",
        Said(
            f"plain_drop: that of the rule {PLAIN}; effective: blocks in which it loses 2 points or more "
            "beyond doubt, or a backdoor succeeds.",
            *("plain_drop", "effective"),
        ),
        Said(
            "worst_share: of all pairs of rule and block, those to which this attack does most harm.",
            "worst_share",
        ),
        "Coverage: finished of feasible cells; a drop of fewer cells is not quite comparable.",
        *captions.mixed(cells),
        captions.origin(cells),
    )
