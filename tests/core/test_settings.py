"""An axis is said once: flags, sweep files and the list of settings follow from its field."""

import json
import pickle
from dataclasses import dataclass
from typing import Annotated

import pytest
from annotated_types import Ge, Lt
from click.testing import CliRunner

from robustbench_fl.cli.main import cli
from robustbench_fl.core.settings import AXES, SETTINGS, About, Axes, Settings, axes_of
from robustbench_fl.sweep.config import make_sweep

LEAST = {"aggregator": "mean", "attack": "none"}


def said(*arguments):
    done = CliRunner().invoke(cli, arguments, terminal_width=200)
    assert done.exit_code == 0, done.output
    return done.output


def test_a_field_is_read_with_its_type_range_and_words():
    @dataclass
    class Own:
        share: Annotated[float, Ge(0), Lt(1), About("Some share.", flag="-s")]
        steps: Annotated[Annotated[int, Ge(1)] | None, About("Steps.", unit="steps")] = None

    # What `typing` resolves must be at hand: annotations of this file are not texts.
    share, steps = axes_of(Own).values()
    assert (share.name, share.kind, share.required, share.about.flag) == ("share", float, True, "-s")
    assert share.bounds == (Ge(0), Lt(1))
    assert (steps.kind, steps.required, steps.default, steps.about.unit) == (int, False, None, "steps")
    assert steps.bounds == (Ge(1),)


def test_every_axis_has_a_sentence_and_those_that_must_be_given_are_two():
    assert list(AXES) == [*Axes.__dataclass_fields__, *Settings.__dataclass_fields__]
    assert all(axis.about.help.endswith(".") for axis in AXES.values())
    assert [name for name, axis in AXES.items() if axis.required] == ["aggregator", "attack"]


@pytest.mark.parametrize("command", ["sweep", "plan"])
def test_flags_show_help_and_default(command):
    text = " ".join(said(command, "--help").split())
    for line in (
        "-a, --aggregator SPEC Rule, such as krum or 'nnm > median', or a group, such as @all. -t,",
        "-d, --dataset SPEC Data set. [default: digits]",
        "-m, --model SPEC Network. [default: mlp(hidden=[200])]",
        "-f, --malicious NUMBER Share of malicious clients. [default: 0.3]",
        "--seeds SEEDS Seeds: 5 (0 to 4), 1000:1020, or 3,7,11. [default: 0:1]",
        "--rounds NUMBER Server rounds. [default: 20]",
        "1 is FedSGD. --batch-size",
        "--server-lr NUMBER Factor of the aggregate in the server's step. [default: 1]",
        "--augment SPEC Augmentation of training images: none or crop_flip(padding=4). [default: none]",
        "--proximal-mu NUMBER Weight of FedProx's proximal term in the clients' loss. [default: 0]",
    ):
        assert line in text
    assert all(f"--{name.replace('_', '-')} " in text for name in AXES)


def test_a_grid_has_every_axis_with_its_default_and_travels_between_processes():
    (grid,) = make_sweep(LEAST, {}).grids
    assert [name for name, _ in grid] == list(AXES)
    assert all(getattr(grid, name) == [axis.default] for name, axis in AXES.items() if not axis.required)
    assert pickle.loads(pickle.dumps(grid)) == grid


def test_settings_are_listed_with_range_unit_and_default():
    rows = {row["name"]: row for row in json.loads(said("list", "settings", "--format", "json"))}
    assert list(rows) == list(SETTINGS) == said("list", "settings", "--names").split()
    assert rows["participation"] == {
        "name": "participation", "type": "a number", "range": "(0, 1]", "unit": "", "default": "1",
        "does": "Share of the clients that take part in a round.",
    }  # fmt: skip
    assert (rows["rounds"]["unit"], rows["rounds"]["default"]) == ("rounds", "20")
    assert (rows["server"]["type"], rows["server"]["default"]) == ("a choice", "sgd")
    assert "Keys" not in said("list", "settings", "--groups")


@pytest.mark.parametrize(
    "flag", [["--clients", "0"], ["--momentum", "1"], ["--lr", "0"], ["--root-size", "-1"]]
)
def test_partition_refuses_what_a_sweep_refuses(flag):
    done = CliRunner().invoke(cli, ["partition", *flag])
    assert done.exit_code == 2
    assert f"Invalid value for '{flag[0]}'" in done.output
