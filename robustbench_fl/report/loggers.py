"""Finished cells as runs of Weights & Biases or MLflow, through what each writes without a network.

One run a cell: its settings as parameters, a step a round, its final figures as the summary. Both packages
are imported when they are asked for; neither is needed otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from robustbench_fl.core.errors import UsageError
from robustbench_fl.core.status import MEANING
from robustbench_fl.report.tensorboard import scalars

Record = Mapping[str, Any]


def require(package: str) -> Any:
    """Return the module `package`.

    Raises
    ------
    UsageError
        If it is not installed, with the command that installs it.
    """
    try:
        return import_module(package)
    except ImportError:
        raise UsageError(
            f"--{package} needs {package}, which is not installed. "
            f"Install it with: pip install 'robustbench-fl[{package}]'"
        ) from None


def to_wandb(record: Record, folder: Path, sweep: str) -> None:
    """Write one cell as an offline run to `folder`, ``wandb`` in the sweep's.

    ``wandb sync`` uploads it where that is wanted.
    """
    wandb = require("wandb")
    folder.mkdir(parents=True, exist_ok=True)
    run = wandb.init(
        mode="offline", dir=str(folder.parent), project="robustbench-fl", group=sweep, name=name_of(record),
        id=record["key"], config=settings_of(record),
        settings=wandb.Settings(silent=True),
    )  # fmt: skip
    for step, values in steps_of(record).items():
        run.log(values, step=step)
    run.summary.update(figures_of(record))
    run.finish(exit_code=0 if MEANING[record["status"]].counted else 1)


def to_mlflow(record: Record, folder: Path, sweep: str) -> None:
    """Write one cell as a run of the experiment `sweep` in an SQLite file below `folder`."""
    mlflow = require("mlflow")
    folder.mkdir(parents=True, exist_ok=True)
    client = mlflow.tracking.MlflowClient(tracking_uri=f"sqlite:///{(folder / 'mlflow.db').resolve()}")
    found = client.get_experiment_by_name(sweep)
    experiment = found.experiment_id if found else client.create_experiment(sweep)
    run = client.create_run(experiment, run_name=name_of(record), tags={"key": record["key"]}).info.run_id
    for name, value in settings_of(record).items():
        client.log_param(run, name, value)
    for step, values in steps_of(record).items():
        for name, value in values.items():
            client.log_metric(run, name, value, step=step)
    for name, value in figures_of(record).items():
        client.log_metric(run, f"final_{name}", value)
    finished = MEANING[record["status"]].counted
    client.set_terminated(run, status="FINISHED" if finished else "FAILED")


def name_of(record: Record) -> str:
    """Return what a cell's run is called."""
    labels, cell = record["labels"], record["cell"]
    return f"{labels['aggregator']} · {labels['attack']} · f={cell['malicious']:g} · seed {cell['seed']}"


def settings_of(record: Record) -> dict[str, Any]:
    """Return the settings of a cell, methods as the texts that make them again."""
    plain = {name: value for name, value in record["cell"].items() if not isinstance(value, dict | list)}
    return {**plain, **record["labels"], "status": record["status"]}


def steps_of(record: Record) -> dict[int, dict[str, float]]:
    """Return all numbers over rounds by round, in order."""
    found: dict[int, dict[str, float]] = {}
    for tag, step, value in scalars(record):
        found.setdefault(step, {})[tag] = value
    return dict(sorted(found.items()))


def figures_of(record: Record) -> dict[str, float]:
    """Return the final figures of a cell that are single numbers."""
    return dict(_numbers(record.get("metrics") or {}))


def _numbers(values: Record) -> Iterator[tuple[str, float]]:
    for name, value in values.items():
        if isinstance(value, int | float) and not isinstance(value, bool):
            yield name, float(value)
