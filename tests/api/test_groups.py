"""Groups of methods: who belongs, where they may stand, and that folders never hold them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from robustbench_fl.api import Aggregation, Aggregator, PreAggregator, build, registry
from robustbench_fl.api.groups import groups, ungrouped
from robustbench_fl.api.spec import format_chain, parse_chain, parse_chains
from robustbench_fl.core.errors import UsageError
from robustbench_fl.sweep.config import make_sweep, read_sweep
from robustbench_fl.sweep.expand import canonical, expand

BACKDOORS = [
    "a3fl", "badnets", "chameleon", "dba", "edge_case", "layer_poisoning", "neurotoxin", "pgd", "scaling",
]  # fmt: skip


def members(kind: str, name: str) -> set[str]:
    found = groups(kind)[name].members
    assert found == sorted(set(found))
    return set(found)


def refusal(kind: str, text: str, where: str = "") -> str:
    with pytest.raises(UsageError) as caught:
        ungrouped(kind, text, where)
    return str(caught.value)


def test_attacks_fall_into_none_untargeted_targeted_and_adaptive() -> None:
    parts = [{"none"}, *(members("attacks", f"@{name}") for name in ("untargeted", "targeted", "adaptive"))]
    assert set().union(*parts) == members("attacks", "@all") == set(registry.names("attacks"))
    assert sum(map(len, parts)) == len(members("attacks", "@all"))
    assert members("attacks", "@targeted") == {
        *BACKDOORS, "alternating_minimisation", "targeted_label_flip",
    }  # fmt: skip
    assert members("attacks", "@backdoor") == set(BACKDOORS)
    assert members("attacks", "@adaptive") == {"adaptive_fedredefense", "optimal"}


def test_rules() -> None:
    everything = members("aggregators", "@all")
    assert set(registry.names("aggregators")) - everything == {
        "arc", "bucketing", "clip", "nnm", "root_only", "local_only",
    }  # fmt: skip
    assert members("aggregators", "@baselines") == {"oracle_mean", "root_only", "local_only"}
    assert members("aggregators", "@detectors") == {
        "alignins", "class_sum_test", "deepsight", "fedredefense", "flame", "fldetector", "freqfed", "rflbat",
        "safefl", "signguard", "skymask",
    }  # fmt: skip
    nothing = members("aggregators", "@needs-nothing")
    assert {"mean", "median", "geometric_median", "signguard"} <= nothing
    assert not nothing & {"krum", "trimmed_mean", "fltrust", "flame", "foolsgold", "centered_clipping"}
    # It is handed the honest rows: nobody is told more.
    assert "oracle_mean" in everything - nothing


@pytest.mark.parametrize("kind", ["partitions", "datasets", "models"])
def test_all_of_the_other_kinds(kind: str) -> None:
    needs_a_path = {"npz", "image_folder", "hf"}
    assert members(kind, "@all") == set(registry.names(kind)) - needs_a_path


def test_the_language_reads_and_writes_groups() -> None:
    assert [format_chain(chain) for chain in parse_chains("@all, nnm > @needs-nothing,krum")] == [
        "@all",
        "nnm > @needs-nothing",
        "krum",
    ]
    with pytest.raises(UsageError, match=r"the group '@all' takes no parameters\.\n  @all\(k=3\)\n      \^"):
        parse_chain("@all(k=3)")


def test_a_group_after_pre_aggregators() -> None:
    assert ungrouped("aggregators", "bucketing(s=3) > nnm > @detectors")[-1] == (
        "bucketing(s=3) > nnm > skymask"
    )
    assert ungrouped("aggregators", "nnm > krum") == ["nnm > krum"]


def test_refusals() -> None:
    assert refusal("attacks", "@untarget", "sweep.toml, attack #2") == (
        "Unknown group '@untarget' of attacks in sweep.toml, attack #2.\n"
        "Did you mean @untargeted or @targeted?   All of them: robustbench-fl list attacks --groups"
    )
    assert "Unknown group '@' of models" in refusal("models", "@")
    assert refusal("aggregators", "@all > krum", "x") == (
        "'@all' in x is a group of rules; it can only come last."
    )
    assert refusal("aggregators", "@all > @all").endswith("it can only come last.")
    with pytest.raises(UsageError, match="'@all' is a group, for sweeps; name one of the aggregators here"):
        build.make("aggregators", "@all")


def test_a_sweep_is_planned_for_every_member_once_and_stored_without_groups(tmp_path: Path) -> None:
    file = tmp_path / "sweep.toml"
    file.write_text('aggregator = ["krum", "@detectors", "signguard"]\nattack = ["none", "@backdoor"]\n')
    sweep = canonical(make_sweep(read_sweep(file), {}), "sweep.toml")
    (grid,) = sweep.grids
    assert grid.aggregator == ["krum", *sorted(members("aggregators", "@detectors"))]
    assert grid.attack == ["none", *BACKDOORS]
    assert len(expand(sweep)) == (1 + len(members("aggregators", "@detectors"))) * (1 + len(BACKDOORS))
    assert canonical(sweep) == sweep


def test_errors_count_the_texts_that_were_given() -> None:
    sweep = make_sweep({}, {"aggregator": ["@all", "krumm"], "attack": "none"})
    with pytest.raises(UsageError, match="'krumm' in aggregator #2"):
        canonical(sweep)


@pytest.mark.usefixtures("own_registry")
def test_plugins_join_the_groups_that_they_declare() -> None:
    before = members("aggregators", "@needs-nothing")
    planned = make_sweep({}, {"aggregator": "@needs-nothing", "attack": "none"})
    assert len(expand(planned)) == len(before)

    @registry.register("newcomer")
    @dataclass(frozen=True, kw_only=True)
    class Newcomer(Aggregator):
        def aggregate(self, updates, view, state):  # type: ignore[no-untyped-def]
            return Aggregation(updates[0]), None

    @registry.register("demanding")
    @dataclass(frozen=True, kw_only=True)
    class Demanding(Newcomer):
        share: float

    @registry.register("stage")
    @dataclass(frozen=True, kw_only=True)
    class Stage(PreAggregator):
        def mixing(self, updates, view, state):  # type: ignore[no-untyped-def]
            raise NotImplementedError

    # `demanding` cannot be named without its parameter.
    assert members("aggregators", "@needs-nothing") - before == {"newcomer"}
    assert len(expand(planned)) == len(before) + 1


def test_the_page_on_usage_names_every_group() -> None:
    text = (Path(__file__).parents[2] / "docs/usage.md").read_text()
    for kind in registry.PACKAGES:
        for name in groups(kind):
            assert name in text, name
