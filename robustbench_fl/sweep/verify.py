"""Stored cells run again and compared with what is stored."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from robustbench_fl.core.agreement import differences, tolerance
from robustbench_fl.core.cell import Planned
from robustbench_fl.core.seeding import stream
from robustbench_fl.core.status import COUNTED
from robustbench_fl.store import Store


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


def planned_again(records: Iterable[Mapping[str, Any]]) -> dict[str, Planned]:
    """Return the cells of `records` as they are planned today, by key. Imports torch.

    Those whose methods have another version today are left out.

    Raises
    ------
    UsageError
        If a method is unknown: a plug-in was not given.
    """
    from robustbench_fl.core.settings import Settings
    from robustbench_fl.sweep.expand import plan_cell

    found = {}
    for record in records:
        stored = record["cell"]
        point = {name: stored[name] for name in ("malicious", "assumed_f", "seed")}
        planned = plan_cell(**record["labels"], **point, settings=Settings.of(stored))
        if planned.cell.key == record["key"]:
            found[planned.cell.key] = planned
    return found


def row(stored: Mapping[str, Any], again: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return a table's row about one cell.

    Parameters
    ----------
    stored, again : mapping
        Its record, and the one made now; ``None`` if it cannot be made any more.
    """
    labels = stored["labels"]
    found: dict[str, Any] = {
        "key": stored["key"], "aggregator": labels["aggregator"], "attack": labels["attack"],
        "allowed": None, "verdict": "other version", "what": None, "stored": None, "now": None,
    }  # fmt: skip
    if again is None:
        return found
    allowed = tolerance(stored, again)
    found["allowed"] = f"{allowed:g}" if allowed else "bit for bit"
    found["verdict"] = "same"
    if differing := differences(stored, again):
        worst = differing[0]
        found |= {"verdict": "differs", "what": worst.what, "stored": worst.first, "now": worst.second}
    return found
