"""A sweep's folder with four cells planned, and what tests do to it."""

import gzip
import warnings

import pytest

from robustbench_fl.core.record import CellRecord, Facts, Labels, Metrics
from robustbench_fl.core.status import COUNTED
from robustbench_fl.store import Store
from robustbench_fl.sweep.config import make_sweep, to_toml
from robustbench_fl.sweep.expand import expand
from robustbench_fl.sweep.run import plan_row

METRICS = dict.fromkeys(Metrics.model_fields) | {
    "accuracy": 0.5, "accuracy_std": 0.0, "class_accuracy": [0.5], "worst_class_accuracy": 0.5,
}  # fmt: skip


@pytest.fixture(scope="session")
def sweep():
    return make_sweep({}, {"name": "s", "aggregator": "mean,median", "attack": "alie", "seeds": 2})


@pytest.fixture(scope="session")
def plan(sweep):
    return expand(sweep)


@pytest.fixture
def store(tmp_path, sweep, plan):
    made = Store(tmp_path / "s")
    made.write_plan(to_toml(sweep), [plan_row(p) for p in plan])
    return made


@pytest.fixture(scope="session")
def record():
    """Return the function that makes the record of a planned cell."""

    def make(planned, **values) -> CellRecord:
        cell = planned.cell
        counted = values.get("status", "done") in COUNTED
        return CellRecord(
            **{
                "key": cell.key,
                "status": "done",
                "metrics": METRICS if counted else None,
                "cell": dict(cell.identity),
                "labels": Labels(**cell.labels),
                "facts": Facts(**planned.facts),
                **values,
            }
        )

    return make


@pytest.fixture(scope="session")
def path_of():
    return lambda store, planned: store.cells / f"{planned.cell.key}.json"


@pytest.fixture(scope="session")
def skipping():
    """Return the function that returns the stored records and the warnings on the way."""

    def read(store):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            found = list(store.stored())
        return found, [str(w.message) for w in caught]

    return read


@pytest.fixture(scope="session")
def packed_with():
    """Return the function that writes a packed file of given lines."""

    def write(store, *lines):
        with gzip.open(store.folder / "cells.jsonl.gz", "wt") as file:
            file.writelines(line + "\n" for line in lines)

    return write
