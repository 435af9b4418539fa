"""Stored cells run again and compared with what is stored."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from robustbench_fl.core.agreement import differences, tolerance
from robustbench_fl.core.cell import Planned
from robustbench_fl.core.code import code_in
from robustbench_fl.core.errors import UsageError
from robustbench_fl.core.seeding import stream
from robustbench_fl.core.status import COUNTED
from robustbench_fl.store import Store

NO_PLUGIN, OTHER_CODE, OTHER_VERSION = "no plug-in", "other code", "other version"
"""Why a cell cannot be run as it was."""


def sampled(store: Store, count: int, seed: int) -> list[dict[str, Any]]:
    """Return a sample of a folder's finished cells, the same for the same cells and seed.

    Parameters
    ----------
    store : Store
        The sweep's folder.
    count : int
        How many, at most.
    seed : int
        Of the choice.
    """
    keys = sorted(key for key, status in store.statuses().items() if status in COUNTED)
    chosen = stream("verify", seed).permutation(len(keys))[:count]
    wanted = {keys[number] for number in chosen}
    return [record for record in store.stored() if record["key"] in wanted]


def planned_again(records: Iterable[Mapping[str, Any]]) -> dict[str, Planned | str]:
    """Return the cells of `records` as planned today, or why they cannot be, by key. Imports torch."""
    from robustbench_fl.core.settings import Settings
    from robustbench_fl.sweep.expand import plan_cell

    found: dict[str, Planned | str] = {}
    for record in records:
        stored, key = record["cell"], record["key"]
        point = {name: stored[name] for name in ("malicious", "assumed_f", "seed")}
        try:
            planned = plan_cell(**record["labels"], **point, settings=Settings.of(stored))
        except UsageError:
            if not code_in(stored):
                raise
            found[key] = NO_PLUGIN
            continue
        if planned.cell.key == key:
            found[key] = planned
        else:
            found[key] = OTHER_CODE if code_in(planned.cell.identity) else OTHER_VERSION
    return found


def row(stored: Mapping[str, Any], again: Mapping[str, Any] | str | None) -> dict[str, Any]:
    """Return a table's row about one cell.

    Parameters
    ----------
    stored, again : mapping
        Its record, and the one made now, or why it cannot be made.
    """
    labels = stored["labels"]
    found: dict[str, Any] = {
        "key": stored["key"], "aggregator": labels["aggregator"], "attack": labels["attack"],
        "allowed": None, "verdict": "not run", "what": None, "stored": None, "now": None,
    }  # fmt: skip
    if not isinstance(again, Mapping):
        return found if again is None else {**found, "verdict": again}
    allowed = tolerance(stored, again)
    found["allowed"] = f"{allowed:g}" if allowed else "bit for bit"
    found["verdict"] = "same"
    if differing := differences(stored, again):
        worst = differing[0]
        found |= {"verdict": "differs", "what": worst.what, "stored": worst.first, "now": worst.second}
    return found
