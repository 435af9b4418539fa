"""Methods of an installed distribution, one of every kind, found through its entry points."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

MODULE = '''
import os
from dataclasses import dataclass

import numpy as np

from robustbench_fl.api import Aggregation, Aggregator, Attack
from robustbench_fl.api import Arrays, Dataset, Partition
from robustbench_fl.api import ModelFamily
from robustbench_fl.models.zoo.mlp import MlpModel
from robustbench_fl.api import register

assert "FORBIDDEN" not in os.environ, "imported for its name"


@register("their_rule", aliases=("their_other_name",))
@dataclass(frozen=True, kw_only=True)
class Rule(Aggregator):
    """Take the median."""

    def aggregate(self, updates, view, state):
        return Aggregation(updates.median(0).values), None


@register("their_attack")
@dataclass(frozen=True, kw_only=True)
class Opposite(Attack):
    """Send the opposite."""

    def craft(self, view, state):
        return -view.own, state


@register("their_partition")
@dataclass(frozen=True, kw_only=True)
class Stripes(Partition):
    """Deal the samples out in turn."""

    def split(self, labels, n_classes, n_clients, rng):
        return [np.arange(first, len(labels), n_clients) for first in range(n_clients)]


@register("their_data")
@dataclass(frozen=True, kw_only=True)
class Bars(Dataset):
    """A bright row a class."""

    image_shape = (1, 4, 4)
    n_classes = 4

    def load(self, data_dir, *, download=False):
        labels = np.arange(200) % 4
        images = np.zeros((200, 1, 4, 4), np.float32)
        images[np.arange(200), 0, labels] = 1
        return Arrays(
            train_images=images, train_labels=labels, test_images=images[:40], test_labels=labels[:40],
            n_classes=4, full_scale=1.0, mean=(0.0,), std=(1.0,),
        )


@register("their_model")
@dataclass(frozen=True, kw_only=True)
class Small(ModelFamily):
    """Five hidden units."""

    def build(self, input_shape, n_classes):
        return MlpModel(input_shape, n_classes, (5,))
'''
METHODS = {
    "aggregators": "their_rule",
    "attacks": "their_attack",
    "partitions": "their_partition",
    "datasets": "their_data",
    "models": "their_model",
}


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """Return a folder for ``sys.path`` with a distribution as pip leaves it there."""
    site = tmp_path / "site"
    info = site / "their_package-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: their-package\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "".join(f"[robustbench_fl.{kind}]\n{name} = their_package\n" for kind, name in METHODS.items())
    )
    (site / "their_package.py").write_text(MODULE)
    return site


def run(site: Path, *arguments: str, **variables: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "robustbench_fl", *arguments],
        env={**os.environ, "PYTHONPATH": str(site), **variables},
        capture_output=True, text=True, timeout=240,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_names_are_listed_without_an_import(installed: Path) -> None:
    names = run(installed, "list", "--names", FORBIDDEN="yes").split()
    assert set(METHODS.values()) <= set(names)


def test_every_kind_is_swept_by_name_and_joins_its_group(installed: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(
        installed, "sweep", "-a", "their_rule", "-t", "none,their_attack", "-p", "their_partition",
        "-d", "their_data", "-m", "their_model", "--clients", "5", "--rounds", "2", "-f", "0.2",
        "--root-size", "10", "-j", "2", "-o", str(out),
    )  # fmt: skip
    cells = [json.loads(path.read_text()) for path in (out / "cells").glob("*.json")]
    assert [cell["status"] for cell in cells] == ["done", "done"]
    for kind, name in METHODS.items():
        assert name in {cell["labels"][kind.removesuffix("s")] for cell in cells}
    groups = {
        (row["kind"], row["group"]): row["methods"]
        for row in json.loads(run(installed, "list", "--groups", "--format", "json"))
    }
    assert "their_rule" in groups["aggregators", "@needs-nothing"]
    assert "their_attack" in groups["attacks", "@untargeted"]
