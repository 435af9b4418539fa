"""Claims made from the records of a sweep, and the numbers of a claim made again from its rows.

A claim says of a rule what :func:`robustbench_fl.analysis.leaderboard.leaderboard` says of it beside plain
averaging alone: nothing of it depends on who else was compared. So ranks are in no claim, nor is the worst at
default strengths: only other rules show which strengths were picked. Whoever holds several claims makes both.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from robustbench_fl.analysis.attack_effect import PLAIN
from robustbench_fl.analysis.columns import bounds, without_bounds
from robustbench_fl.analysis.frame import frame, standing
from robustbench_fl.analysis.leaderboard import leaderboard
from robustbench_fl.core.claim import METRICS, Claim, ClaimError, Row
from robustbench_fl.core.claim_file import sealed_claim
from robustbench_fl.core.errors import RobustbenchError
from robustbench_fl.core.status import COUNTED, FINAL
from robustbench_fl.core.tuned import untuned
from robustbench_fl.core.version import __version__

EQUAL = 1e-9
"""Figures made from the same rows by other versions of libraries differ by less."""
_OF_OTHERS = frozenset({"aggregator", "rank", "tied", "rank_low", "rank_high", "note", "worst_at_defaults"})
_OF_CELL = frozenset({"aggregator", "attack", "assumed_f", "seed"})
_OF_RULE = ("needs", "detector", "ranked")
_ORIGIN = ("versions", "hardware", "engine", "device", "commit", "dirty")

Records = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Part:
    """A folder's sweep.

    Parameters
    ----------
    name : str
        What it is called.
    table : mapping
        Of its ``sweep.toml``.
    records : sequence of mappings
        One record for every planned cell.
    main : bool
        Whether it counts in the numbers over all blocks.
    own : bool
        Whether its rules are claimed, and not the reference of others alone.
    """

    name: str
    table: Mapping[str, Any]
    records: Records
    main: bool = True
    own: bool = True


def rules_of(parts: Iterable[Part]) -> list[str]:
    """Return the rules of sweeps as tables name them, in the order of the plans.

    A tuned rule that tuning left as it was is not among them: its cells are those of the rule itself.
    """
    found: dict[str, bool] = {}
    for record in (record for part in parts for record in part.records):
        names = [row["labels"]["aggregator"] for row in standing([record])]
        for name in names:
            found[name] = found.get(name, False) or name == untuned(name) or untuned(name) not in names
    return [name for name, own in found.items() if own]


def claim_of(
    rule: str, parts: Sequence[Part], code: Mapping[str, str], suite: Mapping[str, Any] | None = None
) -> Claim:
    """Return the claim of a rule.

    Parameters
    ----------
    rule : str
        As tables name it.
    parts : sequence of Part
        The sweeps that its cells are of; one that does not have the rule is left out.
    code : mapping
        Digests of the code of the rule's parts, by name.
    suite : mapping, optional
        Name, version, tier and digest of the frozen suite that the cells are of.

    Raises
    ------
    ClaimError
        If a cell of the rule has no result, or records contradict each other.
    """
    names = {part.name for part in parts if rule in rules_of([part])}
    parts = sorted((part for part in parts if part.name in names), key=lambda part: not part.main)
    rules = [rule] if rule == PLAIN or PLAIN not in rules_of(parts) else [rule, PLAIN]
    parts = [part for part in parts if set(rules) & set(rules_of([part]))]
    lists = _Lists()
    records: dict[str, Mapping[str, Any]] = {}
    rows: dict[str, list[Any]] = {}
    for place, part in enumerate(parts):
        for record in records_of_rules(part.records, rules):
            if records.setdefault(record["key"], record) is record:
                (standing_for,) = standing([record])
                rows[record["key"]] = _row(standing_for, place, lists)
    if unfinished := [record for record in records.values() if record["status"] not in FINAL]:
        first = unfinished[0]
        raise ClaimError(
            f"{len(unfinished)} of {len(records)} cells of {' and '.join(rules)} have no result: the first, "
            f"{first['key']}, is {first['status']}. A claim holds all of them: run the sweep again."
        )
    claimed = {
        "rule": rule,
        "reference": PLAIN if PLAIN in rules else None,
        "suite": suite,
        "sweeps": [
            {"name": part.name, "main": part.main, "table": of_rules(part.table, rules)} for part in parts
        ],
        "version": __version__,
        "code": dict(code),
        "data": _data(records.values()),
        **{name: list(entries) for name, entries in lists.entries.items()},
        "rows": list(rows.values()),
    }
    cells = [Row(*row) for row in rows.values()]
    main = frozenset(place for place, part in enumerate(parts) if part.main)
    return sealed_claim({**claimed, "reported": _reported(frame(records.values()), rule, cells, main)})


def records_of_rules(records: Records, rules: Sequence[str]) -> list[Mapping[str, Any]]:
    """Return the records that stand for some of `rules`, and there for these alone."""
    found: list[Mapping[str, Any]] = []
    for record in records:
        stands = [row for row in record.get("stands_for") or [] if row["aggregator"] in rules]
        if stands:
            found.append({**record, "stands_for": stands})
        elif not record.get("stands_for") and record["labels"]["aggregator"] in rules:
            found.append(record)
    return found


def of_rules(sweep: Mapping[str, Any], rules: Sequence[str]) -> dict[str, Any]:
    """Return the table of a sweep with some of its rules alone."""
    kept = {name: value for name, value in sweep.items() if name not in ("plugins", "grid", "tuned")}
    grids = [_of_rules({**kept, **grid}, rules) for grid in sweep.get("grid") or [{}]]
    grids = [grid for grid in grids if grid["aggregator"]]
    shared = {
        name: grids[0][name] for name in grids[0] if all(grid.get(name) == grids[0][name] for grid in grids)
    }
    own = [{name: value for name, value in grid.items() if name not in shared} for grid in grids]
    names = {untuned(rule) for rule in rules if rule != untuned(rule)}
    tuned = [one for one in sweep.get("tuned", []) if one["aggregator"] in names]
    return shared | ({"grid": own} if any(own) else {}) | ({"tuned": tuned} if tuned else {})


def _of_rules(grid: Mapping[str, Any], rules: Sequence[str]) -> dict[str, Any]:
    named = grid["aggregator"]
    named = [named] if isinstance(named, str) else named
    return {**grid, "aggregator": [rule for rule in named if rule in rules]}


class _Lists:
    """What rows point to, each once."""

    def __init__(self) -> None:
        names = ("origins", "settings", "forms", "attacks")
        self.entries: dict[str, list[dict[str, Any]]] = {name: [] for name in names}

    def place(self, name: str, entry: dict[str, Any]) -> int:
        """Return where `entry` stands in a list."""
        entries = self.entries[name]
        if entry not in entries:
            entries.append(entry)
        return entries.index(entry)


def _row(record: Mapping[str, Any], sweep: int, lists: _Lists) -> list[Any]:
    cell, labels, facts = record["cell"], record["labels"], record["facts"]
    setting = {name: labels[name] for name in ("dataset", "model", "partition")}
    setting["identity"] = {name: value for name, value in cell.items() if name not in _OF_CELL}
    run = record.get("run", {})
    form = {"rule": labels["aggregator"], "aggregator": run.get("run_aggregator", labels["aggregator"])}
    form |= {"lr": run.get("run_lr", cell["lr"]), "identity": cell["aggregator"]}
    attack = {"attack": labels["attack"], "identity": cell["attack"], "family": "", "edge": False}
    found = record.get("provenance") or {}
    origin = {name: found.get(name) for name in _ORIGIN} | {
        name: found.get(name) or {} for name in ("versions", "hardware")
    }
    metrics, costs, counts = (record.get(part) or {} for part in ("metrics", "costs", "counts"))
    counted = record["status"] in COUNTED
    row = Row(
        key=record["key"],
        sweep=sweep,
        setting=lists.place("settings", setting),
        form=lists.place("forms", form | {name: facts[name] for name in _OF_RULE}),
        attack=lists.place("attacks", attack | {k: v for k, v in facts.items() if k not in _OF_RULE}),
        assumed_f=cell["assumed_f"],
        seed=cell["seed"],
        origin=lists.place("origins", origin),
        status=record["status"],
        finished_rounds=(counts.get("rounds") or cell["rounds"]) if counted else None,
        aggregate_seconds=costs.get("aggregate_seconds"),
        peak_memory_mb=costs.get("peak_memory_mb"),
        **{name: metrics.get(name) for name in METRICS},
    )
    return list(row)


def _data(records: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    found: dict[str, str] = {}
    for record in records:
        if digest := (record.get("provenance") or {}).get("data"):
            name = record["labels"]["dataset"]
            if found.setdefault(name, digest) != digest:
                raise ClaimError(f"Cell {record['key']} was made with other data of {name} than others.")
    return found


def _reported(table: pd.DataFrame, rule: str, rows: Sequence[Row], main: frozenset[int]) -> dict[str, Any]:
    """Return the leaderboard's row of `rule` over all blocks of the main sweeps, and in each block alone.

    A setting that only plain averaging was run in is no block of the rule's.

    Raises
    ------
    ClaimError
        If no cell of a main sweep is of the rule.
    """
    place_of = {row.key: row.setting for row in rows}
    in_main = table["key"].isin([row.key for row in rows if row.sweep in main])
    if rule not in set(table.loc[in_main, "aggregator"]):
        raise ClaimError(f"No cell of a main sweep is of the rule {rule}.")
    setting, told = table["key"].map(place_of), table["assumed_f"].notna()
    blocks = [
        (int(place), assumed)
        for place in sorted(set(setting[table["aggregator"] == rule]))
        for assumed in sorted(set(table.loc[told & (setting == place), "assumed_f"])) or [None]
    ]
    whole = _numbers(table[in_main], rule)

    def numbers(place: int, assumed: str | None) -> dict[str, Any]:
        if len(blocks) == 1 and setting.nunique() == 1:
            return whole
        cells = table[(setting == place) & (~told | (table["assumed_f"] == assumed))]
        met = cells.loc[cells["aggregator"] == rule, "attack"]
        # Another sweep in the same setting may have more attacks, which this block does not.
        return _numbers(cells[cells["attack"].isin(met)], rule)

    named = [{"setting": place, "assumed_f": f, "numbers": numbers(place, f)} for place, f in blocks]
    return {"whole": whole, "blocks": named}


def _numbers(cells: pd.DataFrame, rule: str) -> dict[str, Any]:
    board = leaderboard(cells.reset_index(drop=True)).table
    (row,) = board[board["aggregator"] == rule].to_dict("records")
    return {name: _plain(value) for name, value in row.items() if name not in _OF_OTHERS}


def _plain(value: Any) -> Any:
    if pd.isna(value):
        return None
    return value.item() if hasattr(value, "item") else value


def wrong_numbers(claim: Claim) -> list[str]:
    """Return a sentence for each reported number that is not what the rows give, or why they give none.

    An interval may be wider than that of the rows, which know of the spread over seeds alone: the records
    know of that over test images too. Narrower it may not be.
    """
    main = frozenset(place for place, sweep in enumerate(claim.sweeps) if sweep.main)
    try:
        again = _reported(frame(claim.records()), claim.rule, claim.cell_rows, main)
    except RobustbenchError as error:  # rows that say that they are the same, or contradict themselves
        return [str(error)]
    stated = claim.reported.model_dump()
    if [_block(one) for one in stated["blocks"]] != [_block(one) for one in again["blocks"]]:
        return ["The reported blocks are not those of the rows."]
    pairs = [("over all blocks", stated["whole"], again["whole"])]
    pairs += [
        (f"in block {place}", one["numbers"], other["numbers"])
        for place, (one, other) in enumerate(zip(stated["blocks"], again["blocks"], strict=True))
    ]
    return [sentence for where, one, other in pairs for sentence in _apart(where, one, other)]


def _block(one: Mapping[str, Any]) -> tuple[Any, ...]:
    return one["setting"], one["assumed_f"]


def _apart(where: str, stated: Mapping[str, Any], again: Mapping[str, Any]) -> list[str]:
    if set(stated) != set(again):
        names = ", ".join(sorted(set(stated) ^ set(again)))
        return [f"The numbers reported {where} are others than the rows give: {names}."]
    ends = {bounds(name)[side]: side for name in without_bounds(again) for side in (0, 1)}
    seeds = {end: side for end, side in ends.items() if end.startswith(("worst", "mean"))}
    return [
        f"{name} is reported as {stated[name]!r} {where}; the rows give {value!r}."
        for name, value in again.items()
        if not (_equal(stated[name], value) or (name in seeds and _beyond(stated[name], value, seeds[name])))
    ]


def _equal(stated: Any, value: Any) -> bool:
    if _is_number(stated) and _is_number(value):
        return math.isclose(stated, value, rel_tol=EQUAL, abs_tol=EQUAL)
    return type(stated) is type(value) and stated == value


def _beyond(stated: Any, value: Any, side: int) -> bool:
    """Whether the end of an interval lies outside that of the rows."""
    if not (_is_number(stated) and _is_number(value)):
        return False
    return bool(stated >= value if side else stated <= value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
