"""``figures``: from a sweep's folder to pictures, and the synthetic samples of one cell."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from robustbench_fl.aggregators._reconstruction_call import reconstruct
from robustbench_fl.cli.figures import _cell_of
from robustbench_fl.cli.main import cli
from robustbench_fl.core.errors import UsageError
from robustbench_fl.store import Store
from robustbench_fl.sweep.runner.environment import Environment
from robustbench_fl.sweep.runner.execute import simulate
from robustbench_fl.sweep.runner.learned_images import learned_samples

SMALL = ["--clients", "8", "--rounds", "3", "-m", "mlp(hidden=[30])", "--root-size", "50", "-f", "0.25"]
RULE = "fedredefense(preset=fast, first_budget=12, later_budget=12, step=4.0)"


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory, run_here: Callable[..., Any]) -> Path:
    folder = tmp_path_factory.mktemp("figures") / "sweep"
    arguments = ["sweep", "-a", RULE, "-a", "mean", "-t", "min_max", "-t", "label_flip", *SMALL, "-j", "1"]
    done = run_here(folder.parent, *arguments, "-o", folder)
    assert done.returncode == 0, done.stderr
    return folder


def record_of(folder: Path, rule: str, attack: str) -> dict[str, Any]:
    (found,) = [
        record
        for record in Store.existing(folder).records()
        if record["labels"]["aggregator"].startswith(rule) and record["labels"]["attack"] == attack
    ]
    return found


def test_it_draws_everything_without_torch(swept: Path) -> None:
    script = (
        "import sys\n"
        "from robustbench_fl.cli.main import cli\n"
        f"cli(['figures', {str(swept)!r}], standalone_mode=False)\n"
        "assert not {'torch', 'torchvision'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    written = [Path(line) for line in done.stdout.splitlines()]
    kinds = ["curves", "errors", "heatmap", "iterations", "lost", "profile.png", "roc", "worst.png"]
    assert sorted(path.name.split("-")[0] for path in written) == kinds
    assert all(path.parent == swept / "figures" and path.is_file() for path in written)


@pytest.mark.parametrize("attack", ["min_max", "label_flip"])
def test_a_contact_sheet_of_one_cell(swept: Path, attack: str, capsys: pytest.CaptureFixture[str]) -> None:
    key = record_of(swept, "fedredefense", attack)["key"]
    cli(["figures", str(swept), "--synthetic", key[:10]], standalone_mode=False)
    path = swept / "figures" / f"synthetic-{key}.png"
    assert capsys.readouterr().out.strip() == str(path)
    assert path.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("attack", ["min_max", "label_flip"])
def test_what_is_shown_is_what_the_cell_stored(swept: Path, attack: str) -> None:
    record = record_of(swept, "fedredefense", attack)
    bad = record["federation"]["malicious"]
    honest, malicious = learned_samples(_cell_of(record), Environment(data_dir=Path("/nonexistent")))
    assert honest.client not in bad
    assert malicious.client in bad
    for learned in (honest, malicious):
        found = {name: rounds[learned.round - 1] for name, rounds in record["diagnostics"].items()}
        assert learned.error == pytest.approx(found["error"][str(learned.client)], rel=1e-5)
        assert learned.iterations == found["iterations"][str(learned.client)]
        assert learned.rejected == (learned.error > 0.6)
        assert learned.images.shape == (10, 1, 8, 8)
        assert np.allclose(learned.labels.sum(1), 1, atol=1e-6)


def test_accepted_samples_are_those_of_the_rules_last_state(swept: Path) -> None:
    cell = _cell_of(record_of(swept, "fedredefense", "label_flip"))
    environment = Environment(data_dir=Path("/nonexistent"))
    honest, _ = learned_samples(cell, environment)
    assert not honest.rejected
    state: Any = simulate(cell, environment).rule_state
    assert np.array_equal(honest.images, state.images[honest.client].numpy())
    assert np.allclose(honest.labels, state.labels[honest.client].softmax(-1).numpy(), atol=1e-7)


def test_rejected_samples_are_those_of_the_attempt_that_failed(swept: Path) -> None:
    """The samples of a client rejected in the first round, by the solver from scratch."""
    cell = _cell_of(record_of(swept, "fedredefense", "min_max"))
    environment = Environment(data_dir=Path("/nonexistent"))
    seen: dict[str, Any] = {}
    from robustbench_fl.engine import simulation as engine

    serve = engine.serve

    def spied(rule: Any, state: Any, updates: Any, context: Any, *rest: Any) -> Any:
        seen.setdefault("updates", updates.clone())
        seen.setdefault("context", context)
        return serve(rule, state, updates, context, *rest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "serve", spied)
        _, malicious = learned_samples(cell, environment)
    assert malicious.rejected
    assert malicious.round == 1
    update, context = seen["updates"][malicious.client], seen["context"]
    state: Any = simulate(cell, environment).rule_state
    again = reconstruct(
        context.model, context.params, (context.params + update)[None], images=state.initial,
        labels=torch.zeros(10, 10), step=4.0, lr_image=5.0, lr_label=2.0, lr_step=0.0,
        budget=12, threshold=0.6, back_off=5.0,
    )  # fmt: skip
    assert float(again.errors) == pytest.approx(malicious.error, rel=1e-3)
    assert np.allclose(again.images[0].numpy(), malicious.images, atol=1e-3)
    assert np.allclose(again.labels[0].softmax(-1).numpy(), malicious.labels, atol=1e-4)
    assert np.abs(malicious.images - state.initial.numpy()).max() > 0.05


def test_pre_aggregators_may_come_first(swept: Path) -> None:
    from robustbench_fl.sweep.config import make_sweep
    from robustbench_fl.sweep.expand import expand

    given = {
        "aggregator": f"clip > {RULE}", "attack": "min_max", "model": "mlp(hidden=[30])", "clients": 8,
        "rounds": 2, "root_size": 50, "malicious": 0.25, "seeds": [0],
    }  # fmt: skip
    (planned,) = expand(make_sweep({}, given, "test"))
    assert len(learned_samples(planned.cell, Environment(data_dir=Path("/nonexistent")))) == 2


def test_other_rules_learn_no_samples(swept: Path) -> None:
    key = record_of(swept, "mean", "min_max")["key"]
    with pytest.raises(UsageError, match="mean, learns no synthetic samples"):
        cli(["figures", str(swept), "--synthetic", key], standalone_mode=False)


def test_a_cell_of_another_version_is_refused(swept: Path) -> None:
    record = json.loads(json.dumps(record_of(swept, "fedredefense", "min_max")))
    with pytest.raises(UsageError, match="made by another version of its methods"):
        _cell_of(record | {"key": "0" * 16})


def test_nothing_to_draw_is_said(swept: Path, tmp_path: Path) -> None:
    store = Store.existing(swept)
    rows = [row for row in store.planned() if row["labels"]["aggregator"] == "mean"]
    Store(tmp_path).write_plan({"name": "other"}, rows)
    with pytest.raises(UsageError, match="no finished cell; nothing to draw"):
        cli(["figures", str(tmp_path)], standalone_mode=False)


@pytest.mark.parametrize("flag", [["--data-dir", "x"], ["--plugin", "x.py"]])
def test_flags_of_the_other_kind_are_refused(swept: Path, flag: list[str]) -> None:
    with pytest.raises(UsageError, match=f"{flag[0]} is for --synthetic KEY"):
        cli(["figures", str(swept), *flag], standalone_mode=False)
