from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robustbench_fl.api import Samples, registry
from robustbench_fl.api.build import make, text_of
from robustbench_fl.core.errors import PartitionError, UsageError
from robustbench_fl.data.heterogeneity import label_counts, skew_report
from robustbench_fl.data.partitions._sinkhorn import rounded_to_margins, scaled_to_margins
from robustbench_fl.data.strata import Strata, largest_remainder

LABELS = np.repeat(np.arange(10), 120)
UNEQUAL = np.repeat(np.arange(4), [400, 100, 60, 37])


def split(text: str, labels: np.ndarray = LABELS, n_clients: int = 20, seed: int = 0) -> list[np.ndarray]:
    samples = Samples(
        labels=labels, n_classes=int(labels.max()) + 1, columns={"users": np.arange(len(labels)) % 50}
    )
    return make("partitions", text).spread(samples, n_clients, np.random.default_rng(seed))


@pytest.mark.parametrize("name", registry.names("partitions"))
@pytest.mark.parametrize("labels", [LABELS, UNEQUAL], ids=["equal", "unequal"])
def test_every_index_exactly_once_and_nobody_empty(name: str, labels: np.ndarray) -> None:
    parts = split(name, labels, n_clients=10)
    assert len(parts) == 10
    assert min(map(len, parts)) > 0
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(labels)))
    again = split(name, labels, n_clients=10)
    assert all(np.array_equal(a, b) for a, b in zip(parts, again, strict=True))


@pytest.mark.parametrize("name", ["iid", "balanced_dirichlet", "similarity"])
@pytest.mark.parametrize("labels", [LABELS, UNEQUAL], ids=["equal", "unequal"])
def test_equal_sizes(name: str, labels: np.ndarray) -> None:
    sizes = [len(part) for part in split(name, labels, n_clients=13)]
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize("alpha", [0.01, 0.1, 1.0, 100.0])
def test_balanced_dirichlet_keeps_its_degree(alpha: float) -> None:
    report = skew_report(LABELS, split(f"balanced_dirichlet(alpha={alpha})"), 10)
    low, high = {0.01: (0.75, 0.9), 0.1: (0.6, 0.8), 1.0: (0.25, 0.45), 100.0: (0, 0.08)}[alpha]
    assert low <= report.total_variation <= high


def test_dynafed_sizes_follow_the_classes() -> None:
    equal = [len(part) for part in split("balanced_dirichlet(alpha=1.0, form=dynafed)")]
    assert max(equal) - min(equal) <= 8
    unequal = [len(part) for part in split("balanced_dirichlet(alpha=0.3, form=dynafed)", UNEQUAL)]
    assert max(unequal) - min(unequal) > 8


def test_alpha_is_always_named() -> None:
    assert text_of(make("partitions", "dirichlet")) == "dirichlet(alpha=0.1)"
    assert text_of(make("partitions", "balanced_dirichlet(alpha=0.1)")) == "balanced_dirichlet(alpha=0.1)"


@pytest.mark.parametrize(
    "call", ["dirichlet(alpha={})", "balanced_dirichlet(alpha={})", "quantity_skew(beta={})"]
)
def test_the_largest_concentration_is_nearly_iid_and_one_whose_sum_overflows_is_refused(call: str) -> None:
    sizes = [len(part) for part in split(call.format("1e100"))]
    assert sum(sizes) == len(LABELS)
    assert max(sizes) - min(sizes) <= 10
    for beyond in ("1e101", "1e308"):
        with pytest.raises(UsageError, match=r"must be a number in \(0, 1e\+100\]"):
            make("partitions", call.format(beyond))


def test_dirichlet_minimum() -> None:
    assert min(map(len, split("dirichlet(alpha=1.0, min_samples=20)"))) >= 20
    with pytest.raises(
        PartitionError, match=r"20 clients cannot all get min_samples=59 .* in 7 draws the smallest"
    ):
        split("dirichlet(alpha=0.1, min_samples=59, tries=7)")
    with pytest.raises(PartitionError, match="there are only 1200 samples"):
        split("dirichlet(alpha=0.1, min_samples=61)")


def test_label_bias_proportions() -> None:
    labels = np.repeat(np.arange(4), 5000)
    counts = label_counts(labels, split("label_bias(q=0.7)", labels, n_clients=6), 4)
    groups = np.stack([counts[g::4].sum(axis=0) for g in range(4)]) / 5000
    expected = np.where(np.eye(4), 0.7, 0.1)
    assert np.abs(groups - expected).max() < 0.03
    assert abs(counts[0, 0] - counts[4, 0]) < 300  # uniform inside the group of clients 0 and 4
    with pytest.raises(PartitionError, match="needs a client for each of the 10 classes, found 9"):
        split("label_bias", n_clients=9)


def test_shards_hold_few_classes() -> None:
    counts = label_counts(LABELS, split("shards(k=2)"), 10)
    assert (counts > 0).sum(axis=1).max() <= 2  # 40 shards of 30 never cross a class of 120
    with pytest.raises(PartitionError, match="1200 samples are too few for 1220 shards"):
        split("shards(k=61)")


def test_similarity_extremes() -> None:
    assert (label_counts(LABELS, split("similarity(gamma=0.0)"), 10) > 0).sum(axis=1).max() == 1
    half = label_counts(LABELS, split("similarity(gamma=0.5)"), 10)
    assert (
        np.sort(half, axis=1)[:, -2:].sum(axis=1) >= 30
    ).all()  # the sorted part spans two classes at most


def test_empty_clients_are_refused() -> None:
    with pytest.raises(PartitionError, match="iid leaves 2 of 5 clients without samples"):
        split("iid", np.array([0, 1, 1]), n_clients=5)


def test_report_by_hand() -> None:
    labels = np.array([0, 0, 1, 1])
    report = skew_report(labels, [np.array([0, 1]), np.array([2, 3])], 2)
    assert (report.sizes, report.label_entropy, report.total_variation) == ([2, 2], 0.0, 0.5)
    mixed = skew_report(labels, [np.array([0, 2]), np.array([1, 3])], 2)
    assert (mixed.label_entropy, mixed.total_variation) == (1.0, 0.0)


def test_largest_remainder_by_hand() -> None:
    assert largest_remainder(np.array([0.5, 0.3, 0.2]), 7).tolist() == [4, 2, 1]
    assert largest_remainder(np.ones(3), 4).tolist() == [2, 1, 1]


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), r=st.integers(1, 6), c=st.integers(1, 9), total=st.integers(10, 200))
def test_margins_are_exact_after_rounding(seed: int, r: int, c: int, total: int) -> None:
    rng = np.random.default_rng(seed)
    rows = np.bincount(rng.integers(0, r, total), minlength=r)
    columns = largest_remainder(np.ones(c), total)
    matrix = np.maximum(rng.dirichlet(np.full(c, 0.1), size=r), 1e-12)
    counts = rounded_to_margins(scaled_to_margins(matrix, rows, columns), rows, columns)
    assert (counts >= 0).all()
    assert counts.sum(axis=1).tolist() == rows.tolist()
    assert counts.sum(axis=0).tolist() == columns.tolist()


def test_strata_draw_in_proportion() -> None:
    strata = Strata(UNEQUAL, 4, np.random.default_rng(0))
    first, second = strata.draw(60), strata.draw(30)
    assert np.bincount(UNEQUAL[first]).tolist() == [40, 10, 6, 4]
    everything = np.concatenate([first, second, strata.rest()])
    assert sorted(everything.tolist()) == list(range(len(UNEQUAL)))
    with pytest.raises(ValueError, match="cannot draw 600 of 507"):
        strata.draw(600)


def test_quantity_skew_moves_sizes_not_classes() -> None:
    sizes = {beta: [len(p) for p in split(f"quantity_skew(beta={beta})")] for beta in (0.1, 1000.0)}
    assert max(sizes[0.1]) > 5 * 60 > 60 > min(sizes[0.1])
    assert max(abs(size - 60) for size in sizes[1000.0]) < 12
    big = max(split("quantity_skew(beta=0.1)"), key=len)
    shares = np.bincount(LABELS[big], minlength=10) / len(big)
    assert np.abs(shares - 0.1).max() < 0.05
    assert min(map(len, split("quantity_skew(beta=0.01, min_samples=25)"))) == 25
    with pytest.raises(PartitionError, match="1200 samples are too few for 20 clients with min_samples=61"):
        split("quantity_skew(min_samples=61)")


def test_writers_stay_together_and_are_dealt_evenly() -> None:
    users = np.arange(len(LABELS)) % 50
    parts = split("by_column", n_clients=20)
    owners = [set(users[part].tolist()) for part in parts]
    assert sorted(u for owned in owners for u in owned) == list(range(50))
    assert {len(owned) for owned in owners} == {2, 3}
    alone = split("by_column", n_clients=50)
    assert all(len(set(users[part].tolist())) == 1 for part in alone)
    with pytest.raises(PartitionError, match="50 different values are too few for 51 clients"):
        split("by_column", n_clients=51)
