"""Which blocks and attacks a score counts: one choice for leaderboards and for differences of two rules."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from robustbench_fl.analysis.attack_effect import credited, effective_drops, unhurt_blocks
from robustbench_fl.analysis.blocks import CLEAN
from robustbench_fl.analysis.scores import attacked
from robustbench_fl.analysis.strengths import by_family


@dataclass(frozen=True)
class Counting:
    """What counts of some cells.

    Attributes
    ----------
    blocks : pandas.DataFrame
        The cells of the blocks that count.
    worst : pandas.DataFrame
        Of these, the cells of which a worst case is the lowest: under attacks that are not adaptive.
    mean : pandas.DataFrame
        Of these, the cells that a mean over attacks averages: those of attacks that hurt plain
        averaging, of each family the member that is worst for the rule in the block.
    drops : pandas.DataFrame
        What each attack does to each rule in all blocks
        (:func:`robustbench_fl.analysis.attack_effect.effective_drops`).
    n_idle : int
        Blocks in which no attack hurts any rule. They count nowhere, unless there are no others.
    nobody : bool
        Whether there are no others.
    """

    blocks: pd.DataFrame
    worst: pd.DataFrame
    mean: pd.DataFrame
    drops: pd.DataFrame
    n_idle: int
    nobody: bool


def counting(blocks: pd.DataFrame, found: pd.DataFrame) -> Counting:
    """Choose what counts.

    Parameters
    ----------
    blocks : pandas.DataFrame
        Completed cells of all rules in blocks.
    found : pandas.DataFrame
        What attacks do to plain averaging (:func:`robustbench_fl.analysis.attack_effect.effects`).
    """
    drops = effective_drops(blocks)
    idle = unhurt_blocks(drops)
    meant = set(blocks.loc[blocks["attack"] != CLEAN, "_block"])
    nobody = bool(meant) and meant <= idle
    kept = blocks if nobody else blocks[~blocks["_block"].isin(idle)]
    hurt = attacked(kept)
    return Counting(kept, hurt, by_family(credited(hurt, found)), drops, len(idle), nobody)
