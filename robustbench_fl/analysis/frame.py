"""Cell records as one tidy frame, a row a cell."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import pandas as pd

from robustbench_fl.analysis.image_counts import COLUMN, Counted
from robustbench_fl.core.cell import ASSUMED_F
from robustbench_fl.core.errors import UsageError
from robustbench_fl.core.settings import ADDED

LABELS = ("dataset", "model", "partition")
FLOATS = (
    "malicious",
    "alpha",
    "accuracy",
    "accuracy_std",
    "validation_accuracy",
    "worst_class_accuracy",
    "loss",
    "attack_success",
    "tpr",
    "fpr",
    "dacc",
    "auc",
    "success_after_10",
    "success_after_20",
    "recovery_rounds",
    "client_accuracy",
    "worst_client_accuracy",
    "round_tpr",
    "round_fpr",
    "lost_clients",
    "honest_clients",
    "malicious_clients",
    "train_seconds",
    "attack_seconds",
    "aggregate_seconds",
    "evaluate_seconds",
    "server_ms",
    "peak_memory_mb",
    "non_finite_rows",
    "capped_rounds",
    "underestimated_rounds",
    "kept_model_rounds",
    "classes",
)
FACTS = ("told", "detector", "ranked", "knowledge", "knows_defence", "adaptive", "category", "family", "edge")
IDENTITY = ("key", *LABELS, "alpha", "malicious", "assumed_f", "f", "aggregator", "attack", "seed")
ORIGIN = ("engine_name", "device", "versions", "commit")
COLUMNS = (*IDENTITY, "status", *FLOATS[2:], *FACTS, "reason", *ORIGIN)
"""Columns that every frame has; the other settings of the cells follow."""

RUN = ("run_aggregator", "run_lr")
"""What was run, where that is not what the row stands for: columns of frames with tuned rules only."""
SUITE = "suite"
"""The suite that cells were run for, in words: a column of frames with such cells only."""
VARIED = ("aggregator", "attack", "assumed_f", "seed")
"""What varies inside one setting."""
_NOT_SETTINGS = frozenset({*COLUMNS, *RUN, SUITE}) - {*LABELS, "malicious"}
_METRICS = FLOATS[2 : FLOATS.index("round_tpr")]
_COSTS = ("train_seconds", "attack_seconds", "aggregate_seconds", "evaluate_seconds", "peak_memory_mb")
_COUNTS = ("non_finite_rows", "capped_rounds", "underestimated_rounds", "kept_model_rounds")


def frame(records: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """Return one row for every record.

    Parameters
    ----------
    records : iterable of mappings
        Cell records as plain data (see :class:`robustbench_fl.core.record.CellRecord`). A planned cell
        that was not run is a record with the status ``"missing"`` and no metrics.

    Returns
    -------
    pandas.DataFrame
        The columns :data:`COLUMNS`, then every further setting of the cells' identities. Rates
        and accuracies are fractions, ``server_ms`` is the rule's CPU time a round, ``told`` joins
        what the rule needs, ``classes`` counts those
        of the data set, ``alpha`` is the partition's parameter of that name, ``commit`` ends in
        ``+`` where files were changed; what does not apply is missing (NaN), never zero. Where cells say
        which test images they classified correctly, a last column ``_images`` holds it
        (:class:`robustbench_fl.analysis.image_counts.Counted`). A cell of a tuned rule is a row of that
        rule, ``tuned > krum``, at the learning rate of the sweep: what was run is in the columns
        :data:`RUN`. Cells that were run for a suite name it in the column :data:`SUITE`.

    Raises
    ------
    UsageError
        If two cells say that they are the same by all that tables tell apart.

    Examples
    --------
    >>> frame([]).empty
    True
    """
    rows = [_row(record) for record in standing(records)]
    names = dict.fromkeys(COLUMNS)
    for row in rows:
        names |= dict.fromkeys(row)
    _state_added(rows, names)
    if COLUMN in names:
        names[COLUMN] = names.pop(COLUMN)
    # Texts as Python's own: with pyarrow, where it is installed, each look at a small table takes longer.
    with pd.option_context("mode.string_storage", "python"):
        table = pd.DataFrame(rows, columns=list(names))
    kinds: dict[str, Any] = dict.fromkeys(FLOATS, "float64")
    kinds |= {"f": "Int64", "seed": "int64", "lost_clients": "float64"}
    kinds |= dict.fromkeys(("detector", "ranked", "knows_defence", "adaptive", "edge"), bool)
    table = table.astype(kinds)
    _require_distinct(table)
    return table


def _require_distinct(table: pd.DataFrame) -> None:
    """Refuse cells whose labels were written by somebody else than this program: a key has one meaning."""
    names = [*settings(table), *(name for name in VARIED if name in table)]
    same = table[table.duplicated(names, keep=False)]
    if (group := same.groupby(names, dropna=False, sort=False)["key"].unique()).map(len).gt(1).any():
        first, second = next(keys for keys in group if len(keys) > 1)[:2]
        raise UsageError(
            f"The cells {first} and {second} say that they are the same: rule, attack, seed and settings. "
            "Their records were changed by hand: remove both, and run the sweep again."
        )


def standing(records: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """Yield each record once for every row of tables that it stands for, under the names of that row.

    A cell that only a tuned rule has stands for that; one that tuning left as it was for both. What is
    yielded stands for itself alone.
    """
    for record in records:
        rows = record.get("stands_for")
        if not rows:
            yield record
            continue
        run = {"run_aggregator": record["labels"]["aggregator"], "run_lr": record["cell"]["lr"]}
        for row in rows:
            labels = {**record["labels"], "aggregator": row["aggregator"]}
            cell = {**record["cell"], "lr": row["lr"]}
            yield {**record, "labels": labels, "cell": cell, "run": run, "stands_for": None}


def settings(table: pd.DataFrame) -> list[str]:
    """Return the columns of `table` that make up a setting: all but those compared in it.

    The rule, the attack, the seed and the assumed f vary inside one.
    """
    return [name for name in table.columns if name not in _NOT_SETTINGS and not name.startswith("_")]


def varying(table: pd.DataFrame) -> list[str]:
    """Return the settings that take more than one value in `table`."""
    return [name for name in settings(table) if table[name].nunique(dropna=False) > 1]


def digest(table: pd.DataFrame) -> str:
    """Return 12 hex digits that name the set of finished cells a table was made from."""
    keys = sorted(set(table.loc[table["accuracy"].notna(), "key"].astype(str)))
    return hashlib.sha256("\n".join(keys).encode()).hexdigest()[:12]


def _state_added(rows: list[dict[str, Any]], names: Iterable[str]) -> None:
    """Write out settings that some cells' identities state and others leave at what held before them."""
    added = {name: value for name, value in ADDED.items() if name in names}
    for row in rows if added else ():
        row |= {name: row.get(name, value) for name, value in added.items()}


def _row(record: Mapping[str, Any]) -> dict[str, Any]:
    cell, labels = record["cell"], record["labels"]
    counts = record.get("counts") or {}
    costs = record.get("costs") or {}
    metrics = record.get("metrics") or {}
    row: dict[str, Any] = {name: labels[name] for name in (*LABELS, "aggregator", "attack")}
    row |= {name: cell.get(name) for name in ("malicious", "assumed_f", "seed")}
    row["alpha"] = _alpha(cell.get("partition"))
    row["f"] = cell["f"] if "f" in cell else _f(cell)
    row |= {"key": record["key"], "status": record["status"], "reason": record.get("reason")}
    row |= {name: metrics.get(name) for name in _METRICS}
    row["classes"] = len(metrics["class_accuracy"]) if metrics.get("class_accuracy") else None
    row |= {name: costs.get(name) for name in _COSTS}
    row |= {name: counts.get(name) for name in _COUNTS}
    row |= _server_time(costs, counts, cell)
    row |= _facts(record.get("facts") or {})
    row |= _detection(record)
    row |= _origin(record.get("provenance") or {})
    row |= {name: _scalar(value) for name, value in cell.items() if name not in _TAKEN}
    row |= record.get("run", {})
    if counted := Counted.of(record):
        row[COLUMN] = counted
    return row


_TAKEN = frozenset(COLUMNS)
_NESTED = (dict, list, tuple)


def _alpha(partition: Any) -> float | None:
    params = partition.get("params") if isinstance(partition, dict) else None
    alpha = params.get("alpha") if isinstance(params, dict) else None
    return float(alpha) if isinstance(alpha, int | float) else None


def _f(cell: Mapping[str, Any]) -> int | None:
    """Return the number of clients of a round that the server assumes malicious."""
    factor = ASSUMED_F.get(cell.get("assumed_f") or "none")
    if factor is None:
        return None
    participants = max(1, round(cell["participation"] * cell["clients"]))
    assumed: int = min(round(factor * cell["malicious"] * participants), participants)
    return assumed


def _server_time(
    costs: Mapping[str, Any], counts: Mapping[str, Any], cell: Mapping[str, Any]
) -> dict[str, float]:
    rounds = counts.get("rounds") or cell.get("rounds")
    seconds = costs.get("aggregate_seconds")
    return {"server_ms": 1000 * seconds / rounds} if seconds is not None and rounds else {}


def _facts(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "told": ", ".join(facts.get("needs", ())) or "nothing",
        "detector": facts.get("detector", False),
        "ranked": facts.get("ranked", True),
        "knowledge": facts.get("knowledge", "nothing"),
        "knows_defence": facts.get("knows_defence", False),
        "adaptive": facts.get("adaptive", False),
        "category": facts.get("category", "none"),
        "family": facts.get("family", ""),
        "edge": facts.get("edge", False),
    }


def _detection(record: Mapping[str, Any]) -> dict[str, Any]:
    federation = record.get("federation")
    row: dict[str, Any] = {}
    if federation:
        malicious = len(federation["malicious"])
        row |= {
            "malicious_clients": malicious,
            "honest_clients": len(federation["sizes"]) - malicious,
        }
    detection = record.get("detection")
    if detection:
        row |= {
            "round_tpr": _mean(detection["tpr"]),
            "round_fpr": _mean(detection["fpr"]),
            "lost_clients": len(detection["lost_clients"]),
        }
    return row


def _origin(provenance: Mapping[str, Any]) -> dict[str, Any]:
    names = {"engine_name": "engine", "device": "device", "versions": "versions"}
    row = {column: _scalar(provenance[name]) for column, name in names.items() if name in provenance}
    if commit := provenance.get("commit"):
        row["commit"] = f"{commit}{'+' if provenance.get('dirty') else ''}"
    suite = provenance.get("suite")
    if isinstance(suite, dict):
        row[SUITE] = f"{suite.get('name')}, tier {suite.get('tier')}, digest {suite.get('digest')}"
    return row


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _scalar(value: Any) -> Any:
    if isinstance(value, _NESTED):
        return json.dumps(value, sort_keys=True)
    return value
