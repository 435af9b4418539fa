"""Shards: every cell in exactly one, whatever is finished, and none with all the slow ones."""

from __future__ import annotations

from collections import Counter

import pytest

from robustbench_fl.core.errors import UsageError
from robustbench_fl.sweep.config import make_sweep
from robustbench_fl.sweep.expand import expand
from robustbench_fl.sweep.selection import Choice, Shard
from robustbench_fl.sweep.selection_text import parse

PLAN = expand(
    make_sweep({}, {"aggregator": "mean,krum,trimmed_mean", "attack": "none,alie", "malicious": [0.2, 0.5],
                    "seeds": 7})
)  # fmt: skip


@pytest.mark.parametrize("count", [1, 2, 5, 8, 100])
def test_shards_are_disjoint_complete_and_level_in_every_kind(count: int) -> None:
    shards = [Shard(number, count).of(PLAN) for number in range(1, count + 1)]
    assert sorted(p.cell.key for shard in shards for p in shard) == sorted(p.cell.key for p in PLAN)
    sizes = [len(shard) for shard in shards]
    assert max(sizes) - min(sizes) <= 1
    kinds = {(p.cell.aggregator, p.cell.attack, p.infeasible is None) for p in PLAN}
    for kind in kinds:
        held = [
            Counter((p.cell.aggregator, p.cell.attack, p.infeasible is None) for p in shard)[kind]
            for shard in shards
        ]
        assert max(held) - min(held) <= 1


def test_a_shard_depends_on_the_cells_alone() -> None:
    here = {p.cell.key for p in Shard(2, 5).of(PLAN)}
    assert {p.cell.key for p in Shard(2, 5).of(PLAN[::-1])} == here
    places = [PLAN.index(p) for p in Shard(2, 5).of(PLAN)]
    assert places == sorted(places)


def test_filters_come_before_the_shard() -> None:
    only = (parse("aggregator=mean malicious<0.5"),)
    whole = Choice(only=only).of(PLAN)
    parts = [Choice(only=only, shard=Shard(number, 3)).of(PLAN) for number in (1, 2, 3)]
    assert sorted(map(len, parts)) == [4, 5, 5]
    assert {p.cell.key for part in parts for p in part} == {p.cell.key for p in whole}
    assert Choice().of(PLAN) == PLAN


def test_a_choice_of_nothing_is_refused_but_an_empty_shard_is_not() -> None:
    with pytest.raises(UsageError, match="--only and --exclude leave none of the 84 cells"):
        Choice(only=(parse("malicious>0.9"),)).of(PLAN)
    assert Shard(3, 3).of(PLAN[:2]) == []


@pytest.mark.parametrize("text", ["0/3", "4/3", "1/0", "1", "a/b", "1/3/5", "-1/3", "1/9999999", "²/3"])
def test_no_shard(text: str) -> None:
    with pytest.raises(UsageError, match="--shard must be i/n with i from 1 to n"):
        Shard.parse(text)
    assert Shard.parse("3/8") == Shard(3, 8)
