"""Whether what a file of a sweep's folder says can be read as what it should be.

Files are copied, merged and edited by hand; whoever reads one checks it whole, here, so that
tables need not ask at every key.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Annotated, Any

from annotated_types import Ge, Lt, MinLen
from pydantic import BaseModel, ConfigDict, ValidationError

from robustbench_fl.core.record import SCHEMA, CellRecord, Facts, Labels, lacks_metrics

KEY = re.compile(r"[0-9a-f]{16}")
"""What a cell's key looks like; nothing else is ever made part of a path."""


_AXES = tuple(Labels.model_fields)


class _Identity(BaseModel):
    """What tables read of a cell's identity, next to settings of which they ask nothing."""

    model_config = ConfigDict(extra="allow", allow_inf_nan=False)

    malicious: float
    clients: int
    participation: float
    rounds: int
    seed: Annotated[int, Ge(0), Lt(2**63)]


class _Row(BaseModel):
    """What a cell stands for in tables, where that is not itself."""

    aggregator: str
    lr: float


class _Planned(BaseModel):
    """A planned cell: what a record says whether or not the cell was run."""

    key: str
    cell: _Identity
    labels: Labels
    facts: Facts
    stands_for: Annotated[list[_Row], MinLen(1)] | None = None


def is_planned(row: Any) -> bool:
    """Whether `row` is a planned cell, with a key that is safe in a path."""
    return _is(_Planned, row) and KEY.fullmatch(row["key"]) is not None and labels_fit(row)


def is_record(record: Any) -> bool:
    """Whether `record` is a cell's record of this schema."""
    return (
        _is(CellRecord, record)
        and record.get("schema_version") == SCHEMA
        and KEY.fullmatch(record["key"]) is not None
        and _is(_Identity, record["cell"])
        and not lacks_metrics(record["status"], record.get("metrics"))
    )


def labels_fit(row: dict[str, Any]) -> bool:
    """Whether the labels name the methods that the identity is of, with whatever parameters.

    Tables go by labels, keys by the identity: results of one rule must not stand under another's name.
    """
    try:
        cell, labels = row["cell"], row["labels"]
        return all(_names(_methods(cell[axis]), labels[axis]) for axis in _AXES)
    except (KeyError, TypeError):
        return False


def _methods(made: Any) -> tuple[str, ...]:
    return tuple([part["name"] for part in made] if isinstance(made, list) else [made["name"]])


@lru_cache(maxsize=4096)
def _names(methods: tuple[str, ...], label: str) -> bool:
    """Whether a label names these methods, one after another."""
    chain = " > ".join(rf"{re.escape(name)}(\(.*\))?" for name in methods)
    return re.fullmatch(chain, label, re.DOTALL) is not None


def _is(model: type[BaseModel], data: Any) -> bool:
    """Whether `data` has the keys and types of `model`; keys that it does not know do no harm."""
    try:
        model.model_validate(data, strict=True)
    except ValidationError as error:
        return all(problem["type"] == "extra_forbidden" for problem in error.errors(include_url=False))
    return True
