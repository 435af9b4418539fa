from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from robustbench_fl.api import Partition
from robustbench_fl.api.build import make
from robustbench_fl.core.cell import World
from robustbench_fl.core.errors import PartitionError, UsageError
from robustbench_fl.data.federation import Federation, make_federation
from robustbench_fl.data.images import ImageStore
from robustbench_fl.data.malicious_clients import malicious_order, placed_order
from robustbench_fl.data.spread import spread

DIGITS = make("datasets", "digits").load(Path())


def digits(partition: str = "iid", n_clients: int = 10, seed: int = 0, **options) -> Federation:
    method = options.pop("method", None) or make("partitions", partition)
    world = World("digits", partition, seed, n_clients, **{"root_size": None, "validation": 0.1, **options})
    return make_federation(DIGITS, spread(world, DIGITS, method))


def test_everything_is_used_once() -> None:
    world = digits()
    parts = [*world.clients, world.validation, world.root]
    assert sorted(np.concatenate(parts).tolist()) == list(range(1438))
    assert (len(world.validation), len(world.root)) == (144, 117)  # (1438 - 144) // 11, one client's share
    for part in (world.validation, world.root):
        counts = np.bincount(DIGITS.train_labels[part], minlength=10)
        assert counts.max() - counts.min() <= 1


def test_holdouts_do_not_depend_on_the_partition_nor_validation_on_the_root_size() -> None:
    base = digits()
    other = digits("dirichlet(alpha=1.0)", n_clients=4, root_size=117)
    assert np.array_equal(base.validation, other.validation)
    assert np.array_equal(base.root, other.root)
    assert np.array_equal(base.validation, digits(root_size=17).validation)
    assert not np.array_equal(base.validation, digits(seed=1).validation)


def test_images_are_normalised() -> None:
    world = digits()
    index = torch.tensor([[5, -1], [0, 7]])
    expected = (DIGITS.train_images[[5, 0, 0, 7]] / 16.0 - DIGITS.mean[0]) / DIGITS.std[0]
    found = world.images(index)
    assert found.shape == (2, 2, 1, 8, 8)
    assert np.allclose(found.flatten(0, 1).numpy(), expected, atol=1e-6)
    assert world.labels(index).flatten()[[0, 3]].tolist() == DIGITS.train_labels[[5, 7]].tolist()
    assert world.bright.item() == pytest.approx((1 - DIGITS.mean[0]) / DIGITS.std[0])
    assert abs(float(world.images(torch.arange(1438)).mean())) < 1e-3


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_both_ways_of_keeping_images_agree_bit_for_bit(dtype: type) -> None:
    raw = np.random.default_rng(0).integers(0, 256, (50, 3, 5, 4)).astype(dtype)
    scale = {"full_scale": 255.0, "mean": (0.1, 0.5, 0.3), "std": (0.2, 0.3, 0.7)}
    kept, fresh = (ImageStore(raw, **scale, keep_float=keep) for keep in (True, False))
    index = torch.tensor([3, 49, -1, 0])
    assert torch.equal(kept[index], fresh[index])
    assert torch.equal(kept[2:9], fresh[2:9])
    assert kept.bright.tolist() == pytest.approx([4.5, 5 / 3, 1.0])


def test_normalising_leaves_the_arrays_alone() -> None:
    raw = np.full((2, 1, 2, 2), 3.0, dtype=np.float32)
    for keep in (True, False):
        ImageStore(raw, full_scale=4.0, mean=(0.5,), std=(0.5,), keep_float=keep)[torch.tensor([0])]
    assert (raw == 3).all()


def test_too_little_data() -> None:
    with pytest.raises(
        UsageError, match=r"1438 training images: too few for .* 144, a root set of 1290 and 10 clients"
    ):
        digits(root_size=1290)

    class Greedy(Partition):
        def split(self, labels, n_classes, n_clients, rng):
            return [np.arange(len(labels)), *[np.empty(0, dtype=np.int64)] * (n_clients - 1)]

    with pytest.raises(PartitionError, match="greedy leaves 9 of 10 clients without samples"):
        digits("greedy", method=Greedy())


def test_order_of_malice() -> None:
    order = malicious_order("digits", "iid", 3, 20)
    assert sorted(order.tolist()) == list(range(20))
    world = digits("shards(k=1)", n_clients=20)
    assert not np.array_equal(order, malicious_order("digits", "iid", 4, 20))
    assert np.array_equal(world.malicious_order("digits", "iid", 3), order)


def test_same_class_placement_picks_those_richest_in_one_class() -> None:
    counts = np.zeros((6, 3), dtype=np.int64)
    counts[np.arange(6), [0, 0, 1, 1, 2, 2]] = 10
    counts[[0, 2, 4], :] += 5  # the even clients are mixed
    order = placed_order("same_class", "d", "p", 0, counts)
    chosen = int(np.flatnonzero(counts[order[0]])[0])
    assert order[:2].tolist() == [2 * chosen + 1, 2 * chosen]
    assert sorted(order.tolist()) == list(range(6))
