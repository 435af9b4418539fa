"""The cells of two folders side by side: the same cell up to what made it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from robustbench_fl.analysis.coverage import counted
from robustbench_fl.analysis.frame import frame, settings, standing
from robustbench_fl.core.errors import UsageError
from robustbench_fl.core.settings import ADDED

_POINT = ("aggregator", "attack", "assumed_f", "seed")
_CODE = frozenset({"schema", "engine"})
"""Settings that say which code made a cell, not which cell it is."""
_SAME_WORLD = ("dataset", "partition", "model")


@dataclass(frozen=True)
class Aligned:
    """Two folders' cells, matched.

    Attributes
    ----------
    both : pandas.DataFrame
        One row for every cell finished in both, the columns of the first with the suffix ``_a``,
        of the second ``_b``; what they were matched on without suffix.
    only_a, only_b : pandas.DataFrame
        Cells finished in one folder and not in the other's plan.
    lost, gained : pandas.DataFrame
        Cells finished in the first but, though planned, not in the second; and the other way round.
    on : tuple of str
        The columns matched on, without those in `forced`.
    forced : tuple of str
        Settings in which the two differ throughout.
    remade : tuple of str
        Methods whose identity (version or default parameters) differs under the same name.
    """

    both: pd.DataFrame
    only_a: pd.DataFrame
    only_b: pd.DataFrame
    lost: pd.DataFrame
    gained: pd.DataFrame
    on: tuple[str, ...]
    forced: tuple[str, ...]
    remade: tuple[str, ...]

    @property
    def paired(self) -> bool:
        """Whether the two folders share seeds."""
        return "seed" not in self.forced


def align(first: Iterable[Mapping[str, Any]], second: Iterable[Mapping[str, Any]], force: bool) -> Aligned:
    """Match the cells of two folders by labels, settings, world and seed.

    Parameters
    ----------
    first, second : iterables of mappings
        One record for every planned cell.
    force : bool
        Match over settings, or seeds, in which the two differ throughout, and over data sets,
        partitions or networks of the same name that are not the same.

    Raises
    ------
    UsageError
        If a folder has no cell, no cell is in both, the worlds differ and `force` is not given, or
        matching over them would be ambiguous.
    """
    a, b = _prepared(first, "first"), _prepared(second, "second")
    known = sorted({*settings(a), *settings(b)} - _CODE)
    # A folder whose cells all leave an added setting at its default does not state it.
    a, b = (
        table.assign(**{name: ADDED.get(name) for name in known if name not in table}) for table in (a, b)
    )
    columns = [*_POINT, *known]
    texts = [pd.DataFrame({name: _texts(table[name]) for name in columns}) for table in (a, b)]
    forced = _differing(texts[0], texts[1], force)
    on = [name for name in columns if name not in forced]
    for table, text in zip((a, b), texts, strict=True):
        table["_match"] = list(map("\x1f".join, zip(*(text[name] for name in on), strict=True)))
    _refuse_ambiguous(a, b, [name for name in forced if name != "seed"])
    _refuse_other_worlds(a, b, force)
    return _matched(a, b, tuple(on), tuple(forced))


def _prepared(records: Iterable[Mapping[str, Any]], which: str) -> pd.DataFrame:
    kept = list(standing(records))
    table = frame(kept)
    if table.empty:
        raise UsageError(f"The {which} folder holds no cell to compare. Run its sweep first.")
    table["_world_is"] = [_identity(record["cell"], _SAME_WORLD) for record in kept]
    for name in ("aggregator", "attack"):
        table[f"_{name}_is"] = [_identity(record["cell"], (name,)) for record in kept]
    return table.assign(_done=counted(table))


def _identity(cell: Mapping[str, Any], names: Sequence[str]) -> str:
    return json.dumps([cell.get(name) for name in names], sort_keys=True)


def _texts(column: pd.Series) -> pd.Series:
    return column.astype(object).map(_text)


def _text(value: Any) -> str:
    if value is None or value is pd.NA or value != value:  # NaN is not itself
        return ""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return repr(float(value))
    return str(value)


def _differing(a: pd.DataFrame, b: pd.DataFrame, force: bool) -> list[str]:
    """Return the settings, or the seed, of which the two share no value."""
    found = [name for name in a if name not in _POINT[:3] and not set(a[name]) & set(b[name])]
    if found and not force:
        shown = "; ".join(f"{name} {_some(a[name])} against {_some(b[name])}" for name in found)
        raise UsageError(
            f"The two folders were run in different worlds: {shown}. Their cells are not paired. "
            "Compare folders with the same settings, or give --force to compare them all the same."
        )
    return found


def _some(column: pd.Series) -> str:
    values = sorted(set(column))
    shown = ", ".join(value.removesuffix(".0") or "none" for value in values[:3])
    return f"{shown}, …" if len(values) > 3 else shown


def _refuse_ambiguous(a: pd.DataFrame, b: pd.DataFrame, forced: Sequence[str]) -> None:
    for table, which in ((a, "first"), (b, "second")):
        if forced and table.duplicated(["_match", "seed"]).any():
            raise UsageError(
                f"The {which} folder has several cells for one place once {' and '.join(forced)} is "
                "left out. Compare folders with one value of it each."
            )


def _refuse_other_worlds(a: pd.DataFrame, b: pd.DataFrame, force: bool) -> None:
    """Refuse data sets, partitions or networks that have the same name and are not the same."""
    pairs = a[["_match", "_world_is"]].merge(b[["_match", "_world_is"]], on="_match", suffixes=("_a", "_b"))
    other = pairs[pairs["_world_is_a"] != pairs["_world_is_b"]]
    if len(other) and not force:
        one, two = other.iloc[0][["_world_is_a", "_world_is_b"]]
        raise UsageError(
            f"{len(other)} cells have the same names but different worlds (data set, partition, network), "
            f"for example {one} against {two}. Give --force to compare them all the same."
        )


def _matched(a: pd.DataFrame, b: pd.DataFrame, on: tuple[str, ...], forced: tuple[str, ...]) -> Aligned:
    done_a, done_b = a[a["_done"]], b[b["_done"]]
    kept = [name for name in on if name in a]
    both = done_a.merge(done_b, on="_match", suffixes=("_a", "_b"))
    both = pd.concat([both, both[[f"{name}_a" for name in kept]].set_axis(kept, axis=1)], axis=1)
    if both.empty:
        raise UsageError(
            "No cell is finished in both folders. They must share rules, attacks and settings: "
            f"rules {_few(a['aggregator'])} against {_few(b['aggregator'])}, "
            f"attacks {_few(a['attack'])} against {_few(b['attack'])}."
        )
    remade = {
        f"{row[name]}"
        for name in ("aggregator", "attack")
        for _, row in both[both[f"_{name}_is_a"] != both[f"_{name}_is_b"]].drop_duplicates(name).iterrows()
    }
    return Aligned(
        both=both,
        only_a=done_a[~done_a["_match"].isin(b["_match"])],
        only_b=done_b[~done_b["_match"].isin(a["_match"])],
        lost=b[~b["_done"] & b["_match"].isin(done_a["_match"])],
        gained=a[~a["_done"] & a["_match"].isin(done_b["_match"])],
        on=on,
        forced=forced,
        remade=tuple(sorted(remade)),
    )


def _few(column: pd.Series) -> str:
    names = sorted(column.unique())
    return ", ".join(names[:3]) + ", …" * (len(names) > 3)
