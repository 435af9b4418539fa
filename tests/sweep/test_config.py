"""The sweep: TOML and flags in, one validated object out, and back to TOML."""

import tomllib

import pytest
import tomli_w

from robustbench_fl.cli import options
from robustbench_fl.core.errors import UsageError
from robustbench_fl.core.settings import AXES
from robustbench_fl.sweep.config import make_sweep, parse_seeds, read_sweep, to_toml, united
from robustbench_fl.sweep.expand import canonical

LEAST = {"aggregator": "krum", "attack": "alie"}


def grid(**values):
    (found,) = make_sweep(LEAST, values).grids
    return found


def refused(table, overrides=None, where="sweep.toml"):
    with pytest.raises(UsageError) as caught:
        make_sweep(table, overrides or {}, where)
    return str(caught.value)


def toml_of(text):
    return make_sweep(tomllib.loads(text), {}, "sweep.toml")


def test_single_values_are_lists_of_one():
    found = grid(malicious=0.1, rounds=[5, 10], seeds=3)
    assert (found.malicious, found.rounds, found.seeds) == ([0.1], [5, 10], [0, 1, 2])
    assert (found.aggregator, found.attack, found.dataset) == (["krum"], ["alie"], ["digits"])


def test_methods_are_split_at_depth_zero_and_normalised():
    found = grid(aggregator="mean,trimmed_mean( trim=[.1,0.2] )", attack=["none", "alie, ipm"])
    assert found.aggregator == ["mean", "trimmed_mean(trim=[0.1, 0.2])"]
    assert found.attack == ["none", "alie", "ipm"]


def test_flags_win_over_the_file_in_every_grid():
    sweep = make_sweep(
        {"attack": "alie", "lr": 0.1, "grid": [{"aggregator": "krum", "lr": 0.2}, {"aggregator": "mean"}]},
        {"lr": [0.3], "name": "mine"},
    )
    assert sweep.name == "mine"
    assert [(g.aggregator, g.lr) for g in sweep.grids] == [(["krum"], [0.3]), (["mean"], [0.3])]


def test_a_value_of_a_flag_is_not_said_to_be_the_files():
    assert refused(LEAST, {"rounds": [0]}).startswith("rounds in the flags: ")
    assert refused(LEAST, {"server": ["x"]}).startswith("the flags, server: ")
    assert refused(LEAST | {"rounds": 0}, {"lr": [1.0]}).startswith("rounds in sweep.toml: ")
    assert "both in the flags" in refused(LEAST, {"local_steps": [1], "local_epochs": [1]})


def test_grids_inherit_what_stands_outside():
    sweep = toml_of(
        "attack = 'alie'\nlr = 0.1\n[[grid]]\naggregator = 'krum'\n[[grid]]\naggregator = 'mean'\nlr = 1"
    )
    assert [(g.aggregator, g.lr) for g in sweep.grids] == [(["krum"], [0.1]), (["mean"], [1.0])]


def test_duplicates_are_removed():
    found = grid(malicious=[0.1, 0.10, 0.3], aggregator="krum,krum", seeds="1,1,0:2", lr=[1, 1.0])
    assert (found.malicious, found.aggregator, found.seeds, found.lr) == ([0.1, 0.3], ["krum"], [1, 0], [1.0])


def test_equal_numbers_have_one_spelling():
    found = grid(malicious=-0.0, lr=1, momentum=0)
    assert [repr(v) for (v,) in (found.malicious, found.lr, found.momentum)] == ["0.0", "1.0", "0.0"]


@pytest.mark.parametrize(
    ("value", "seeds"),
    [
        (5, [0, 1, 2, 3, 4]),
        ("5", [0, 1, 2, 3, 4]),
        ("0:1", [0]),
        ("1000:1003", [1000, 1001, 1002]),
        ("3,7,11", [3, 7, 11]),
        (" 3 , 8:10 ", [3, 8, 9]),
        ([3, 7], [3, 7]),
        (["3", "8:10", 4], [3, 8, 9, 4]),
        ("999999999999999999:1000000000000000000", [10**18 - 1]),
        (["999999999999999999"], [10**18 - 1]),
        ([0], [0]),
    ],
)
def test_seeds(value, seeds):
    assert parse_seeds(value) == seeds


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0, "0 seeds were asked for"),
        (-1, "cannot read '-1'"),
        (1.5, "cannot read '1.5'"),
        (True, "cannot read 'True'"),
        ("a", "cannot read 'a'"),
        ("3,", "cannot read ''"),
        ("5:5", "'5:5' names no seed. The end is not included: 7:8 is seed 7."),
        ("1,9:3", "'9:3' names no seed"),
        ("0:10000000000", "10000000000 seeds were asked for; at most 100000 are allowed"),
        (10**12, "1000000000000 seeds were asked for"),
        ("9" * 5000, "cannot read"),
        (f"{10**18}:{10**18 + 1}", f"'{10**18}:{10**18 + 1}' names a seed of 10^18 or more. Seeds are less."),
        (f"3,{10**18}", "names a seed of 10^18 or more"),
        ([-1], "seeds in sweep.toml: input should be greater than or equal to 0, got -1."),
        ([True], "seeds in sweep.toml: input should be a valid integer, got True."),
        ([1.5], "got 1.5."),
        ([], "seeds in sweep.toml: give at least one value."),
    ],
)
def test_bad_seeds(value, said):
    assert said in refused({**LEAST, "seeds": value})


def test_bad_seeds_of_another_name_are_called_by_it():
    for text in ("0", "x", "9:3"):
        with pytest.raises(UsageError, match=r"^--pilot-seeds: "):
            parse_seeds(text, "--pilot-seeds")


def test_seed_flags_may_be_repeated():
    flags = dict.fromkeys([*AXES, "alpha", "name"], ())
    given = {**flags, "aggregator": ("krum",), "attack": ("alie",)}
    assert options.sweep_of(None, {**given, "seeds": ("3",)}).grids[0].seeds == [0, 1, 2]
    assert options.sweep_of(None, {**given, "seeds": ("3", "7:9")}).grids[0].seeds == [3, 7, 8]


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("malicious", "0.3", "malicious in sweep.toml: input should be a valid number, got '0.3'."),
        ("malicious", True, "malicious in sweep.toml: input should be a valid number, got True."),
        ("malicious", 1.0, "malicious in sweep.toml: input should be less than 1, got 1.0."),
        ("malicious", -0.1, "malicious in sweep.toml: input should be greater than or equal to 0, got -0.1."),
        ("malicious", [0.1, 0.1, 2.0], "got 2.0."),
        ("malicious", float("nan"), "malicious in sweep.toml: input should be a finite number, got nan."),
        ("lr", float("inf"), "lr in sweep.toml: input should be a finite number, got inf."),
        ("lr", 0, "lr in sweep.toml: input should be greater than 0, got 0."),
        ("lr", 10**400, "lr in sweep.toml: input should be a valid number, got 1000"),
        ("lr", [[0.1]], "lr in sweep.toml: input should be a valid number, got [0.1]."),
        ("lr", {"a": 1}, "got {'a': 1}."),
        ("clients", 2.0, "clients in sweep.toml: input should be a valid integer, got 2.0."),
        ("clients", [1, True], "clients in sweep.toml: input should be a valid integer, got True."),
        ("clients", 0, "clients in sweep.toml: input should be greater than or equal to 1, got 0."),
        (
            "clients",
            10**400,
            "clients in sweep.toml: input should be less than or equal to 1000000000, got 1",
        ),
        ("rounds", [], "rounds in sweep.toml: give at least one value."),
        ("local_steps", "many", "local_steps in sweep.toml: input should be a valid integer, got 'many'."),
        ("assumed_f", "3x", "assumed_f in sweep.toml: expected one of exact, 0.5x, 2x, none, got '3x'."),
        ("aggregator", [3], "sweep.toml, aggregator: a method is given as text, such as 'krum', got 3."),
        ("attack", ["none", True], "sweep.toml, attack #2: a method is given as text"),
        ("attack", [], "attack in sweep.toml: give at least one value."),
        ("aggregator", "krum(", "Malformed method in sweep.toml, aggregator: expected a parameter's name."),
        (
            "client",
            3,
            "Unknown key 'client' in sweep.toml. Did you mean clients?\nKeys: name, grid, plugins, pilot,",
        ),
        ("name", "../../etc", "The sweep's name '../../etc' must be letters, digits, '_', '-' and '.'"),
        ("name", "a/b", "must be letters"),
        ("name", "..", "must be letters"),
        ("name", "a\n", "must be letters"),
        ("grid", {"lr": 1}, "'grid' in sweep.toml must be [[grid]] tables."),
        ("grid", [1], "'grid' in sweep.toml must be [[grid]] tables."),
        ("grid", {}, "'grid' in sweep.toml must be [[grid]] tables."),
        ("grid", "", "'grid' in sweep.toml must be [[grid]] tables."),
        (
            "grid",
            [{"lr": 1}, {"name": "x"}],
            "'name' is in a [[grid]] of sweep.toml and is of the whole sweep",
        ),
        ("name", [], "The sweep's name '[]' must be letters"),
        ("name", "", "The sweep's name '' must be letters"),
        (
            "grid",
            [{"lr": 1}, {"lrr": 1}],
            "Unknown key 'lrr' in sweep.toml, [[grid]] #2. Did you mean lr or lr_schedule or server_lr?",
        ),
    ],
)
def test_refusals(key, value, said):
    assert said in refused({**LEAST, key: value})


def test_rule_and_attack_must_be_given():
    assert refused({"attack": "alie"}) == (
        "No aggregator is given. Name some with -a krum,median, or give a sweep file."
    )
    assert "No attack is given. Name some with -t none,alie" in refused({"aggregator": "krum"})


def test_local_steps_and_epochs_replace_each_other():
    assert (grid().local_epochs, grid().local_steps) == ([1], [None])
    steps = grid(local_steps=5)
    assert (steps.local_epochs, steps.local_steps) == ([None], [5])
    (back,) = make_sweep({**LEAST, "local_steps": 5}, {"local_epochs": [2]}).grids
    assert (back.local_epochs, back.local_steps) == ([2], [None])
    assert grid(local_epochs=None, local_steps=5) == steps
    both = {**LEAST, "local_steps": 1, "local_epochs": 1}
    assert refused(both) == "local_epochs and local_steps are both in sweep.toml; give one."
    assert "give local_epochs or local_steps" in refused({**LEAST, "local_epochs": [None]})
    assert "must be numbers" in refused({**LEAST, "local_epochs": [1, None]})


@pytest.mark.parametrize(
    "text",
    [
        "name = 'one'\naggregator = 'krum'\nattack = 'alie'",
        "name = 'all'\naggregator = ['krum', 'nnm > median']\nattack = ['none', 'alie(z=1.5)']\n"
        "seeds = '3:6'\nmalicious = [0.1, 0.3]\nlr = 1e-5\nlocal_steps = [1, 5]\n"
        "assumed_f = ['exact', 'none']",
        "name = 'two'\nattack = 'alie'\nrounds = 7\n[[grid]]\naggregator = 'krum'\nlocal_steps = 3\n"
        "[[grid]]\naggregator = ['mean', 'median']\nmalicious = [0.2, 0.4]\nlocal_epochs = 2",
    ],
)
def test_toml_round_trip(text):
    sweep = toml_of(text)
    again = tomli_w.dumps(to_toml(sweep))
    assert toml_of(again) == sweep
    assert make_sweep(to_toml(sweep), {}) == sweep


def test_shared_settings_are_written_once():
    sweep = toml_of("attack='alie'\nrounds=7\n[[grid]]\naggregator='krum'\n[[grid]]\naggregator='mean'")
    table = to_toml(sweep)
    assert table["rounds"] == 7
    assert table["grid"] == [{"aggregator": ["krum"]}, {"aggregator": ["mean"]}]


def test_a_folder_grows_by_union():
    old = make_sweep(LEAST, {"name": "old", "seeds": 2})
    new = make_sweep(LEAST, {"name": "new", "aggregator": "median", "malicious": 0.1, "seeds": "5:6"})
    whole = united(old, new)
    assert whole.name == "old"
    assert whole.grids == (*old.grids, *new.grids)
    assert united(whole, old) == whole


def test_a_folder_refuses_other_settings():
    old = make_sweep(LEAST, {"name": "old", "lr": [0.1, 0.2], "rounds": 10})
    with pytest.raises(UsageError) as caught:
        united(old, make_sweep(LEAST, {"lr": 0.1, "rounds": 10, "local_steps": 3}))
    assert str(caught.value) == (
        "The folder holds the sweep 'old' with other settings:\n"
        "  local_epochs: 1 in the folder, none now\n"
        "  local_steps: none in the folder, 3 now\n"
        "  lr: 0.1, 0.2 in the folder, 0.1 now\n"
        "Only aggregator, attack, partition, malicious, assumed_f, seeds may grow. "
        "Choose another folder with --out."
    )
    assert len(united(old, make_sweep(LEAST, {"lr": [0.2, 0.1], "rounds": 10, "seeds": 2})).grids) == 2


def test_every_grid_must_fit_the_folder():
    old = make_sweep({**LEAST, "grid": [{"rounds": 5}, {"rounds": 9}]}, {})
    assert len(united(old, make_sweep(LEAST, {"rounds": 9, "seeds": 3})).grids) == 3
    with pytest.raises(UsageError, match="rounds: 5 in the folder, 7 now"):
        united(old, make_sweep({**LEAST, "grid": [{"rounds": 5}, {"rounds": 7}]}, {}))


def test_another_spelling_of_a_model_is_no_other_setting():
    old = canonical(make_sweep(LEAST, {"model": "mlp"}))
    new = canonical(make_sweep(LEAST, {"model": "mlp(hidden=[200])", "seeds": 2}))
    assert united(old, new).grids[1].model == ["mlp"]


def test_files_that_cannot_be_read(tmp_path):
    def said(path):
        with pytest.raises(UsageError) as caught:
            read_sweep(path)
        return str(caught.value)

    missing = tmp_path / "none.toml"
    assert said(missing) == f"Cannot read the sweep file {str(missing)!r}: No such file or directory."
    assert said(tmp_path) == f"Cannot read the sweep file {str(tmp_path)!r}: Is a directory."
    (tmp_path / "bad.toml").write_text("lr = = 3")
    assert said(tmp_path / "bad.toml").startswith("bad.toml is not valid TOML: Invalid value (at line 1")
    (tmp_path / "latin.toml").write_bytes(b"name = '\xe9'")
    assert said(tmp_path / "latin.toml").startswith("latin.toml is not valid TOML: 'utf-8' codec")
    (tmp_path / "deep.toml").write_text("lr = " + "[" * 100_000)
    assert said(tmp_path / "deep.toml").startswith("deep.toml is not valid TOML: ")
    (tmp_path / "good.toml").write_text("lr = 0.1")
    assert read_sweep(tmp_path / "good.toml") == {"lr": 0.1, "name": "good"}


def test_a_byte_order_mark_is_no_part_of_the_file(tmp_path):
    (tmp_path / "s.toml").write_text("lr = 0.1", encoding="utf-8-sig")
    assert read_sweep(tmp_path / "s.toml") == {"lr": 0.1, "name": "s"}


@pytest.mark.parametrize(
    ("key", "value"), [("lr", 1e300), ("server_lr", 1e10), ("weight_decay", 1e300), ("seeds", [10**22])]
)
def test_numbers_that_no_tensor_and_no_table_holds_are_refused(key, value):
    assert f"{key} in sweep.toml: input should be less than" in refused({**LEAST, key: value})


def test_numbers_of_a_file_may_be_nan_and_are_refused():
    with pytest.raises(UsageError, match="finite"):
        toml_of("aggregator='krum'\nattack='alie'\nlr = nan")


def test_a_number_of_five_thousand_digits_is_refused(tmp_path):
    path = tmp_path / "long.toml"
    path.write_text("clients = " + "9" * 5000)
    with pytest.raises(UsageError, match="not valid TOML"):
        read_sweep(path)
