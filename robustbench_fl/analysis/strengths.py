"""Attacks whose strength a pilot picked for each rule: what stands beside what, the default, the edge."""

from __future__ import annotations

import pandas as pd

from robustbench_fl.analysis.blocks import picked_strengths
from robustbench_fl.analysis.scores import attacked, block_means, worst_pairs

_PLACE = ["aggregator", "_block"]


def is_default(rows: pd.DataFrame) -> pd.Series:
    """Return which rows are under an attack as the sweep names it, not at a strength that a pilot picked."""
    return ~rows["attack"].isin(picked_strengths(rows))


def has_picks(rows: pd.DataFrame) -> bool:
    """Whether some family was met at its default and at another strength."""
    known = rows[rows["family"] != ""]
    if known[["family", "attack"]].drop_duplicates()["family"].is_unique:
        return False
    return bool((is_default(known).groupby(known["family"]).nunique() > 1).any())


def filled(rows: pd.DataFrame) -> pd.DataFrame:
    """Return `rows` with a rule's own worst member in place of those that were picked for others only.

    Two rules are compared on the attacks that both met; with this each is compared at its own worst of
    a family. No minimum over attacks changes.

    Parameters
    ----------
    rows : pandas.DataFrame
        Attacked cells in blocks, completed.
    """
    families = rows.groupby("attack")["family"].max()
    met = rows[["_block", "attack"]].drop_duplicates()
    met = met[met["attack"].isin(picked_strengths(rows))].assign(
        family=lambda some: some["attack"].map(families)
    )
    if met.empty:
        return rows
    means = block_means(rows).assign(family=lambda some: some["attack"].map(families))
    worst = means.sort_values("accuracy", kind="stable").drop_duplicates([*_PLACE, "family"])
    wanted = worst.merge(met, on=["_block", "family"], suffixes=("", "_for"))
    own = pd.MultiIndex.from_frame(rows[[*_PLACE, "attack"]])
    wanted = wanted[~pd.MultiIndex.from_frame(wanted[[*_PLACE, "attack_for"]]).isin(own)]
    added = wanted[[*_PLACE, "attack", "attack_for"]].merge(rows, on=[*_PLACE, "attack"])
    added = added.drop(columns="attack").rename(columns={"attack_for": "attack"})
    return pd.concat([rows, added[rows.columns]], ignore_index=True) if len(added) else rows


def families_of(rows: pd.DataFrame) -> pd.Series:
    """Return the family of each attack of `rows`; one that names none stands for itself."""
    known = rows.groupby("attack")["family"].max()
    return known.where(known != "", known.index.to_series())


def by_family(rows: pd.DataFrame) -> pd.DataFrame:
    """Return `rows` with one attack a family: for each rule and block the member that is worst for it.

    Means count each family once, however many strengths of it were run; otherwise a family of five
    members would weigh five times, and rules that met different strengths could not be compared.

    Parameters
    ----------
    rows : pandas.DataFrame
        Attacked cells in blocks, completed. Attacks that name no family stand for themselves.

    Returns
    -------
    pandas.DataFrame
        The rows of each family's member of the smallest mean over seeds (of equal ones the first by
        name), with the family's name as ``attack`` where a family has several members.
    """
    families = rows["attack"].map(families_of(rows))
    if families.nunique() == rows["attack"].nunique():
        return rows
    named = rows.assign(family=families)
    means = named.groupby([*_PLACE, "family", "attack"])["accuracy"].mean().reset_index()
    worst = means.sort_values("accuracy", kind="stable").drop_duplicates([*_PLACE, "family"])
    kept = named.merge(worst[[*_PLACE, "family", "attack"]], on=[*_PLACE, "family", "attack"])
    return kept.assign(attack=kept["family"])


def worst_at_edge(blocks: pd.DataFrame) -> list[str]:
    """Return the strengths at the edge of their grid that are worst for a ranked rule in some block.

    Parameters
    ----------
    blocks : pandas.DataFrame
        Completed cells in blocks. Families met at their default only, or at no default, have no grid.
    """
    names = ["_setting", "aggregator", "_block", "attack", "adaptive", "family", "edge", "accuracy"]
    ranked = attacked(blocks.loc[blocks["ranked"].astype(bool), names])
    edge = ranked["edge"].eq(True)
    families = ranked[ranked["family"].isin(set(ranked.loc[edge, "family"]))].groupby("family")
    of_grid = [family for family, rows in families if family and has_picks(rows)]
    at_edge = set(ranked.loc[edge & ranked["family"].isin(of_grid), "attack"])
    return sorted(at_edge & set(worst_pairs(ranked)["attack"])) if at_edge else []
