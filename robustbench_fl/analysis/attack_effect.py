"""Whether an attack hurts at all: judged by what it does to plain averaging, and to the rules."""

from __future__ import annotations

import numpy as np
import pandas as pd

from robustbench_fl.analysis.blocks import CLEAN
from robustbench_fl.analysis.inference import mean_interval

PLAIN = "mean"
"""The rule without any defence."""
MIN_DROP = 0.02
"""A rule must lose this much accuracy …"""
MIN_SUCCESS = 0.2
"""… or, under a backdoor, classify this share of triggered images as the target."""


_EFFECT = ("accuracy", "attack_success", "category")


def effects(table: pd.DataFrame) -> pd.DataFrame:
    """Return what each attack does to plain averaging in each setting.

    Parameters
    ----------
    table : pandas.DataFrame
        A completed frame.

    Returns
    -------
    pandas.DataFrame
        Columns ``_setting``, ``dataset``, ``partition``, ``malicious``, ``attack``, ``drop`` (clean −
        attacked accuracy, mean over paired seeds), ``attack_success``, ``effective``. An attack is
        ineffective if the drop is below 2 points or, with several seeds, its 95 % interval
        reaches 0. Empty without the rule ``mean``.
    """
    keys = ["_setting", "dataset", "partition", "malicious", "attack"]
    is_plain = (table["aggregator"] == PLAIN) & table["accuracy"].notna()
    pairs = _drops(table.loc[is_plain, [*keys, "seed", *_EFFECT]], ["_setting", "seed"])
    rows = [
        dict(zip(keys, labels, strict=True)) | _judged(cells)
        for labels, cells in pairs.groupby(keys, sort=False)
    ]
    return pd.DataFrame(rows, columns=[*keys, "drop", "attack_success", "effective"])


def credited(rows: pd.DataFrame, found: pd.DataFrame) -> pd.DataFrame:
    """Return the attacked rows that a mean over attacks counts.

    Those of attacks that hurt plain averaging in the setting; all, in a block where a rule has a value
    under no such attack, or where it is not known.

    Parameters
    ----------
    rows : pandas.DataFrame
        Attacked cells in blocks.
    found : pandas.DataFrame
        As from :func:`effects`.
    """
    known = {
        (setting, attack): bool(hurts)
        for setting, attack, hurts in zip(found["_setting"], found["attack"], found["effective"], strict=True)
    }
    hurts = pd.Series(
        [known.get(pair, True) for pair in zip(rows["_setting"], rows["attack"], strict=True)],
        index=rows.index,
        dtype=bool,
    )
    known_hurt = hurts & rows["accuracy"].notna()
    some = known_hurt.groupby([rows["_block"], rows["aggregator"]]).transform("any")
    return rows[hurts | ~some]


def unhurt_blocks(drops: pd.DataFrame) -> set[int]:
    """Return the blocks in which no attack, not even an adaptive one, hurts any ranked rule.

    Parameters
    ----------
    drops : pandas.DataFrame
        As from :func:`effective_drops`. Blocks without a rule that has both clean and attacked cells are
        not judged.
    """
    hurt = drops.groupby("_block")["hurts"].any()
    return {int(block) for block in hurt.index[~hurt]}


def effective_drops(blocks: pd.DataFrame) -> pd.DataFrame:
    """Return what each attack does to each ranked rule in each block.

    Parameters
    ----------
    blocks : pandas.DataFrame
        Completed cells in blocks.

    Returns
    -------
    pandas.DataFrame
        Columns ``_block``, ``aggregator``, ``attack``, ``drop`` (clean − attacked accuracy, mean over
        paired seeds) and ``hurts``: a drop of 2 points or more whose 95 % t interval over seeds, if
        there are several, lies above 0, or a backdoor that succeeds; ``helps``: the contrary.
    """
    from scipy.special import stdtrit

    keys = ["_block", "aggregator", "attack"]
    judged = blocks["accuracy"].notna() & blocks["ranked"].astype(bool)
    pairs = _drops(blocks.loc[judged, [*keys, "seed", *_EFFECT]], ["_block", "aggregator", "seed"])
    found = pairs.groupby(keys).agg(
        drop=("drop", "mean"), spread=("drop", "std"), n=("drop", "size"), category=("category", "first"),
        attack_success=("attack_success", "mean"),
    )  # fmt: skip
    reach = stdtrit(np.maximum(found["n"] - 1, 1), 0.975) * found["spread"].fillna(0) / np.sqrt(found["n"])
    backdoor = (found["category"] == "backdoor") & (found["attack_success"] >= MIN_SUCCESS)
    hurts = (found["drop"] >= MIN_DROP) & (found["drop"] - reach > 0) | backdoor
    helps = (found["drop"] <= -MIN_DROP) & (found["drop"] + reach < 0)
    return found.assign(hurts=hurts, helps=helps)[["drop", "hurts", "helps"]].reset_index()


def losses(table: pd.DataFrame) -> pd.Series:
    """Return for each cell the rule's own accuracy without attack minus its accuracy.

    Parameters
    ----------
    table : pandas.DataFrame
        A completed frame.

    Returns
    -------
    pandas.Series
        With the index of `table`; NaN under the attack ``none`` and where one of the two is missing.
    """
    keys = ["_setting", "aggregator", "_assumed", "seed"]
    clean = table[table["attack"] == CLEAN].set_index(keys)["accuracy"]
    own = clean.reindex(pd.MultiIndex.from_frame(table[keys])).to_numpy(dtype=float)
    lost: pd.Series = (own - table["accuracy"]).where(table["attack"] != CLEAN)
    return lost


def ineffective(found: pd.DataFrame) -> list[str]:
    """Return a text for each attack that leaves plain averaging unhurt somewhere.

    For example ``"alie (all 4 blocks)"`` or ``"ipm (1 of 4 blocks)"``.
    """
    texts = []
    for attack, rows in found.groupby("attack"):
        unhurt, blocks = int((~rows["effective"].astype(bool)).sum()), len(rows)
        if unhurt:
            plural = "block" if blocks == 1 else "blocks"
            share = f"all {blocks}" if unhurt == blocks and blocks > 1 else f"{unhurt} of {blocks}"
            texts.append(f"{attack} ({share} {plural})")
    return texts


def _drops(rows: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """Return the attacked rows with ``drop``, the clean accuracy at the same `keys` minus their own."""
    clean = rows[rows["attack"] == CLEAN][[*keys, "accuracy"]]
    pairs = rows[rows["attack"] != CLEAN].merge(clean, on=keys, suffixes=("", "_clean"))
    return pairs.assign(drop=pairs["accuracy_clean"] - pairs["accuracy"])


def _judged(cells: pd.DataFrame) -> dict[str, object]:
    drops = cells["drop"].to_numpy(dtype=float)
    drop = float(drops.mean())
    success = cells["attack_success"].to_numpy(dtype=float)
    triggered = float(success[~np.isnan(success)].mean()) if (~np.isnan(success)).any() else np.nan
    backdoor = (cells["category"] == "backdoor").any() and triggered >= MIN_SUCCESS
    hurt = drop >= MIN_DROP and (len(drops) < 2 or mean_interval([[drops]])[1] > 0)
    return {"drop": drop, "attack_success": triggered, "effective": bool(hurt or backdoor)}
