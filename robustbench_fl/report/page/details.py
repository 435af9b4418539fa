"""What stands behind one cell: its settings, where it comes from, its command, its curves."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from robustbench_fl.report.page.packing import STEPS, coded, curve

_METHODS = ("dataset", "model", "partition", "aggregator", "attack")
_SKIPPED = frozenset({"schema", "engine", *_METHODS})


def details(records: Sequence[Mapping[str, Any]], command: Callable[[Any], str]) -> dict[str, Any]:
    """Return the details of every record, a column a fact, in the order of `records`.

    Parameters
    ----------
    records : sequence of mappings
        One record for every planned cell.
    command : callable
        Returns the command line that makes the cell of a record again.

    Returns
    -------
    dict
        ``settings``, ``origin`` and ``outcome`` (facts as text, see
        :func:`robustbench_fl.report.page.packing.coded`), ``command``, ``rounds`` and ``curves``.
    """
    drawn = [curve(record.get("curves")) for record in records]
    rounds = coded([found["round"] if found else None for found in drawn])
    return {
        "settings": _facts(map(_settings, records)),
        "origin": _facts(map(_origin, records)),
        "outcome": _facts(map(_outcome, records)),
        "command": coded([command(record) for record in records]),
        "rounds": rounds,
        "accuracy": [found.get("accuracy") if found else None for found in drawn],
        "attack_success": [found.get("attack_success") if found else None for found in drawn],
        "steps": STEPS,
    }


def commits(records: Iterable[Mapping[str, Any]]) -> str:
    """Return the commits that finished cells come from as a phrase; empty if none is known."""
    origins = [record.get("provenance") or {} for record in records]
    known = {(origin["commit"], bool(origin.get("dirty"))) for origin in origins if origin.get("commit")}
    names = [f"{commit}{' with uncommitted changes' if dirty else ''}" for commit, dirty in sorted(known)]
    if not names:
        return ""
    return f"{'Commits' if len(names) > 1 else 'Commit'} {', '.join(names)}."


def _facts(rows: Iterable[dict[str, str]]) -> dict[str, Any]:
    found = list(rows)
    names = dict.fromkeys(name for row in found for name in row)
    return {name: coded([row.get(name) for row in found]) for name in names}


def _settings(record: Mapping[str, Any]) -> dict[str, str]:
    cell = record["cell"]
    texts = {name: _method(cell.get(name), record["labels"][name]) for name in _METHODS}
    return texts | {name: _text(value) for name, value in cell.items() if name not in _SKIPPED}


def _method(identity: Any, label: str) -> str:
    """Return a method's canonical text and, where the identity says more, all its parameters."""
    parts = identity if isinstance(identity, list) else [identity]
    known = [part for part in parts if isinstance(part, Mapping) and "name" in part]
    resolved = " > ".join(
        f"{part['name']} version {part.get('version', 1)}{_parameters(part.get('params'))}" for part in known
    )
    return f"{label} — {resolved}" if resolved else label


def _parameters(params: Any) -> str:
    if not isinstance(params, Mapping) or not params:
        return ""
    return f" ({', '.join(f'{name}={_text(value)}' for name, value in params.items())})"


def _origin(record: Mapping[str, Any]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in (record.get("provenance") or {}).items():
        if isinstance(value, Mapping):
            found |= {f"{name}: {part}": _text(inner) for part, inner in value.items()}
        else:
            found[name] = _text(value)
    return found


def _outcome(record: Mapping[str, Any]) -> dict[str, str]:
    found = {"status": str(record["status"])}
    if record.get("reason"):
        found["reason"] = str(record["reason"])
    if record.get("warnings"):
        found["warnings"] = "\n".join(map(str, record["warnings"]))
    for part in ("metrics", "costs", "counts"):
        found |= {name: _text(value) for name, value in (record.get(part) or {}).items() if value is not None}
    return found


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    if value is None:
        return "none"
    if isinstance(value, list):
        return ", ".join(map(_text, value))
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)
