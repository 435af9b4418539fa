from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from robustbench_fl.api import build
from robustbench_fl.attacks._shift import alie_z
from robustbench_fl.core.errors import UsageError


@pytest.mark.parametrize(
    ("n", "m", "fraction"),
    [
        (20, 6, 9 / 14),  # s = 11 − 6 = 5: (20 − 6 − 5) / 14
        (50, 24, 24 / 26),  # s = 26 − 24 = 2, the paper's CIFAR-10 federation
        (51, 12, 25 / 39),  # s = 26 − 12 = 14, odd n
        (10, 4, 4 / 6),  # s = 2
    ],
)
def test_z_is_the_papers(n: int, m: int, fraction: float) -> None:
    assert alie_z(n, m) == pytest.approx(norm.ppf(fraction), abs=1e-12)


def test_published_constants() -> None:
    assert alie_z(20, 6) == pytest.approx(0.366, abs=5e-4)
    assert alie_z(50, 24) == pytest.approx(1.426, abs=5e-4)


@pytest.mark.parametrize(("n", "m"), [(20, 2), (20, 1), (2, 1), (100, 1), (20, 6)])
def test_few_attackers_get_the_minimum_and_a_warning(n: int, m: int) -> None:
    with pytest.warns(UserWarning, match=rf"{m} malicious of {n}.*z_min = 0.7"):
        assert alie_z(n, m, 0.7) == 0.7


@pytest.mark.filterwarnings("ignore:alie")
@pytest.mark.parametrize("n", [2, 5, 20, 51])
def test_more_attackers_shift_no_less(n: int) -> None:
    shifts = [alie_z(n, m) for m in range(1, n)]
    assert shifts == sorted(shifts)
    # At n = 20 the formula alone gives 0, .074, .157, .253 for m = 2 … 5.
    if n == 20:
        assert shifts[:5] == [0.3] * 5
        assert shifts[5] == pytest.approx(0.366, abs=5e-4)


@pytest.mark.parametrize(("n", "m"), [(20, 11), (20, 20), (1, 1), (3, 2)])
def test_a_malicious_majority_gets_three(n: int, m: int) -> None:
    assert alie_z(n, m) == 3


def test_the_mean_is_shifted_by_z_sample_deviations(make_round) -> None:
    # Mean (2, 4); deviations with h − 1: sqrt(2/2·1) = 1 and 2.
    world = make_round([[9, 9]] * 2, [[1, 2], [2, 4], [3, 6]])
    craft = lambda text: world.craft(build.make("attacks", text)).tolist()  # noqa: E731
    assert craft("alie(z=1.5)") == [[0.5, 1.0]] * 2
    assert craft("alie(z=1.5, sign=1)") == [[3.5, 7.0]] * 2


def test_the_default_z_uses_the_rounds_numbers(random_round) -> None:
    rows = random_round.craft(build.make("attacks", "alie")).numpy()
    honest = random_round.honest.double().numpy()
    expected = honest.mean(0) - norm.ppf(9 / 14) * honest.std(0, ddof=1)
    np.testing.assert_allclose(rows, np.tile(expected, (6, 1)), rtol=1e-5, atol=1e-6)


def test_colluders_use_their_own_statistics(make_round) -> None:
    world = make_round([[0, 2], [2, 2]], [[100, 100]] * 3)
    rows = world.craft(build.make("attacks", "alie(z=1, knows=colluders)")).numpy()
    np.testing.assert_allclose(rows, [[1 - np.sqrt(2), 2]] * 2, rtol=1e-6)


def test_the_minimum_reaches_the_update(make_round) -> None:
    world = make_round([[9.0]], [[1], [2], [3]])
    with pytest.warns(UserWarning, match="z_min"):
        rows = world.craft(build.make("attacks", "alie(z_min=0.25)"))
    assert rows.tolist() == [[1.75]]


def test_z_and_its_minimum_exclude_each_other() -> None:
    with pytest.raises(UsageError, match="not both"):
        build.make("attacks", "alie(z=1, z_min=0.5)")
