"""Cells as runs of Weights & Biases and MLflow, with modules in their place that note what they are told."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from robustbench_fl.cli.curves import Logger
from robustbench_fl.core.errors import UsageError
from robustbench_fl.report.loggers import require
from robustbench_fl.store import Store

QUICKSTART = Path(__file__).parents[2] / "results" / "quickstart"
Said = list[tuple[Any, ...]]


class OneRecord(Store):
    """Holds the first cell of the quick start alone, and writes elsewhere."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def stored(self) -> Any:
        return iter([next(Store.existing(QUICKSTART).stored())])


@pytest.fixture
def store(tmp_path: Path) -> OneRecord:
    return OneRecord(tmp_path)


def test_wandb_gets_an_offline_run_once(
    store: OneRecord, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: Said = []
    run = SimpleNamespace(
        log=lambda values, step: said.append((step, values)),
        summary=SimpleNamespace(update=lambda values: said.append(("summary", values))),
        finish=lambda exit_code: said.append(("finish", exit_code)),
    )

    def init(**given: Any) -> Any:
        said.append(("init", given))
        return run

    monkeypatch.setitem(sys.modules, "wandb", SimpleNamespace(init=init, Settings=dict))
    record = next(store.stored())
    for _ in range(2):
        Logger("wandb", store, "quick")
    starts = [given for name, given in said if name == "init"]
    assert len(starts) == 1
    assert starts[0]["mode"] == "offline"
    assert starts[0]["dir"] == str(tmp_path)
    assert starts[0]["config"]["aggregator"] == record["labels"]["aggregator"]
    steps = {step: values for step, values in said if isinstance(step, int)}
    assert [steps[step]["accuracy"] for step in steps] == record["curves"]["accuracy"]
    assert ("finish", 0) in said
    (summary,) = [values for name, values in said if name == "summary"]
    assert summary["accuracy"] == record["metrics"]["accuracy"]


def test_mlflow_gets_a_run_in_a_file(store: OneRecord, monkeypatch: pytest.MonkeyPatch) -> None:
    said: Said = []

    class Client:
        def __init__(self, tracking_uri: str) -> None:
            assert tracking_uri == f"sqlite:///{store.folder / 'mlflow' / 'mlflow.db'}"

        def get_experiment_by_name(self, name: str) -> None:
            assert name == "quick"

        def create_experiment(self, name: str) -> str:
            return "7"

        def create_run(self, experiment: str, run_name: str, tags: dict[str, str]) -> Any:
            assert experiment == "7"
            return SimpleNamespace(info=SimpleNamespace(run_id="r"))

        def log_param(self, run: str, name: str, value: Any) -> None:
            said.append(("param", name, value))

        def log_metric(self, run: str, name: str, value: float, step: int | None = None) -> None:
            said.append((name, step, value))

        def set_terminated(self, run: str, status: str) -> None:
            said.append(("status", status))

    fake = SimpleNamespace(tracking=SimpleNamespace(MlflowClient=Client))
    monkeypatch.setitem(sys.modules, "mlflow", fake)
    record = next(store.stored())
    Logger("mlflow", store, "quick")
    assert ("param", "seed", record["cell"]["seed"]) in said
    assert [one[2] for one in said if one[0] == "accuracy"] == record["curves"]["accuracy"]
    assert ("final_accuracy", None, record["metrics"]["accuracy"]) in said
    assert said[-1] == ("status", "FINISHED")


@pytest.mark.parametrize("name", ["wandb", "mlflow"])
def test_what_is_not_installed_is_said(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(UsageError, match=rf"--{name} needs {name}, .*robustbench-fl\[{name}\]"):
        require(name)
