"""A cell's key: frozen, complete, and blind to spelling."""

import itertools
import json
import os
import subprocess
import sys

import pytest

from robustbench_fl.core.cell import Cell
from robustbench_fl.core.settings import ADDED, Settings
from robustbench_fl.sweep.config import make_sweep
from robustbench_fl.sweep.expand import expand

ONE = {"aggregator": "trimmed_mean(trim=0.1)", "attack": "alie", "seeds": [0]}
NEEDS_F = {**ONE, "aggregator": "krum"}


def cell(**values) -> Cell:
    (planned,) = expand(make_sweep({}, {**ONE, **values}))
    return planned.cell


# A changed key here makes every stored cell of its kind count as missing: raise a version, never by accident.
GOLDEN = {
    "simple": ONE,
    "composed": {
        "aggregator": "bucketing(s=2) > nnm > krum",
        "attack": "ipm(epsilon=0.5)",
        "dataset": "synthetic(side=16)",
        "model": "lenet5",
        "partition": "dirichlet(alpha=0.5)",
        "malicious": 0.2,
        "assumed_f": "2x",
        "local_steps": 4,
        "lr": 1e-3,
        "seeds": [7],
    },
    "clean": {"aggregator": "mean", "attack": "none", "malicious": 0, "seeds": [1000]},
}
KEYS = {"simple": "720914b3d3942528", "composed": "d6f800b4d02cc3d4", "clean": "5d93a3d9e2004791"}


@pytest.mark.parametrize("name", GOLDEN)
def test_golden_keys(name):
    assert cell(**GOLDEN[name], root_size=100).key == KEYS[name]


def test_a_root_set_of_one_clients_share_has_a_key_of_its_own_that_needs_no_data():
    # Before it was the default, 100 was: a sweep that says so keeps its keys.
    assert cell().identity["root_size"] is None
    assert cell(attack="none").key == "b0ed7d49190ce2cf" != cell(attack="none", root_size=100).key


@pytest.mark.parametrize(
    "same",
    [
        {"model": "mlp"},
        {"model": "mlp(hidden=[200])"},
        {"model": "mlp( hidden = [200] )"},
        {"aggregator": "trmean(trim=0.10)"},
        {"aggregator": "trimmed_mean(trim=1e-1)"},
        {"attack": "alie(start=0, placement=random)"},
        {"partition": "balanced_dirichlet(form=exact, alpha=0.1)"},
        {"lr": 5e-2, "momentum": 0, "server_lr": 1},
        {"assumed_f": "2x"},
        {"local_epochs": 1},
    ],
    ids=str,
)
def test_spelling_is_not_in_the_key(same):
    assert cell(**same).key == cell().key


def test_zero_has_one_spelling():
    spellings = ["trimmed_mean(trim=0)", "trimmed_mean(trim=0.0)", "trimmed_mean(trim=-0.0)"]
    assert len({cell(aggregator=text).key for text in spellings}) == 1
    assert cell(malicious=0).key == cell(malicious=0.0).key == cell(malicious=-0.0).key


def test_the_order_of_flags_is_not_in_the_key():
    values = {**ONE, "lr": 0.2, "rounds": 3}
    for order in itertools.islice(itertools.permutations(values), 0, None, 17):
        assert cell(**{name: values[name] for name in order}).key == cell(**values).key


OTHER = {
    "dataset": "synthetic",
    "model": "logistic",
    "partition": "iid",
    "aggregator": "trimmed_mean(trim=0.2)",
    "attack": "alie(z=1)",
    "malicious": 0.25,
    "seeds": [1],
    "clients": 21,
    "rounds": 21,
    "participation": 0.5,
    "local_epochs": 2,
    "local_steps": 1,
    "batch_size": 16,
    "lr": 0.1,
    "momentum": 0.9,
    "weight_decay": 1e-4,
    "server_lr": 0.5,
    "eval_every": 2,
    "eval_last": 1,
    "validation": 0.2,
    "root_size": 0,
    "lr_schedule": "cosine",
    "server": "momentum",
    "augment": "crop_flip",
    "proximal_mu": 0.1,
    "worker_momentum": 0.9,
}


def test_every_setting_is_in_the_key():
    assert set(OTHER) - {"seeds"} >= set(Settings.__dataclass_fields__)
    keys = {cell(**{name: value}).key for name, value in OTHER.items()} | {cell().key}
    keys |= {cell(**{**NEEDS_F, "assumed_f": mode}).key for mode in ("exact", "0.5x", "none")}
    assert len(keys) == len(OTHER) + 1 + 3


def test_order_of_stages_is_in_the_key():
    assert cell(aggregator="bucketing > nnm > krum").key != cell(aggregator="nnm > bucketing > krum").key


def test_identity_is_complete_plain_json():
    found = json.loads(json.dumps(cell().identity, allow_nan=False))
    assert found == cell().identity
    assert found["aggregator"] == [{"name": "trimmed_mean", "version": 1, "params": {"trim": 0.1}}]
    assert found["attack"]["params"]["placement"] == "random"
    assert found["assumed_f"] is None
    assert {"schema", "engine", "seed", "malicious", *Settings.__dataclass_fields__} - {*ADDED} < set(found)


def test_settings_added_later_enter_the_identity_where_they_differ_from_before():
    assert not {*ADDED} & {*cell().identity}
    same = {
        "lr_schedule": "constant",
        "server": "sgd",
        "augment": "none",
        "proximal_mu": 0,
        "worker_momentum": 0,
    }
    assert cell(**same).key == cell().key
    assert cell(server="fedavgm").identity["server"] == "momentum(beta=0.9)"
    assert cell(server="fedavgm").key == cell(server="momentum( beta = 0.90 )").key
    assert cell(lr_schedule="cosine").key != cell(lr_schedule="cosine(end=0.1)").key


@pytest.mark.parametrize("values", [{}, {"server": "fedadam", "lr_schedule": "step(every=3)", "lr": 0.2}])
def test_settings_come_back_from_an_identity(values):
    found = cell(**values)
    assert Settings.of(json.loads(json.dumps(found.identity))) == found.settings


def test_keys_do_not_depend_on_the_hash_seed():
    code = (
        "import json, sys\n"
        "from robustbench_fl.sweep.config import make_sweep\n"
        "from robustbench_fl.sweep.expand import expand\n"
        "print(*(p.cell.key for p in expand(make_sweep({}, json.loads(sys.argv[1])))))"
    )
    grid = {"aggregator": "krum,nnm > median", "attack": "none,alie", "malicious": [0, 0.3], "seeds": 2}
    here = [planned.cell.key for planned in expand(make_sweep({}, grid))]
    done = subprocess.run(
        [sys.executable, "-c", code, json.dumps(grid)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONHASHSEED": "12345"},
    )
    assert done.stdout.split() == here


@pytest.mark.parametrize(
    ("mode", "n", "expected"),
    [
        ("exact", 20, 6),
        ("0.5x", 20, 3),
        ("2x", 20, 12),
        ("none", 20, None),
        (None, 20, None),
        ("exact", 7, 2),
    ],
)
def test_assumed_f(mode, n, expected):
    methods = dict.fromkeys(("dataset", "model", "partition", "aggregator"), "")
    point = Cell(
        **methods, attack="alie", malicious=0.3, assumed_f=mode, seed=0, settings=Settings(), methods={}
    )
    assert point.assumed(n) == expected
    assert point.n_malicious == 6


def test_the_assumed_f_never_exceeds_the_participants():
    found = cell(**{**NEEDS_F, "malicious": 0.8, "assumed_f": "2x"})
    assert found.assumed(10) == 10


def test_nobody_is_malicious_under_no_attack():
    assert cell(attack="none").n_malicious == 0
    assert cell(attack="none").malicious == 0.3


def test_participants():
    assert Settings(clients=20, participation=0.5).participants == 10
    assert Settings(clients=3, participation=0.01).participants == 1
