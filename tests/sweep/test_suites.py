"""Suites: frozen, read with care, and the parts of a plan that only they have."""

import json
import re
from pathlib import Path

import pytest

from robustbench_fl.core.errors import UsageError
from robustbench_fl.core.picks import Block, Member, Pick, Picks, write_picks
from robustbench_fl.store import Store
from robustbench_fl.sweep.picking import digest_of
from robustbench_fl.sweep.strengths import trial
from robustbench_fl.sweep.suite_plan import carried, fewer, frozen
from robustbench_fl.sweep.suites import Suite, read_suite, suites

ROOT = Path(__file__).parents[2]
SUITES = ROOT / "sweeps" / "suites"
THIS = """
name = "tiny"
version = 3
[tier.one]
members = ["ipm", "ipm(epsilon=10)"]
dataset = "digits"
model = "logistic"
aggregator = ["mean", "krum", "oracle_mean"]
attack = ["none", "ipm"]
local_epochs = 2
[[tier.one.block]]
name = "own"
main = true
[[tier.one.block]]
name = "half"
strengths = "own"
assumed_f = ["0.5x"]
local_steps = 1
"""


@pytest.fixture
def read(tmp_path):
    """Return a function that reads the suite of a text."""

    def of(text: str = THIS) -> Suite:
        (tmp_path / "tiny.toml").write_text(text)
        return read_suite(str(tmp_path / "tiny.toml"))

    return of


@pytest.mark.parametrize("path", sorted(SUITES.glob("*.toml")), ids=lambda path: path.stem)
def test_a_suite_is_frozen(path):
    held = json.loads(path.with_suffix(".frozen.json").read_text())
    now = frozen(read_suite(str(path)))
    said = f"{path.name} or a default in the code has changed what the suite {path.stem} runs"
    assert now["digest"] == held["digest"], f"{said}: make a suite of another name and version instead."
    assert now["tiers"].keys() == held["tiers"].keys()
    for tier, blocks in now["tiers"].items():
        assert blocks.keys() == held["tiers"][tier].keys()
        for name, block in blocks.items():
            assert block == held["tiers"][tier][name], (
                f"{said}: keys of the block {name} of {tier} are others. What stands under the old keys is "
                "compared no more. Leave the old default, or make a suite of another name. Only where picks "
                f"of a pilot are new, run: python sweeps/suites/freeze.py {path.stem}"
            )


@pytest.mark.parametrize("path", sorted(SUITES.glob("*.toml")), ids=lambda path: path.stem)
def test_committed_results_are_what_the_suite_plans(path):
    suite = read_suite(str(path))
    held = json.loads(path.with_suffix(".frozen.json").read_text())["tiers"]
    for tier in suite.tiers:
        for block in tier.blocks:
            folder = ROOT / "results" / tier.full_name / block.name
            if not (folder / "cells.jsonl.gz").is_file():
                continue
            records = Store.existing(folder).records()
            keys = {record["key"] for record in records}
            planned = held[tier.name][block.name]
            kind = "tuned" if block.tune else "picked" if block.strengths != "defaults" else "named"
            assert {"cells": len(keys), "keys": digest_of(keys)} == planned[kind], folder
            marks = {record["provenance"]["suite"]["digest"] for record in records}
            assert marks == {suite.digest}, folder


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("main = true", 'main = "false"', "main in mine.toml, tier {}, block {} is true or false, without"),
        ("main = true", "main = 1", "got 1."),
        ("main = true", "tune = 0", "tune in"),
        ("main = true", 'open = "no"', "open in"),
        ("main = true", "joins = false", "joins in mine.toml, tier {}, block {} is a text; got False."),
        ("main = true", "strengths = 3", "strengths in"),
        ('name = "rbfl-1"', "name = 1", "name in mine.toml is a text; got 1."),
        ("version = 1", "version = true", "a whole number as version"),
        ("members = [", "members = [3, ", "members a list of attacks"),
    ],
)
def test_a_field_of_another_type_is_refused(tmp_path, old, new, said):
    text = (Path(__file__).parents[2] / "sweeps/suites/rbfl-1.toml").read_text()
    assert old in text
    (tmp_path / "mine.toml").write_text(text.replace(old, new, 1))
    with pytest.raises(UsageError, match=said.format(r"\w+", r"[\w.-]+")):
        read_suite(str(tmp_path / "mine.toml"))


def test_suites_are_found_by_name():
    assert suites() == ["rbfl-1"]
    with pytest.raises(UsageError, match=r"There is no suite 'rbfl-2'.*Did you mean rbfl-1"):
        read_suite("rbfl-2")


def test_a_digest_is_of_what_is_run_alone(read):
    before = read().digest
    assert re.fullmatch("[0-9a-f]{12}", before)
    assert read("# words\n" + THIS.replace("version", 'about = "x"\nversion')).digest == before
    assert read(THIS.replace("epsilon=10", "epsilon=11")).digest != before


def test_what_tier_and_block_say(read):
    suite = read()
    tier = suite.tier("one")
    assert (suite.name, suite.version, suite.pilot_seeds) == ("tiny", 3, (1000, 1001, 1002, 1003))
    assert (tier.full_name, tier.picks, [block.name for block in tier.main]) == ("tiny-one", 2, ["own"])
    own, half = (block.sweep() for block in tier.blocks)
    assert own.name == "own"
    assert own.grids[0].local_epochs == [2]
    assert (half.grids[0].local_steps, half.grids[0].local_epochs) == ([1], [None])
    changed = tier.block("half").sweep({"aggregator": ["median"]})
    assert [grid.aggregator for grid in changed.grids] == [["median"]]
    mark = suite.mark(tier, tier.block("half"), on="npz(path=x)")
    assert mark == {
        "name": "tiny on npz(path=x)", "version": 3, "digest": suite.digest, "tier": "one", "block": "half",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("version = 3", "version = 3\nversoin = 4", "Unknown key 'versoin'"),
        ("version = 3", "", "whole number as version"),
        ("version = 3", "version = 3\npilot_seeds = 3", "at least 4 seeds"),
        ("version = 3", "version = 3\nabout = 7", "is a text"),
        ("assumed_f", "asumed_f", "Unknown key 'asumed_f' in the block 'half'"),
        ('strengths = "own"', 'strengths = "owm"', "Did you mean own"),
        ('strengths = "own"', 'strengths = "half"', "of a block that picks none"),
        ('name = "half"', 'name = "own"', "the same name"),
        ('name = "half"', "", "needs a name"),
        ("[tier.one]", "[tier.one]\npicks = 0", "picks is a whole number from 1"),
        ("tier.one", "teir.one", "Unknown key 'teir'"),
    ],
)
def test_what_no_suite_says_is_refused(read, old, new, said):
    with pytest.raises(UsageError, match=said):
        read(THIS.replace(old, new))


def test_times_are_read_strictly(read, tmp_path):
    times = tmp_path / "tiny.times.json"
    times.write_text('{"how": "x", "tiers": {"one": {"own": '
                     '{"cells": 3, "seconds": 1.5, "pilot_cells": 0, "pilot_seconds": 0}}}}')  # fmt: skip
    suite = read()
    tier = suite.tier("one")
    assert suite.extent(tier, tier.block("own")).seconds == 1.5
    assert suite.extent(tier, tier.block("half")) is None
    times.write_text('{"tiers": {"one": [3]}}')
    with pytest.raises(UsageError, match=r"tiny\.times\.json' holds no times of a suite"):
        read()


def test_unknown_tiers_and_blocks_are_named(read):
    suite = read()
    with pytest.raises(UsageError, match=r"no tier 'two'. Known: one"):
        suite.tier("two")
    with pytest.raises(UsageError, match=r"no block 'halv'. Did you mean half"):
        suite.tier("one").block("halv")


def test_a_pilot_tries_the_members_that_the_tier_names(read):
    suite = read()
    tier = suite.tier("one")
    tried, named = trial(tier.block("own").sweep(), suite.pilot_seeds, "x", tried=tier.members)
    assert named == {"none", "ipm"}
    (grid,) = tried.grids
    assert (grid.attack, grid.aggregator) == (["ipm", "ipm(epsilon=10)"], ["mean", "krum"])
    assert len(trial(tier.block("own").sweep(), suite.pilot_seeds, "x")[0].grids[0].attack) == 5


def picks(tier) -> Picks:
    """Return picks for the block `own`, as a pilot would write them."""
    from robustbench_fl.sweep.expand import expand
    from robustbench_fl.sweep.picking import block_of

    cell = expand(tier.block("own").sweep())[0].cell
    members = [
        Member(attack=f"ipm(epsilon={e})", accuracy=0.5, above=0.0, error=0.0, edge=False) for e in (10, 2)
    ]
    block: Block = block_of(cell, cell.settings.lr)
    made = [
        Pick(block=0, aggregator=rule, assumed_f=f, family="ipm", members=members, tried=2,
             default="ipm", default_accuracy=0.6)
        for rule, f in (("mean", None), ("krum", "exact"))
    ]  # fmt: skip
    return Picks(version="1", engine=1, sweep="own", seeds=[1000, 1001, 1002, 1003], cells="0" * 12,
                 blocks=[block], picks=made)  # fmt: skip


def test_picks_hold_in_another_block(read, tmp_path):
    from robustbench_fl.sweep.plan import plan_of

    tier = read().tier("one")
    write_picks(tmp_path / "picks.json", picks(tier))
    half = tier.block("half").sweep()
    with pytest.raises(UsageError, match="has no pick"):
        plan_of(half.model_copy(update={"pilot": tmp_path / "picks.json"}), None, "", "")
    write_picks(tmp_path / "half.json", fewer(carried(tmp_path / "picks.json", half), 1))
    plan = plan_of(half.model_copy(update={"pilot": tmp_path / "half.json"}), None, "", "")
    met = {(one.cell.aggregator, one.cell.attack, one.cell.assumed_f) for one in plan.cells}
    assert ("krum", "ipm(epsilon=10)", "0.5x") in met
    assert ("mean", "ipm(epsilon=10)", None) in met
    assert not [one for one in met if one[1] == "ipm(epsilon=2)"]
    assert {one[1] for one in met if one[0] == "oracle_mean"} == {"none", "ipm"}


def test_picks_of_several_blocks_hold_nowhere_else(read, tmp_path):
    tier = read().tier("one")
    found = picks(tier)
    write_picks(tmp_path / "two.json", found.model_copy(update={"blocks": found.blocks * 2}))
    with pytest.raises(UsageError, match="of several blocks"):
        carried(tmp_path / "two.json", tier.block("half").sweep())
