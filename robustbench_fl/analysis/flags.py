"""What makes a comparison suspect, found by itself: a cause and a remedy each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd

from robustbench_fl.analysis.attack_effect import effective_drops
from robustbench_fl.analysis.blocks import CLEAN
from robustbench_fl.analysis.coverage import counted, counted_blocks
from robustbench_fl.analysis.scores import attacked, block_means
from robustbench_fl.analysis.strengths import worst_at_edge
from robustbench_fl.analysis.tuned import with_chosen_parameters
from robustbench_fl.core.status import OTHER_DATA

WANTED_SEEDS = 10
ENOUGH_OF_ORACLE = 0.9
"""Root data alone suffice from this share of what lies between chance and the oracle."""
_SHOWN = 3


@dataclass(frozen=True)
class Flag:
    """One reason for doubt.

    Attributes
    ----------
    name : str
        Short and stable, for programs.
    cause, remedy : str
        A sentence each.
    """

    name: str
    cause: str
    remedy: str

    @property
    def text(self) -> str:
        """Both sentences."""
        return f"{self.cause} {self.remedy}"


def flags(
    frame: pd.DataFrame, blocks: pd.DataFrame | None = None, drops: pd.DataFrame | None = None
) -> tuple[Flag, ...]:
    """Return what is suspect about a comparison.

    Parameters
    ----------
    frame : pandas.DataFrame
        As from :func:`robustbench_fl.analysis.frame.frame`.
    blocks : pandas.DataFrame, optional
        Its :func:`robustbench_fl.analysis.coverage.counted_blocks`, if they are known.
    drops : pandas.DataFrame, optional
        What :func:`robustbench_fl.analysis.attack_effect.effective_drops` says of them, likewise.

    Returns
    -------
    tuple of Flag
        At most nine; none without a finished cell.
    """
    if frame.empty or not counted(frame).any():
        return ()
    if blocks is None:
        blocks = counted_blocks(frame)
    return (*_other_data(frame), *_found(blocks, effective_drops(blocks) if drops is None else drops))


def _other_data(frame: pd.DataFrame) -> Iterator[Flag]:
    apart = frame[frame["status"] == OTHER_DATA]
    if len(apart):
        why = _some(sorted(set(apart["reason"])))
        yield Flag(
            "other_data", f"Left out, as made with other data than the rest: {len(apart)} cells ({why}).",
            "Check the files with `data verify`, then run these cells again with --existing always.",
        )  # fmt: skip


def _found(blocks: pd.DataFrame, drops: pd.DataFrame) -> Iterator[Flag]:
    if blocks["dataset"].nunique() == 1:
        yield Flag(
            "one_data_set", f"One data set only ({blocks['dataset'].iloc[0]}).",
            "Run a second one: rankings change with the data.",
        )  # fmt: skip
    if (n_seeds := int(blocks.groupby("_block")["seed"].nunique().min())) < WANTED_SEEDS:
        yield Flag(
            "few_seeds", f"Few seeds ({n_seeds}): only large differences are seen.",
            f"Run {WANTED_SEEDS}.",
        )  # fmt: skip
    attacks = blocks.loc[blocks["attack"] != CLEAN, "adaptive"]
    if len(attacks) and not attacks.any():
        yield Flag("no_adaptive_attack", "No adaptive attack was run.", "Add the attacks of @adaptive.")
    if settings := _root_suffices(blocks):
        yield Flag(
            "root_data_alone", f"Root data alone nearly reach the oracle in {settings}.",
            "Lower root_size: the setting needs no federation.",
        )  # fmt: skip
    if at_edge := worst_at_edge(blocks):
        yield Flag(
            "strength_at_edge", f"The worst strength lies at the edge of its grid: {_some(at_edge)}.",
            "Widen the grid.",
        )  # fmt: skip
    if helped := sorted(set(drops.loc[drops["helps"], "aggregator"])):
        yield Flag(
            "attacked_above_clean", f"More accurate under an attack than without any: {_some(helped)}.",
            "Look at the clean runs: rounds or learning rate may not suit the rule.",
        )  # fmt: skip
    if idle := sorted(set(drops["attack"]) - set(drops.loc[drops["hurts"], "attack"])):
        yield Flag(
            "attack_hurts_nobody", f"These attacks hurt no rule in any setting: {_some(idle)}.",
            "Raise their strength, or leave them out.",
        )  # fmt: skip
    ranked = sorted(set(blocks.loc[blocks["ranked"].astype(bool), "aggregator"]))
    if chosen := with_chosen_parameters(ranked):
        yield Flag(
            "unequal_tuning", f"Chosen parameters on one side ({_some(chosen)}), defaults on the other.",
            "Tune every rule on the same small grid, or none.",
        )  # fmt: skip


def _root_suffices(blocks: pd.DataFrame) -> str:
    """Say in which settings training on the root set alone comes close to the oracle."""
    ends = blocks[blocks["aggregator"].isin(["root_only", "oracle_mean"])]
    means = block_means(attacked(ends)).groupby(["_block", "aggregator"])["accuracy"].min().unstack()
    if not {"root_only", "oracle_mean"} <= set(means):
        return ""
    of_block = blocks.drop_duplicates("_block").set_index("_block")
    classes = blocks.groupby("_block")["classes"].max()  # cells without a result do not say
    chance = (1 / classes).reindex(means.index)
    share = (means["root_only"] - chance) / (means["oracle_mean"] - chance)
    near = of_block.loc[share.index[share >= ENOUGH_OF_ORACLE]]
    names = [
        f"{row['dataset']}, {row['partition']}, {100 * row['malicious']:g} % malicious"
        for row in near.to_dict("records")
    ]
    return "; ".join(names[:_SHOWN]) + f" and {len(names) - _SHOWN} more" * (len(names) > _SHOWN)


def _some(names: list[str]) -> str:
    return ", ".join(names[:_SHOWN]) + f" and {len(names) - _SHOWN} more" * (len(names) > _SHOWN)
