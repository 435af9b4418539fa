"""Whether an attack hurts at all: judged by what it does to plain averaging."""

from __future__ import annotations

import pandas as pd

from robustbench_fl.analysis.blocks import CLEAN
from robustbench_fl.analysis.bootstrap import mean_interval

PLAIN = "mean"
"""The rule without any defence."""
MIN_DROP = 0.02
"""Plain averaging must lose this much accuracy …"""
MIN_SUCCESS = 0.2
"""… or, under a backdoor, classify this share of triggered images as the target."""


def effects(table: pd.DataFrame) -> pd.DataFrame:
    """Return what each attack does to plain averaging in each world.

    Parameters
    ----------
    table : pandas.DataFrame
        A completed frame.

    Returns
    -------
    pandas.DataFrame
        Columns ``_world``, ``dataset``, ``partition``, ``malicious``, ``attack``, ``drop`` (clean −
        attacked accuracy, mean over paired seeds), ``attack_success``, ``effective``. An attack is
        ineffective if the drop is below 2 points or, with several seeds, its 95 % interval
        reaches 0. Empty without the rule ``mean``.
    """
    plain = table[(table["aggregator"] == PLAIN) & table["accuracy"].notna()]
    clean = plain[plain["attack"] == CLEAN][["_world", "seed", "accuracy"]]
    pairs = plain[plain["attack"] != CLEAN].merge(clean, on=["_world", "seed"], suffixes=("", "_clean"))
    pairs["drop"] = pairs["accuracy_clean"] - pairs["accuracy"]
    keys = ["_world", "dataset", "partition", "malicious", "attack"]
    rows = [
        dict(zip(keys, labels, strict=True)) | _judged(cells)
        for labels, cells in pairs.groupby(keys, sort=False)
    ]
    return pd.DataFrame(rows, columns=[*keys, "drop", "attack_success", "effective"])


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


def _judged(cells: pd.DataFrame) -> dict[str, object]:
    drops = cells["drop"].to_numpy(dtype=float)
    drop = float(drops.mean())
    success = float(cells["attack_success"].mean())
    certain = len(drops) < 2 or mean_interval([drops])[0] > 0
    backdoor = (cells["category"] == "backdoor").any() and success >= MIN_SUCCESS
    hurt = drop >= MIN_DROP and certain
    return {"drop": drop, "attack_success": success, "effective": bool(hurt or backdoor)}
