"""The grid a set of cells spans: settings, blocks, and the holes in them.

A *setting* is one choice of everything that all rules meet alike, apart from the seed: data,
partition, share of malicious clients, training. A *block* is a setting with one assumed f. A rule
that does not need f has one cell for the whole setting and stands in each of its blocks. What one
seed draws in a setting (who holds what, who is malicious, the initial weights) is a *world*,
:class:`robustbench_fl.core.cell.World`.
"""

from __future__ import annotations

import pandas as pd

from robustbench_fl.analysis.frame import FACTS, settings
from robustbench_fl.core.errors import UsageError
from robustbench_fl.core.status import MISSING

CLEAN = "none"
"""The attack that does nothing."""
_KEY = ["_setting", "aggregator", "_assumed", "attack", "seed"]
_RULE_FACTS = ["told", "detector", "ranked"]
_ATTACK_FACTS = [name for name in FACTS if name not in _RULE_FACTS]


def completed(frame: pd.DataFrame) -> pd.DataFrame:
    """Return `frame` with a ``"missing"`` row for each cell that some rule has and another lacks.

    Within a setting every rule is expected to have met the same attacks and seeds, under each f
    assumed there if it is told f. A strength that a pilot picked for other rules is not expected of a
    rule that met the attack's family at another. Adds the column ``_setting`` (its number).

    Raises
    ------
    UsageError
        If two cells agree in every setting.
    """
    table = frame.copy()
    if table.empty:
        return table.assign(_setting=pd.Series(dtype="int64"), _assumed=pd.Series(dtype="object"))
    table["_setting"] = table.groupby(settings(table), dropna=False, sort=False).ngroup()
    table["_assumed"] = table["assumed_f"].astype(object).where(table["assumed_f"].notna(), "")
    _refuse_duplicates(table)
    wanted = _expected(table)
    holes = wanted.merge(table[_KEY], on=_KEY, how="left", indicator=True)
    holes = holes[holes["_merge"] == "left_only"].drop(columns="_merge")
    if holes.empty:
        return table
    filled = _described(holes, table)
    return pd.concat([table, filled.reindex(columns=table.columns)], ignore_index=True)


def in_blocks(table: pd.DataFrame) -> pd.DataFrame:
    """Return a completed frame with the column ``_block``, rules without f repeated in each block."""
    assumed = table.loc[table["_assumed"] != "", ["_setting", "_assumed"]].drop_duplicates()
    blocks = assumed.rename(columns={"_assumed": "_stands_for"})
    repeated = table.merge(blocks, on="_setting", how="left")
    repeated["_stands_for"] = (
        repeated["_stands_for"].astype(object).where(repeated["_stands_for"].notna(), "")
    )
    keep = (repeated["_assumed"] == "") | (repeated["_assumed"] == repeated["_stands_for"])
    repeated = repeated[keep].reset_index(drop=True)
    repeated["_block"] = repeated.groupby(["_setting", "_stands_for"], sort=False).ngroup()
    return repeated


def picked_strengths(table: pd.DataFrame) -> frozenset[str]:
    """Return the attacks of which some are met because a pilot picked them.

    Those with a parameter, and one without where a setting tells: some rule there met the family, but not
    this attack, and all that met the family met another one without a parameter, which is the named one.

    Parameters
    ----------
    table : pandas.DataFrame
        Cells with their ``_setting``, missing ones of the plan included.
    """
    families = table.groupby("attack")["family"].max()
    families = families[families != ""]
    bare = ~families.index.str.contains("(", regex=False)
    if families[bare].is_unique:  # no family has two without a parameter
        return frozenset(families.index[~bare])
    cells = table[["_setting", "aggregator", "attack"]].drop_duplicates()
    cells = cells.assign(family=cells["attack"].map(families)).dropna(subset=["family"])
    place = [cells["_setting"], cells["family"]]
    rules = cells.groupby(place)["aggregator"].nunique()
    met = cells[cells["attack"].isin(families.index[bare])]
    met = met.groupby(["_setting", "family", "attack"])["aggregator"].nunique().reset_index(name="by")
    met["all"] = (
        met["by"].to_numpy() == rules.loc[pd.MultiIndex.from_frame(met[["_setting", "family"]])].to_numpy()
    )
    named = met.groupby(["_setting", "family"])["all"].transform("any")
    by_some = set(met.loc[named & ~met["all"], "attack"]) - set(met.loc[met["all"], "attack"])
    return frozenset(families.index[~bare]) | by_some


def _refuse_duplicates(table: pd.DataFrame) -> None:
    twice = table[table.duplicated(_KEY, keep=False)]
    if twice.empty:
        return
    first = twice.iloc[0]
    same = twice[(twice[_KEY] == first[_KEY]).all(axis=1)]
    raise UsageError(
        f"Two cells agree in every setting: {' and '.join(same['key'].astype(str)[:2])} "
        f"({first['aggregator']} against {first['attack']}, seed {first['seed']}). "
        "Give the cells of one plan only."
    )


def _expected(table: pd.DataFrame) -> pd.DataFrame:
    met = table[["_setting", "attack", "seed"]].drop_duplicates()
    assumed = table[["_setting", "_assumed"]].drop_duplicates()
    told = table[table["_assumed"] != ""]["aggregator"].unique()
    rules = pd.DataFrame({"aggregator": table["aggregator"].unique()})
    rules["_told"] = rules["aggregator"].isin(told)
    has_f = set(assumed.loc[assumed["_assumed"] != "", "_setting"])
    pairs = assumed.merge(rules, how="cross")
    with_f = pairs["_told"] & pairs["_setting"].isin(has_f)
    pairs = pairs[with_f == (pairs["_assumed"] != "")]
    without = (
        rules[~rules["_told"]].merge(met[["_setting"]].drop_duplicates(), how="cross").assign(_assumed="")
    )
    pairs = pd.concat([pairs, without])[["_setting", "aggregator", "_assumed"]].drop_duplicates()
    wanted = pairs.merge(met, on="_setting")[_KEY]
    return wanted[~_picked_for_others(wanted, table)]


def _picked_for_others(wanted: pd.DataFrame, table: pd.DataFrame) -> pd.Series:
    """Return which cells are under a picked strength of a family that the rule met at another."""
    place = ["_setting", "aggregator", "_assumed"]
    families = table.groupby("attack")["family"].max()
    picked = wanted["attack"].isin(picked_strengths(table))
    if not picked.any():
        return picked
    met = pd.MultiIndex.from_frame(table[[*place, "attack"]])
    met_family = pd.MultiIndex.from_frame(table[place].assign(family=table["attack"].map(families)))
    family = wanted["attack"].map(families)
    known = pd.MultiIndex.from_frame(wanted[place].assign(family=family)).isin(met_family)
    unmet = ~pd.MultiIndex.from_frame(wanted[[*place, "attack"]]).isin(met)
    return picked & known & unmet


def _described(holes: pd.DataFrame, table: pd.DataFrame) -> pd.DataFrame:
    """Give the rows of `holes` what is known of their setting, rule and attack."""
    facts = (
        (["_setting"], settings(table)),
        (["aggregator"], _RULE_FACTS),
        (["attack"], _ATTACK_FACTS),
    )
    for keys, columns in facts:
        known = table[[*keys, *columns]].drop_duplicates(keys)
        holes = holes.merge(known, on=keys, how="left")
    assumed = holes["_assumed"].astype(object).where(holes["_assumed"] != "", None)
    return holes.assign(status=MISSING, key="", assumed_f=assumed)
