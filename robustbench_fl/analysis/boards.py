"""Several claims of one suite or sweep, put side by side."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from robustbench_fl.analysis.frame import frame
from robustbench_fl.analysis.leaderboard import Leaderboard, leaderboard
from robustbench_fl.core.claim import METRICS, Claim, ClaimError, Row

Records = Mapping[str, Mapping[str, Any]]
"""By key."""


@dataclass(frozen=True)
class Board:
    """What claims say together.

    Attributes
    ----------
    name : str
        Of the suite's tier, or of the sweep.
    claims : dict of str to Claim
        By rule.
    records : list of dict
        One for each cell: the stored one where it is at hand, with its curves, else what the claim tells.
    cells : pandas.DataFrame
        The frame of all cells.
    main : pandas.DataFrame
        Of those of the main sweeps.
    leaderboard : Leaderboard
        Made of these.
    """

    name: str
    claims: dict[str, Claim]
    records: list[dict[str, Any]]
    cells: pd.DataFrame
    main: pd.DataFrame
    leaderboard: Leaderboard


def board_of(name: str, claims: Iterable[Claim], stored: Records) -> Board:
    """Put claims side by side.

    Parameters
    ----------
    name : str
        What they are of.
    claims : iterable of Claim
        One a rule, all of the same suite and tier.
    stored : mapping
        Records at hand, by key; those that do not say what a claim says are not taken.

    Raises
    ------
    ClaimError
        If two claims are of one rule, of different suites, or disagree on a cell.
    """
    by_rule: dict[str, Claim] = {}
    records: dict[str, dict[str, Any]] = {}
    rows: dict[str, Row] = {}
    main: set[str] = set()
    for claim in claims:
        if claim.rule in by_rule:
            raise ClaimError(f"Two claims in {name} are of the rule {claim.rule}.")
        if claim.suite != next(iter(by_rule.values()), claim).suite:
            raise ClaimError(f"The claim of {claim.rule} in {name} is of another suite than others.")
        by_rule[claim.rule] = claim
        for row in claim.cell_rows:
            if values(rows.setdefault(row.key, row)) != values(row):
                raise ClaimError(f"Claims in {name} disagree on the cell {row.key}.")
            record = _best(claim.record(row), stored.get(row.key))
            before = records.get(row.key)
            records[row.key] = _standing_for_both(before, record) if before else record
            if claim.sweeps[row.sweep].main:
                main.add(row.key)
    kept = list(records.values())
    cells = frame(kept)
    of_main = cells[cells["key"].isin(main)].reset_index(drop=True)
    return Board(name, by_rule, kept, cells, of_main, leaderboard(of_main))


def values(row: Row) -> Sequence[Any]:
    """Return what a simulation made of a cell."""
    return [row.status, *(getattr(row, name) for name in METRICS)]


def _best(record: dict[str, Any], stored: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the stored record under the names of the claim's, if both say the same."""
    if stored is None or stored["status"] != record["status"]:
        return record
    stated, held = record.get("metrics") or {}, stored.get("metrics") or {}
    if any(held.get(name) != value for name, value in stated.items()):
        return record
    return {
        name: value for name, value in {**stored, "stands_for": record.get("stands_for")}.items() if value
    }


def _standing_for_both(before: Mapping[str, Any], record: Mapping[str, Any]) -> dict[str, Any]:
    stands = [*_stands_for(before), *_stands_for(record)]
    return {**before, "stands_for": [row for place, row in enumerate(stands) if row not in stands[:place]]}


def _stands_for(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    itself = {"aggregator": record["labels"]["aggregator"], "lr": record["cell"]["lr"]}
    return record.get("stands_for") or [itself]
