"""Families of attacks, their members, and the scales these stand on."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from robustbench_fl.api import Attack, register, registry
from robustbench_fl.api.families import at_edge, families, family_of, neighbours, strengths_of


def test_every_attack_but_the_clean_setting_gives_members() -> None:
    found = families()
    assert "none" not in found
    members = [member for family in found.values() for member in family]
    assert {member.split("(")[0] for member in members} == set(registry.names("attacks")) - {"none"}
    assert len(members) == len(set(members))
    assert list(found) == sorted(found)


def test_attacks_of_one_idea_share_a_family() -> None:
    found = families()
    assert {member.split("(")[0] for member in found["min_max_sum"]} == {"min_max", "min_sum"}
    assert {member.split("(")[0] for member in found["fang"]} == {"fang_krum", "fang_trimmed_mean"}
    assert "mpaf(scale=1)" in found["mpaf"]


def test_a_scale_is_ordered_by_its_numbers_and_ends_somewhere() -> None:
    line = ("mpaf(scale=0.3)", "mpaf(scale=1)", "mpaf", "mpaf(scale=10)")
    assert neighbours("mpaf(scale=1)") == line
    assert [at_edge(member) for member in line] == [True, False, False, True]
    # The other target is another scale.
    assert neighbours("mpaf(target=random)")[0] == "mpaf(scale=1, target=random)"


@pytest.mark.parametrize("text", ["alie", "zero", "min_max", "rop(angle=180)", "alie(z=1.5, sign=1)"])
def test_without_a_number_or_company_on_the_scale_there_is_no_edge(text: str) -> None:
    assert not at_edge(text)


@pytest.mark.usefixtures("own_registry")
def test_an_attack_that_declares_nothing_is_a_family_of_its_own() -> None:
    @register("lonely")
    @dataclass(frozen=True, kw_only=True)
    class Lonely(Attack):
        """Send something."""

    assert family_of(Lonely) == "lonely"
    assert strengths_of(Lonely) == ("lonely",)
    assert families()["lonely"] == ("lonely",)

    @register("demanding")
    @dataclass(frozen=True, kw_only=True)
    class Demanding(Attack):
        """Send something."""

        size: int

    assert strengths_of(Demanding) == families()["demanding"] == ()
