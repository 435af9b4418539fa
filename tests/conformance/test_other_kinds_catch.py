"""The checks of pre-aggregators, partitions, data sets and models fail on what is broken."""

from __future__ import annotations

from pathlib import Path

import pytest

from robustbench_fl.api import registry
from robustbench_fl.conformance import Outcome, cases

_STAGE = '''
from __future__ import annotations
from dataclasses import dataclass
from typing import ClassVar
import torch
from robustbench_fl.api import PreAggregator, Need
from robustbench_fl.api import register


@register("probe")
@dataclass(frozen=True, kw_only=True)
class Probe(PreAggregator):
    """Return weights, Tensor [n]."""
    FACTS

    def mixing(self, updates, view, state):
        n = len(updates)
        BODY
'''
_PARTITION = '''
from __future__ import annotations
from dataclasses import dataclass
import numpy as np
from robustbench_fl.api import Partition
from robustbench_fl.api import PartitionError
from robustbench_fl.api import register


@register("probe")
@dataclass(frozen=True, kw_only=True)
class Probe(Partition):
    """Split in order.

    Parameters
    ----------
    alpha : float
        Degree.
    """
    alpha: float = 1.0
    equal_sizes = True

    def split(self, labels, n_classes, n_clients, rng):
        if n_clients > len(labels):
            raise PartitionError(f"{n_clients} clients")
        BODY
'''
_MODEL = '''
from __future__ import annotations
from dataclasses import dataclass
import torch
from robustbench_fl.api import Model, ModelFamily
from robustbench_fl.api import register


class Net(Model):
    def forward(self, tensors, images):
        weight, bias, idle = tensors
        BODY


@register("probe")
@dataclass(frozen=True, kw_only=True)
class Probe(ModelFamily):
    """One layer."""

    def build(self, input_shape, n_classes):
        c, h, w = input_shape
        shapes = (("a", (n_classes, c * h * w)), ("b", (n_classes,)), ("idle", (2,)))
        return Net(input_shape, n_classes, shapes)
'''
_DATASET = '''
from __future__ import annotations
from dataclasses import dataclass
from pathlib import Path
import numpy as np
from robustbench_fl.api import Arrays, Dataset
from robustbench_fl.api import MissingDataError
from robustbench_fl.api import register


@register("probe")
@dataclass(frozen=True, kw_only=True)
class Probe(Dataset):
    """Images."""

    def load(self, data_dir, *, download=False):
        images, labels = np.zeros((20, 1, 8, 8), np.float32), np.arange(20, dtype=np.int64) % 2
        images[::3] = 1
        BODY
        return Arrays(
            train_images=images, train_labels=labels, test_images=images, test_labels=labels,
            n_classes=2, full_scale=1.0, mean=(0.35,), std=(0.477,),
        )
'''

pytestmark = pytest.mark.usefixtures("clean_registry")


def failures(
    tmp_path: Path, kind: str, template: str, body: str, facts: str = "", check: str = ""
) -> dict[str, str]:
    """Return the checks that fail; with `check`, the others are asked only if it passes."""
    name = f"probe_{tmp_path.name}"
    path = tmp_path / "probe.py"
    path.write_text(template.replace("BODY", body).replace("FACTS", facts).replace('"probe"', f'"{name}"'))
    registry.load_plugin(path)
    asked = cases(kind, [name])
    for some in ([case for case in asked if case.check.name == check], asked):
        results = {case.check.name: case.result() for case in some}
        failed = {name: result.why for name, result in results.items() if result.outcome is Outcome.FAIL}
        if failed:
            return failed
    return {}


@pytest.mark.parametrize(
    ("check", "says", "body", "facts"),
    [
        ("weights", "not [12, 12], [12]", "return torch.ones(2, n), state", ""),
        ("weights", "comes out", "return 2 * torch.ones(n), state", ""),
        ("weights", "float64", "return torch.ones(n).double(), state", ""),
        ("inputs_unchanged", "changed its input", "updates[0] = 0; return torch.ones(n), state", ""),
        ("repeatable", "second call", "return torch.rand(n), state", ""),
        ("permutation", "permuted", "return torch.linspace(0, 1, n), state", ""),
        ("needs", "view.f", "hasattr(view, 'f'); return torch.ones(n), state", ""),
        ("needs", "never uses", "return torch.ones(n), state", "needs = frozenset({Need.F})"),
        ("identical_updates", "come out different", "return torch.ones(n) / 2, state", ""),
        ("huge_and_zero_rows", "not finite", "return updates.norm(dim=1) / updates.norm(dim=1), state", ""),
        ("in_front_of_rules", "raised", "return torch.ones(n, n, n), state", ""),
    ],
)
def test_a_broken_pre_aggregator_fails(tmp_path: Path, check: str, says: str, body: str, facts: str) -> None:
    found = failures(tmp_path, "aggregators", _STAGE, body, facts, check)
    assert says in found.get(check, f"nothing; failed: {found}")


def test_the_identity_passes_as_a_pre_aggregator(tmp_path: Path) -> None:
    assert failures(tmp_path, "aggregators", _STAGE, "return torch.ones(n), state") == {}


@pytest.mark.parametrize(
    ("check", "says", "body"),
    [
        ("every_sample_once", "exactly once", "return [np.arange(5)] * n_clients"),
        (
            "every_sample_once",
            "float64",
            "return [p * 1.0 for p in np.array_split(rng.permutation(1440), n_clients)]",
        ),
        ("repeatable", "another stream", "return np.array_split(np.arange(len(labels)), n_clients)"),
        ("equal_sizes", "sizes from", "return np.split(rng.permutation(1440), np.arange(1, n_clients))"),
        ("degree", "alpha=1e+06", "return np.array_split(np.argsort(labels), n_clients)"),
        ("degree", "alpha=0.3", "return np.array_split(rng.permutation(len(labels)), n_clients)"),
    ],
)
def test_a_broken_partition_fails(tmp_path: Path, check: str, says: str, body: str) -> None:
    found = failures(tmp_path, "partitions", _PARTITION, body, check=check)
    assert says in found.get(check, f"nothing; failed: {found}")


@pytest.mark.parametrize(
    ("check", "says", "body"),
    [
        ("gradients", "reaches idle", "return images.flatten(1) @ weight.T + bias + 0 * idle.sum()"),
        ("facts", "linear = False", "return images.flatten(1) @ weight.T + bias + idle.sum()"),
        (
            "facts",
            "another batch",
            "return ((images - images.mean(0)).flatten(1) @ weight.T + bias).relu() + idle.sum()",
        ),
        ("logits", "logits are", "return (images.flatten(1) @ weight.T)[:, :3] + idle.sum()"),
        ("logits", "changed its input", "images.mul_(2); return images.flatten(1) @ weight.T + idle.sum()"),
    ],
)
def test_a_broken_model_fails(tmp_path: Path, check: str, says: str, body: str) -> None:
    found = failures(tmp_path, "models", _MODEL, body, check=check)
    assert says in found.get(check, f"nothing; failed: {found}")


@pytest.mark.parametrize(
    ("check", "says", "body"),
    [
        ("arrays", "float64", "images = images.astype(float)"),
        ("arrays", "not all of 0 … 1", "labels[:] = 0"),
        ("normalisation", "means up to", "images += 3"),
        ("repeatable", "train_images", "images += np.float32(1e-3 * np.random.default_rng().random())"),
        ("says_what_is_missing", "folder is not named", "raise MissingDataError('no')"),
    ],
)
def test_a_broken_dataset_fails(tmp_path: Path, check: str, says: str, body: str) -> None:
    found = failures(tmp_path, "datasets", _DATASET, body, check=check)
    assert says in found.get(check, f"nothing; failed: {found}")


def test_a_sound_dataset_passes(tmp_path: Path) -> None:
    assert failures(tmp_path, "datasets", _DATASET, "pass") == {}
