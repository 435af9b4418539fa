"""The sweeps of the published experiment are planned as they stand in the repository."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from robustbench_fl.api.build import make
from robustbench_fl.cli.main import cli
from robustbench_fl.core.cell import World
from robustbench_fl.sweep.config import make_sweep, read_sweep
from robustbench_fl.sweep.expand import expand

SWEEPS = Path(__file__).parents[2] / "sweeps"
pytestmark = pytest.mark.skipif(not SWEEPS.is_dir(), reason="needs the source checkout")
SETS = ("fashion_mnist", "cifar10", "cinic10")
ATTACKS = {"fang_trimmed_mean", "mpaf", "min_max", "min_sum(bound=min)", "scaling", "dba", "none"}


def planned(name: str):
    path = SWEEPS / f"{name}.toml"
    return expand(make_sweep(read_sweep(path), {}, path.name))


@pytest.mark.parametrize("name", SETS)
def test_the_full_sweeps_have_the_published_settings(name):
    plan = planned(f"paper-{name}")
    assert len(plan) == 11 * 7 * 3
    assert not [p.infeasible for p in plan if p.infeasible]
    assert {p.cell.attack for p in plan} == ATTACKS
    assert {p.cell.dataset for p in plan} == {name}
    settings = {p.cell.settings for p in plan}
    assert len(settings) == 1
    (found,) = settings
    assert (found.clients, found.rounds, found.local_epochs, found.batch_size) == (100, 300, 1, 32)
    assert (found.lr, found.momentum, found.server_lr) == (0.001, 0, 1)
    assert found.participation == (0.1 if name == "cifar10" else 1)
    assert {p.cell.n_malicious for p in plan} == {0, 28}
    assert {p.cell.partition for p in plan} == {"balanced_dirichlet(alpha=0.1, form=dynafed)"}
    rules = {p.cell.aggregator for p in plan}
    assert {
        f"fedredefense(preset=paper-{name})",
        "fedredefense",
        "fedredefense(preset=fast)",
        "norm_bound",
    } < rules
    shape = (1, 28, 28) if name == "fashion_mnist" else (3, 32, 32)
    n_params = make("models", plan[0].cell.model).build(shape, 10).n_params
    assert n_params == (317_706 if name == "fashion_mnist" else 320_010)


@pytest.mark.parametrize("name", SETS)
def test_the_reduced_sweeps_compare_the_same_methods(name):
    plan, full = planned(f"paper-{name}-small"), planned(f"paper-{name}")
    assert len(plan) == 11 * 7 * 3
    assert not [p.infeasible for p in plan if p.infeasible]
    assert {p.cell.attack for p in plan} == ATTACKS
    names = [{p.cell.aggregator.replace("(start=5, window=5)", "") for p in cells} for cells in (plan, full)]
    assert names[0] == names[1]
    assert {(p.cell.settings.clients, p.cell.settings.rounds) for p in plan} == {(20, 20)}
    subset = "npz(path=cifar10_subset.npz, train=6000, test=2000, digest=486fac88e00421df)"
    assert {p.cell.dataset for p in plan} == {
        subset if name == "cifar10" else f"{name}(train=6000, test=2000)"
    }


@pytest.mark.parametrize("path", sorted(SWEEPS.glob("*.toml")), ids=lambda path: path.stem)
def test_every_sweep_plans_as_it_stands_beside_the_committed_results(path, monkeypatch, tmp_path):
    monkeypatch.chdir(SWEEPS.parent)
    outcome = CliRunner().invoke(cli, ["plan", f"sweeps/{path.name}", "--data-dir", str(tmp_path)])
    assert outcome.exit_code == 0, outcome.output


@pytest.mark.parametrize("name", SETS)
def test_the_published_rates_meet_the_published_learning_rate(name):
    plan, small = planned(f"paper-{name}-small-lr"), planned(f"paper-{name}-small")
    assert len(plan) == 4 * 3 * 3
    assert {p.cell.settings.lr for p in plan} == {0.001}
    assert {World.of(p.cell) for p in plan} == {World.of(p.cell) for p in small}
