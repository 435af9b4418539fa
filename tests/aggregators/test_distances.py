import numpy as np
import pytest
import torch

from robustbench_fl.aggregators._distances import centred_gram, squared_distances
from robustbench_fl.aggregators._rows import middle, row_distances, row_norms, shrinking


def reference(rows: torch.Tensor) -> np.ndarray:
    values = rows.numpy().astype(np.float64)
    return np.array([[((a - b) ** 2).sum() for b in values] for a in values])


def random_rows(n: int, d: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal((n, d)).astype(np.float32))


def test_by_hand():
    rows = torch.tensor([[0.0, 0.0], [3.0, 4.0], [3.0, 0.0]])
    assert squared_distances(rows).tolist() == [[0, 25, 9], [25, 0, 16], [9, 16, 0]]
    assert row_norms(rows).tolist() == [0, 5, 3]
    assert row_distances(rows, torch.tensor([3.0, 0.0])).tolist() == pytest.approx([3, 4, 0])


@pytest.mark.parametrize(("n", "d"), [(1, 5), (2, 1), (7, 3), (30, 5000), (5, 40_000)])
def test_against_all_pairs(n, d):
    rows = random_rows(n, d)
    np.testing.assert_allclose(squared_distances(rows).numpy(), reference(rows), rtol=1e-6, atol=1e-6)


def test_many_rows_in_wider_blocks():
    rows = random_rows(520, 1500) + 10
    exact = torch.cdist(rows.double(), rows.double(), compute_mode="donot_use_mm_for_euclid_dist").square()
    np.testing.assert_allclose(squared_distances(rows).numpy(), exact.numpy(), rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("common", [1e3, 1e6])
def test_a_large_common_part_costs_no_digits(common):
    rows = random_rows(12, 3000) + common * random_rows(1, 3000, seed=1)
    np.testing.assert_allclose(squared_distances(rows).numpy(), reference(rows), rtol=1e-6)
    point = rows[3]
    expected = np.sqrt(reference(rows)[3])
    np.testing.assert_allclose(row_distances(rows, point).numpy(), expected, rtol=1e-6)


@pytest.mark.parametrize("n_far", [1, 4])
def test_rows_of_1e30_are_far_and_leave_the_others_alone(n_far):
    near = random_rows(10, 500) + 100
    rows = torch.cat((torch.full((n_far, 500), 1e30), near))
    found = squared_distances(rows).numpy()
    np.testing.assert_allclose(found[n_far:, n_far:], reference(near), rtol=1e-6)
    np.testing.assert_allclose(found[:n_far, n_far:], 500e60, rtol=1e-6)
    np.testing.assert_allclose(row_norms(rows).numpy()[:n_far], np.sqrt(500) * 1e30, rtol=1e-6)
    np.testing.assert_allclose(row_distances(rows, near[0]).numpy()[:n_far], np.sqrt(500) * 1e30, rtol=1e-6)
    assert np.isfinite(row_distances(rows, rows[0]).numpy()).all()


def test_a_cluster_far_from_the_centre_keeps_its_inner_distances():
    cluster = 1e5 + random_rows(4, 1000)
    rows = torch.cat((random_rows(6, 1000, seed=1), cluster))
    np.testing.assert_allclose(squared_distances(rows).numpy()[6:, 6:], reference(cluster), rtol=1e-4)


@pytest.mark.parametrize("ratio", [1.0, 3.0, 5.0, 8.0, 12.0, 100.0, 1e4])
def test_pairs_near_each_other_and_far_from_the_centre(ratio):
    # Around ratio 4 the products change from float32 to float64.
    cluster = ratio * random_rows(1, 20_000, seed=2) + random_rows(5, 20_000, seed=3)
    rows = torch.cat((random_rows(9, 20_000, seed=1), cluster))
    np.testing.assert_allclose(squared_distances(rows).numpy(), reference(rows), rtol=1e-5)


def test_equal_rows_have_distance_zero_and_nothing_is_negative():
    rows = torch.cat((random_rows(1, 2000).expand(6, -1), 1000 * random_rows(6, 2000, seed=1)))
    found = squared_distances(rows)
    assert (found >= 0).all()
    assert found[:6, :6].max() < 1e-6
    assert (found.diagonal() == 0).all()


def test_the_gram_matrix_gives_the_length_of_any_difference():
    rows = random_rows(6, 50).double() + 10
    weights = torch.tensor([0.5, 0.5, 0, -0.25, -0.25, -0.5], dtype=torch.float64)
    expected = float((weights @ rows).norm() ** 2)
    assert float(weights @ centred_gram(rows) @ weights) == pytest.approx(expected, rel=1e-9)


def test_norms_against_float64():
    rows = random_rows(5, 100_000) * torch.tensor([[1e-6], [1.0], [1e6], [1e15], [1e25]])
    expected = np.linalg.norm(rows.numpy().astype(np.float64), axis=1)
    np.testing.assert_allclose(row_norms(rows).numpy(), expected, rtol=1e-6)


def test_middle_of_odd_and_even():
    assert middle(torch.tensor([5.0, 1.0, 2.0])) == 2
    assert middle(torch.tensor([5.0, 1.0, 2.0, 4.0])) == 3
    assert middle(torch.tensor([3e38, 3e38])).isfinite()


def test_shrinking_factors():
    assert shrinking(torch.tensor([0.0, 1.0, 4.0]), 2.0).tolist() == [1, 1, 0.5]
    assert shrinking(torch.tensor([0.0, 0.0, 4.0]), 0.0).tolist() == [1, 1, 0]
