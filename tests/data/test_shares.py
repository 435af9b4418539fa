"""Shares: a client's samples out of one array."""

from __future__ import annotations

import numpy as np
import pytest

from robustbench_fl.api.build import make
from robustbench_fl.data.heterogeneity import label_counts
from robustbench_fl.data.shares import Shares

PARTS = [np.array([4, 1]), np.array([], dtype=np.int64), np.array([0, 2, 3])]


def test_they_are_the_arrays_that_they_were_made_of() -> None:
    shares = Shares.of(PARTS)
    assert len(shares) == 3
    assert shares.sizes.tolist() == [2, 0, 3]
    for read in (list(shares), [shares[i] for i in range(3)], shares[:]):
        assert [part.tolist() for part in read] == [[4, 1], [], [0, 2, 3]]
    assert shares[-1].tolist() == [0, 2, 3]
    assert shares.owners.tolist() == [0, 0, 2, 2, 2]
    assert [part.tolist() for part in shares.within(10 * np.arange(5))] == [[40, 10], [], [0, 20, 30]]
    assert Shares.of(shares) is shares
    with pytest.raises(IndexError):
        shares[3]


def test_owners_keep_the_order_of_the_samples() -> None:
    shares = Shares.owned(np.array([1, 0, 1, 3]), 4)
    assert [part.tolist() for part in shares] == [[1], [0, 2], [], [3]]


def test_counts_are_those_of_each_client() -> None:
    labels = np.array([0, 1, 1, 2, 0])
    expected = [np.bincount(labels[part], minlength=3).tolist() for part in PARTS]
    assert label_counts(labels, PARTS, 3).tolist() == expected


@pytest.mark.parametrize(
    "text", ["iid", "dirichlet(alpha=5)", "balanced_dirichlet(alpha=0.1)", "label_bias(q=0.5)"]
)
def test_many_clients_are_one_array(text: str) -> None:
    labels = np.arange(4_000, dtype=np.int64) % 10
    parts = make("partitions", text).split(labels, 10, 40, np.random.default_rng(0))
    assert isinstance(parts, Shares)
    assert np.shares_memory(parts[3], parts.members)
    assert np.array_equal(np.sort(parts.members), np.arange(4_000))
