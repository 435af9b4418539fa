import numpy as np
import pytest
import torch

from robustbench_fl.aggregators.geometric_median import geometric_median
from robustbench_fl.api.build import make
from robustbench_fl.core.errors import UsageError


def slow(rows, start, nu, steps, shares=None):
    values = rows.numpy().astype(np.float64)
    shares = np.full(len(values), 1 / len(values)) if shares is None else shares
    z = {"zero": np.zeros(values.shape[1]), "mean": shares @ values, "median": np.median(values, axis=0)}[
        start
    ]
    for _ in range(steps):
        beta = shares / np.maximum(nu, np.linalg.norm(values - z, axis=1))
        z = beta @ values / beta.sum()
    return z


def random_rows(n: int, d: int, seed: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal((n, d)).astype(np.float32))


def test_one_step_by_hand(aggregate):
    # Norms 5 and 1: weights 1/5 and 1, over 6/5.
    rows = [[3.0, 4.0], [0.0, 1.0]]
    outcome = aggregate("geometric_median(start=zero, nu=0.1, steps=1)", rows)
    assert outcome.aggregate.tolist() == pytest.approx([0.5, 1.5])
    assert outcome.weights.tolist() == pytest.approx([1 / 6, 5 / 6])


def test_a_distance_below_nu_counts_as_nu(aggregate):
    outcome = aggregate("geometric_median(start=zero, nu=0.5, steps=1)", [[0.25], [1.0]])
    assert outcome.weights.tolist() == pytest.approx([2 / 3, 1 / 3])


def test_what_a_few_steps_from_the_mean_and_from_the_origin_do_not_do():
    rows, shift = random_rows(20, 30, 0), 20 * random_rows(1, 30, 1)
    forms = {"mean": {"steps": 3}, "zero": {"steps": 3, "nu": 0.1}}
    error, length = {}, {}
    for start, given in forms.items():
        moved = geometric_median(rows + shift, start=start, **given) - shift
        error[start] = float((moved - geometric_median(rows, start=start, **given)).norm())
        length[start] = float(
            geometric_median(torch.cat([rows[:14], 1e6 * rows[14:]]), start=start, **given).norm()
        )
    assert error["mean"] < 1e-4 < error["zero"]
    assert length["mean"] > 1e3 > 10 > length["zero"]


def test_known_medians():
    assert geometric_median(torch.tensor([[0.0], [1.0], [10.0]])).item() == pytest.approx(1, abs=1e-4)
    corners = torch.tensor([[0.0, 0.0], [2.0, 0.0], [2.0, 2.0], [0.0, 2.0]])
    assert geometric_median(corners).tolist() == pytest.approx([1, 1], abs=1e-5)
    # The diagonals of a convex quadrilateral cross in its geometric median.
    quadrilateral = torch.tensor([[0.0, 0.0], [4.0, 4.0], [1.0, 3.0], [3.0, 1.0]])
    assert geometric_median(quadrilateral).tolist() == pytest.approx([2, 2], abs=1e-3)


@pytest.mark.parametrize("start", ["median", "mean", "zero"])
@pytest.mark.parametrize("common", [0.0, 100.0])
@pytest.mark.parametrize(("n", "steps"), [(15, 3), (15, 20), (15, 1), (4, 5)])
def test_against_the_plain_iteration(start, common, n, steps):
    rows = random_rows(n, 200, n) + common * random_rows(1, 200, 99)
    found = geometric_median(rows, start=start, steps=steps, tol=0, nu=0.1)
    expected = slow(rows, start, 0.1, steps)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5, atol=1e-5 * max(1, common))


def test_it_stops_at_the_optimum():
    rows = random_rows(20, 100, 0)
    found = geometric_median(rows).double()
    directions = rows.double() - found
    pull = (directions / directions.norm(dim=1, keepdim=True)).sum(0)
    assert pull.norm() < 1e-4 * 20


@pytest.mark.parametrize("value", [1e6, 1e30])
def test_six_of_twenty_far_away(value):
    honest = random_rows(14, 20, 3)
    rows = torch.cat((torch.full((6, 20), value), honest))
    found = geometric_median(rows)
    # Weiszfeld in exact arithmetic: each far row pulls with a unit vector, wherever it is.
    np.testing.assert_allclose(found.numpy(), slow(rows, "median", 1e-6, 2000), atol=1e-3)
    assert found.norm() < 5


def test_three_steps_from_the_mean_do_not_come_back(aggregate):
    rows = torch.cat((torch.full((6, 20), 1e6), random_rows(14, 20, 3)))
    outcome = aggregate("geometric_median(preset=paper)", rows, sample_counts=torch.ones(20))
    np.testing.assert_allclose(outcome.aggregate.numpy(), slow(rows, "mean", 1e-6, 3), rtol=1e-4)
    assert outcome.aggregate.norm() > 1e5


def test_the_preset_weighs_by_claimed_samples(aggregate):
    rows = random_rows(8, 30, 1)
    counts = torch.tensor([1, 2, 3, 4, 5, 6, 7, 8])
    outcome = aggregate("geometric_median(preset=paper)", rows, sample_counts=counts)
    expected = slow(rows, "mean", 1e-6, 3, counts.numpy() / 36)
    np.testing.assert_allclose(outcome.aggregate.numpy(), expected, rtol=1e-5, atol=1e-6)
    assert {str(n) for n in make("aggregators", "geometric_median(preset=paper)").needs} == {"sample_counts"}


def test_the_preset_refuses_what_it_would_override():
    with pytest.raises(UsageError, match="preset=paper sets start and steps"):
        make("aggregators", "geometric_median(preset=paper, steps=7)")


def test_more_than_half_agree():
    rows = torch.cat((torch.ones(6, 5), random_rows(5, 5, 0) * 10))
    assert geometric_median(rows).tolist() == pytest.approx([1] * 5, abs=1e-4)


def test_both_ways_to_measure_agree():
    # 40 rows: 9 steps measure the rows, 10 steps and more form the Gram matrix.
    rows = random_rows(40, 300, 5) + 3
    direct = geometric_median(rows, steps=9, tol=0, start="zero")
    np.testing.assert_allclose(direct.numpy(), slow(rows, "zero", 1e-6, 9), atol=1e-5)
    gram = geometric_median(rows, steps=10, tol=0, start="zero")
    np.testing.assert_allclose(gram.numpy(), slow(rows, "zero", 1e-6, 10), atol=1e-5)
