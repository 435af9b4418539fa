import random
from itertools import combinations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from robustbench_fl.aggregators._cover import cover
from robustbench_fl.aggregators._diameter import smallest_diameter
from robustbench_fl.aggregators.mda import mda
from robustbench_fl.api.build import make
from robustbench_fl.core.errors import InfeasibleError


def diameter(distances: np.ndarray, members: tuple[int, ...]) -> float:
    return max((distances[i, j] for i, j in combinations(members, 2)), default=0.0)


def slow_subset(distances: np.ndarray, size: int) -> list[int]:
    """Return the subset of smallest diameter, among equals the first by total distance, from all subsets."""
    order = distances.sum(1).argsort(kind="stable")
    candidates = combinations(order.tolist(), size)  # in the order of the total distances
    return sorted(min(candidates, key=lambda members: diameter(distances, members)))


def symmetric(n: int, values: list[float]) -> np.ndarray:
    distances = np.zeros((n, n))
    distances[np.triu_indices(n, 1)] = values
    return distances + distances.T


def test_by_hand(line, aggregate):
    # 0 1 3 7 20: four of diameter 7, three of diameter 3.
    outcome = aggregate("mda", line, f=1)
    assert outcome.aggregate.item() == pytest.approx(11 / 4)
    assert outcome.weights.tolist() == [0.25, 0.25, 0.25, 0.25, 0]
    outcome = aggregate("mda", line, f=2)
    assert outcome.aggregate.item() == pytest.approx(4 / 3)
    assert outcome.selected.tolist() == [True, True, True, False, False]
    assert mda(line, 0).item() == pytest.approx(6.2)


def test_equal_diameters_by_hand():
    # 0 3 4 7, three of diameter 4: {0 3 4} or {3 4 7}; {0 3 4} and {3 4 7} are mirror images, so add 12:
    # total squared distances 0: 218, 3: 107, 4: 90, 7: 99, 12: 323; the order is 4 7 3 0 12.
    rows = torch.tensor([[0.0], [3.0], [4.0], [7.0], [12.0]])
    assert mda(rows, 2).item() == pytest.approx(14 / 3)
    assert mda(12 - rows.flip(0), 2).item() == pytest.approx(12 - 14 / 3)


@given(st.integers(1, 9), st.data())
@settings(max_examples=150, deadline=None)
def test_against_all_subsets(n, data):
    # Few different values, so that many subsets have the same diameter.
    count = n * (n - 1) // 2
    values = data.draw(st.lists(st.integers(0, 6), min_size=count, max_size=count))
    size = data.draw(st.integers(1, n))
    distances = symmetric(n, [float(v) for v in values])
    assert smallest_diameter(distances, size).tolist() == slow_subset(distances, size)


@pytest.mark.parametrize("seed", range(5))
def test_rows_against_all_subsets(seed):
    rows = np.random.default_rng(seed).standard_normal((11, 3)).astype(np.float32)
    distances = ((rows[:, None].astype(np.float64) - rows[None]) ** 2).sum(2)
    expected = rows[slow_subset(distances, 7)].mean(0)
    np.testing.assert_allclose(mda(torch.from_numpy(rows), 4).numpy(), expected, rtol=1e-5, atol=1e-6)


@given(st.integers(2, 9), st.randoms(use_true_random=False), st.floats(0.1, 0.9))
@settings(max_examples=200, deadline=None)
def test_covers_against_all_sets(n, rng: random.Random, density):
    graph = [0] * n
    edges = [(a, b) for a, b in combinations(range(n), 2) if rng.random() < density]
    for a, b in edges:
        graph[a] |= 1 << b
        graph[b] |= 1 << a
    least = min(s.bit_count() for s in range(1 << n) if all(s >> a & 1 or s >> b & 1 for a, b in edges))
    assert least == 0 or cover(graph, (1 << n) - 1, least - 1) is None
    found = cover(graph, (1 << n) - 1, least)
    assert found is not None
    assert found.bit_count() == least
    assert all(found >> a & 1 or found >> b & 1 for a, b in edges)


@pytest.mark.parametrize("seed", range(5))
def test_branching_where_no_node_is_sure(seed):
    # Three circles through both halves: every node has about three neighbours, either half covers.
    half, rng = 12, random.Random(seed)
    graph = [0] * (2 * half)
    for shift in rng.sample(range(half), 3):
        for a in range(half):
            b = half + (a + shift) % half
            graph[a] |= 1 << b
            graph[b] |= 1 << a
    # Regular of degree 3 and bipartite: 36 edges need 12 nodes.
    assert cover(graph, (1 << 2 * half) - 1, half - 1) is None
    assert cover(graph, (1 << 2 * half) - 1, half).bit_count() == half


def test_huge_identical_and_single_rows(aggregate):
    rows = torch.tensor([[1e30], [2.0], [3.0], [-1e30], [4.0]])
    assert aggregate("mda", rows, f=2).aggregate.item() == 3
    assert mda(torch.full((6, 2), 0.7), 2).tolist() == pytest.approx([0.7, 0.7])
    assert mda(torch.tensor([[5.0]]), 0).item() == 5


def test_infeasible_with_numbers():
    rule = make("aggregators", "mda")
    assert rule.infeasible(200, 80) is None
    assert "n = 8, f = 4 asks for 9" in rule.infeasible(8, 4)
    assert "81 of 200 clients" in rule.infeasible(200, 81)
    assert "f = 80 is the most" in rule.infeasible(200, 81)
    with pytest.raises(InfeasibleError, match="n = 8, f = 4"):
        mda(torch.zeros(8, 1), 4)


def test_far_more_subsets_than_can_be_enumerated():
    # 100 choose 30 is 3e25.
    rows = torch.randn(100, 40, generator=torch.Generator().manual_seed(0))
    rows[:30] += 3
    np.testing.assert_allclose(mda(rows, 30).numpy(), rows[30:].mean(0).numpy(), atol=1e-5)
