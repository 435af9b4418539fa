"""The grid: what is planned once, what cannot run and why, and how long planning takes."""

import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from robustbench_fl.api import Arrays, Dataset, register
from robustbench_fl.core.errors import UsageError
from robustbench_fl.store import Store
from robustbench_fl.sweep import expand as planning
from robustbench_fl.sweep.config import make_sweep, to_toml
from robustbench_fl.sweep.expand import canonical, expand
from robustbench_fl.sweep.run import plan_row, prepare


def planned(**values):
    return expand(make_sweep({}, {"aggregator": "mean", "attack": "alie", **values}))


def points(plan):
    return [(p.cell.aggregator, p.cell.attack, p.cell.malicious, p.cell.assumed_f) for p in plan]


def reason(**values):
    (only,) = planned(**values)
    return only.infeasible


def test_product_of_axes_in_order():
    plan = planned(aggregator="mean,median", attack="none,alie", seeds=2)
    assert [(p.cell.aggregator, p.cell.attack, p.cell.seed) for p in plan] == [
        ("mean", "none", 0), ("mean", "none", 1), ("mean", "alie", 0), ("mean", "alie", 1),
        ("median", "none", 0), ("median", "none", 1), ("median", "alie", 0), ("median", "alie", 1),
    ]  # fmt: skip


def test_a_plan_of_millions_is_refused_before_it_is_made(monkeypatch):
    began = time.process_time()
    with pytest.raises(UsageError) as refused:
        planned(aggregator="mean,median,krum", attack="none,alie,ipm,mpaf,mimic,min_max,zero", seeds=100_000)
    assert time.process_time() - began < 20  # planned they are minutes
    assert str(refused.value).startswith(
        "The sweep 'sweep' names 2,100,000 cells (3 of aggregator, 7 of attack, 100,000 of seeds); at most "
        "2,000,000 are planned. Ask for fewer, or divide it"
    )
    few = {
        "attack": "none,alie",
        "malicious": [0.0, 0.2],
        "seeds": 2,
    }  # two seeds of none, alie and, at 0, none
    monkeypatch.setattr(planning, "LARGEST_PLAN", 6)
    assert len(planned(**few)) == 6
    monkeypatch.setattr(planning, "LARGEST_PLAN", 5)
    with pytest.raises(UsageError, match="names 6 cells"):
        planned(**few)


def test_rules_without_f_are_not_multiplied_by_the_assumed_f():
    plan = planned(aggregator="mean,krum,trimmed_mean(trim=0.1),trimmed_mean", assumed_f=["exact", "0.5x"])
    assert points(plan) == [
        ("mean", "alie", 0.3, None),
        ("krum", "alie", 0.3, "exact"),
        ("trimmed_mean(trim=0.1)", "alie", 0.3, None),
        ("trimmed_mean", "alie", 0.3, "exact"),
        ("krum", "alie", 0.3, "0.5x"),
        ("trimmed_mean", "alie", 0.3, "0.5x"),
    ]


def test_at_fraction_zero_every_attack_is_none():
    plan = planned(
        aggregator="mean,krum", attack="alie,ipm,sign_flip", malicious=[0, 0.3], assumed_f=["exact", "none"]
    )
    assert points(plan)[:3] == [
        ("mean", "none", 0.0, None),
        ("krum", "none", 0.0, "exact"),
        ("krum", "none", 0.0, "none"),
    ]
    assert len(plan) == 3 + 3 * 3
    assert all(p.cell.n_malicious == 0 for p in plan[:3])


def test_equal_cells_are_planned_once():
    assert len(planned(aggregator="trmean(trim=0.1),trimmed_mean(trim=[0.1, 0.10])", seeds="0,0,1")) == 2
    sweep = make_sweep(
        {"attack": "alie", "grid": [{"aggregator": "mean,median"}, {"aggregator": "mean"}]}, {}
    )
    assert len(expand(sweep)) == 2


def test_parameter_grids_and_setting_axes():
    plan = planned(
        aggregator="trimmed_mean(trim=[0.1, 0.2])",
        attack="alie(z=[1, 2])",
        lr=[0.1, 0.2],
        model="mlp(hidden=[64, 32])",
    )
    assert len(plan) == 8
    assert {p.cell.aggregator for p in plan} == {"trimmed_mean(trim=0.1)", "trimmed_mean(trim=0.2)"}
    assert {p.cell.model for p in plan} == {"mlp(hidden=[64, 32])"}
    assert {p.cell.settings.lr for p in plan} == {0.1, 0.2}


def test_canonical_sweep():
    sweep = canonical(make_sweep({}, {"aggregator": "trmean(trim=[0.1, 0.1])", "attack": "alie"}))
    assert sweep.grids[0].aggregator == ["trimmed_mean(trim=0.1)"]
    assert sweep.grids[0].model == ["mlp"]
    assert canonical(sweep) == sweep


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"malicious": 0.02}, "a share of 0.02 of 20 clients rounds to no malicious client"),
        ({"malicious": 0.98}, "20 of 20 clients malicious leaves no honest one"),
        ({"aggregator": "krum", "assumed_f": "none"}, "the rule needs f, and the server assumes none"),
        ({"aggregator": "fltrust", "root_size": 0}, "the rule needs root data, and root_size is 0"),
        (
            {"aggregator": "trimmed_mean", "malicious": 0.5},
            "it needs n > 2f clients; 10 of 20 would be cut at either end (n = 20, f = 10)",
        ),
        (
            {"aggregator": "trimmed_mean", "malicious": 0.3, "assumed_f": "2x"},
            "it needs n > 2f clients; 12 of 20 would be cut at either end (n = 20, f = 12)",
        ),
        (
            {"model": "lenet5"},
            "lenet5 needs images of at least 16×16 pixels, found 8×8. "
            "Use mlp, logistic or convnet for smaller ones.",
        ),
        (
            {"attack": "scaling(target=10)"},
            "the target class 10 does not exist; there are 10 classes from 0",
        ),
        (
            {"attack": "scaling(start=20)"},
            "no round is attacked: start = 20, and there are 20 rounds",
        ),
        (
            {"attack": "alie(start=5, stop=5)", "dataset": "har", "model": "mlp(hidden=[64])"},
            "no round is attacked: start = 5, stop = 5, and there are 20 rounds",
        ),
        ({}, None),
        ({"attack": "alie(start=19, stop=90)"}, None),
        ({"aggregator": "krum"}, None),
        ({"aggregator": "trimmed_mean", "malicious": 0.5, "assumed_f": "0.5x"}, None),
        ({"model": "lenet5", "dataset": "synthetic(side=16)"}, None),
    ],
)
def test_infeasible_with_numbers(values, expected):
    assert reason(**values) == expected


def test_feasibility_counts_the_participants_of_a_round():
    found = reason(aggregator="krum", clients=20, participation=0.25, malicious=0.3)
    assert found is not None
    assert "n = 5, f = 2" in found


def test_infeasible_cells_are_planned_not_dropped():
    plan = planned(aggregator="trimmed_mean,mean", malicious=[0.3, 0.5])
    assert [p.infeasible is None for p in plan] == [True, True, False, True]


def test_facts():
    (only,) = planned(aggregator="nnm > krum", attack="optimal")
    assert only.facts == {
        "needs": ["f"],
        "detector": False,
        "ranked": True,
        "knowledge": "all",
        "knows_defence": True,
        "adaptive": True,
        "category": "update",
        "family": "optimal",
        "edge": False,
    }
    (strong,) = planned(attack="ipm(epsilon=100)")
    assert (strong.facts["family"], strong.facts["edge"]) == ("ipm", True)
    assert planned(aggregator="oracle_mean")[0].facts["ranked"] is False


@pytest.mark.usefixtures("own_registry")
def test_a_data_set_of_unknown_shape_is_planned_without_reading_it():
    @register("unread")
    @dataclass(frozen=True, kw_only=True)
    class Unread(Dataset):
        def load(self, data_dir: Path, *, download: bool = False) -> Arrays:
            raise AssertionError("the plan read the data")

    assert reason(dataset="unread", model="lenet5") is None


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"aggregator": "mean,krumm"}, "Unknown aggregator 'krumm' in aggregator #2.\nDid you mean krum"),
        ({"attack": "alie(zz=1)"}, "alie in attack has no parameter 'zz'. Did you mean z"),
        ({"aggregator": "krum > mean"}, "'krum' in aggregator is a rule, not a pre-aggregator"),
        (
            {"partition": "dirichlet(alpha=0)"},
            "dirichlet in partition: parameter 'alpha' must be a number in (0, 1e+100]",
        ),
    ],
)
def test_bad_methods(values, said):
    with pytest.raises(UsageError) as caught:
        planned(**values)
    assert str(caught.value).startswith(said)


def test_twenty_thousand_cells_are_planned_in_seconds():
    sweep = make_sweep(
        {},
        {
            "aggregator": "mean,median,krum,multi_krum(k=[3, 5]),nnm > krum,trimmed_mean(trim=[0.1, 0.2]),"
            "geometric_median,nnm > trimmed_mean",
            "attack": "none,alie,ipm,min_max,sign_flip",
            "malicious": [0.1, 0.2, 0.3, 0.4],
            "partition": "balanced_dirichlet(alpha=[0.1, 1])",
            "seeds": 50,
        },
    )
    started = time.process_time()
    plan = expand(sweep)
    assert len(plan) == len({p.cell.key for p in plan}) == 20_000
    assert time.process_time() - started < 6


def test_prepare_runs_what_is_asked_and_not_stored(tmp_path, monkeypatch):
    store = Store(tmp_path)
    small = make_sweep({}, {"aggregator": "mean", "attack": "alie", "seeds": 2})
    first = prepare(small, store)
    assert first.pending == first.plan
    store.write_plan(to_toml(first.sweep), [plan_row(p) for p in first.plan])
    a, b = (p.cell.key for p in first.plan)

    def due(statuses, sweep=small, **how):
        monkeypatch.setattr(store, "statuses", lambda: statuses)
        prepared = prepare(sweep, store, **how)
        return len(prepared.plan), [p.cell.key for p in prepared.pending]

    assert due({a: "done"}) == (2, [b])
    assert due({a: "interrupted", b: "oom"}) == (2, [a, b])
    assert due({a: "failed", b: "timeout"}) == (2, [])
    assert due({a: "failed", b: "timeout"}, retry_failed=True) == (2, [a, b])
    assert due({a: "diverged", b: "infeasible"}, retry_failed=True) == (2, [])
    # A folder that grows keeps its cells in the plan; only those asked for are run.
    more = make_sweep({}, {"aggregator": "median", "attack": "alie", "model": "mlp(hidden=[200])"})
    plan_size, pending = due({}, more)
    assert (plan_size, len(pending)) == (3, 1)
    assert pending[0] not in (a, b)
    with pytest.raises(UsageError, match="rounds: 20 in the folder, 3 now"):
        prepare(make_sweep({}, {"aggregator": "mean", "attack": "alie", "rounds": 3}), store)
    monkeypatch.setattr(store, "read_sweep", lambda: {"aggregator": "gone", "attack": "alie"})
    with pytest.raises(UsageError, match=r"(?s)that '.*' holds cannot be read: .*'gone'.*--plugin files"):
        prepare(small, store)


def test_methods_are_built_once_each(monkeypatch):
    built = []
    make = planning.build.make
    monkeypatch.setattr(
        planning.build, "make", lambda kind, text, *rest: built.append(text) or make(kind, text, *rest)
    )
    planning._method.cache_clear()
    planned(aggregator="mean", attack="alie", seeds=40)
    assert built.count("mean") == 1
