import numpy as np
import pytest
import torch

from robustbench_fl.aggregators.rflbat import least_alike, n_clusters, near, rflbat


def test_near_by_hand():
    # Summed distances of 0, 1, 2, 10: 13, 11, 11, 27; the median is 12.
    points = np.array([[0.0, 0], [1, 0], [2, 0], [10, 0]])
    assert near(points, 2.0).tolist() == [True, True, True, False]
    assert near(points, 4.0).all()
    assert near(np.ones((3, 2)), 2.0).all()


def test_the_least_alike_by_hand():
    cosines = np.array(
        [[1, 0.9, 0, 0, 0], [0.9, 1, 0, 0, 0], [0, 0, 1, 0.1, 0], [0, 0, 0.1, 1, 0], [0, 0, 0, 0, 1]]
    )
    # Mean cosines 0.95 and 0.55; the single client counts as 1.
    assert least_alike(cosines, np.array([0, 0, 1, 1, 2])) == 1


@pytest.mark.parametrize("k", [1, 2, 3])
def test_the_number_of_clusters(k):
    rng = np.random.default_rng(0)
    corners = np.array([[0.0, 0], [10, 0], [0, 10]])[:k]
    points = np.concatenate([corner + 0.3 * rng.standard_normal((12, 2)) for corner in corners])
    assert n_clusters(points, np.random.default_rng(1), 6, 20) == k


def scene(seed=0):
    """Honest clients point where they like; backdoored ones point the same way."""
    rng = np.random.default_rng(seed)
    rows = 0.15 * rng.standard_normal((14, 80))
    rows[:5] = 0.05 * rng.standard_normal((5, 80)) + 3 * np.eye(80)[0]
    return torch.from_numpy(rows).float()


def test_alike_updates_are_rejected(aggregate):
    rows = scene()
    outcome = aggregate("rflbat", rows)
    assert outcome.rejected[:5].all()
    assert outcome.selected.sum() >= 2
    torch.testing.assert_close(outcome.aggregate, rows[outcome.selected].mean(0))
    torch.testing.assert_close(rflbat(rows, np.random.default_rng(0)), outcome.aggregate)


def test_a_far_row_is_rejected_first(aggregate):
    rows = scene()[5:]
    rows[0] = 1e30
    assert aggregate("rflbat", rows).rejected[0]


@pytest.mark.parametrize("n", [1, 2, 5])
def test_clients_who_agree(n):
    row = torch.linspace(1, 2, 30)
    torch.testing.assert_close(rflbat(row.repeat(n, 1), np.random.default_rng(0)), row)
