"""Closed forms against the definitions, a bisection, and numbers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from robustbench_fl.api import build
from robustbench_fl.attacks._perturbation import halving_search, perturbation_vector
from robustbench_fl.attacks.min_max import min_max_gamma
from robustbench_fl.attacks.min_sum import min_sum_gamma
from robustbench_fl.core.errors import UsageError

KINDS = ["std", "unit", "sign"]


def worlds() -> list[np.ndarray]:
    rng = np.random.default_rng(3)
    skewed = rng.normal(size=(8, 50)) ** 3 + 1
    far_client = rng.normal(size=(6, 30))
    far_client[0] += 40
    return [
        rng.normal(size=(14, 40)) + rng.normal(size=40),
        1000 + 1e-2 * rng.normal(size=(10, 60)),
        skewed,
        far_client,
        rng.normal(size=(2, 5)),
    ]


def inside_max(honest: np.ndarray, point: np.ndarray) -> bool:
    pairs = ((honest[:, None] - honest[None]) ** 2).sum(-1)
    return bool(((honest - point) ** 2).sum(1).max() <= pairs.max())


def inside_sum(honest: np.ndarray, point: np.ndarray, bound: str = "max") -> bool:
    sums = ((honest[:, None] - honest[None]) ** 2).sum(-1).sum(1)
    return bool(((honest - point) ** 2).sum() <= (sums.max() if bound == "max" else sums.min()))


def bisected(inside, honest: np.ndarray, p: np.ndarray) -> float:
    mean, low, high = honest.mean(0), 0.0, 1.0
    while inside(honest, mean - high * p):
        high *= 2
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if inside(honest, mean - middle * p) else (low, middle)
    return low


def direction(honest: np.ndarray, kind: str) -> np.ndarray:
    mean, std = honest.mean(0), honest.std(0, ddof=1)
    return {"std": std, "unit": mean / np.linalg.norm(mean), "sign": np.sign(mean)}[kind]


CASES = {
    "min_max": (lambda h, p: min_max_gamma(h, p), inside_max),
    "min_sum": (lambda h, p: min_sum_gamma(h, p), inside_sum),
    "min_sum(bound=min)": (
        lambda h, p: min_sum_gamma(h, p, "min"),
        lambda h, x: inside_sum(h, x, "min"),
    ),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("world", range(5))
def test_gamma_is_the_largest_that_the_definition_allows(case: str, kind: str, world: int) -> None:
    closed_form, inside = CASES[case]
    honest = worlds()[world]
    p = direction(honest, kind)
    gamma = closed_form(torch.from_numpy(honest), torch.from_numpy(p))
    mean = honest.mean(0)
    assert gamma > 0
    assert inside(honest, mean - gamma * (1 - 1e-9) * p)
    assert not inside(honest, mean - gamma * 1.01 * p)
    # Around 1000 the definition itself is only good to 1e-16 · 1000 / 1e-2 of the spread.
    assert gamma == pytest.approx(bisected(inside, honest, p), rel=1e-9 if world == 1 else 1e-12)


def test_by_hand_on_a_line(make_round) -> None:
    # Updates 0, 2, 10: mean 4, D = 10. Moving down by γp: 10 stays within 10 until u = 0, so γp = 4.
    # Squared distances from the mean: 16, 4, 36, so Min-Sum moves by 6, or by 2 under the strict bound.
    own = [[7.0]] * 2
    world = make_round(own, [[0.0], [2.0], [10.0]])
    one = torch.tensor([1.0])
    assert min_max_gamma(world.honest, one) == pytest.approx(4, rel=1e-15)
    assert min_sum_gamma(world.honest, one) == pytest.approx(6, rel=1e-15)
    assert min_sum_gamma(world.honest, one, "min") == pytest.approx(2, rel=1e-15)
    for text, sent in [("min_max", 0), ("min_sum", -2), ("min_sum(bound=min)", 2)]:
        name = text.removesuffix(")") + (", knows=all)" if "(" in text else "(knows=all)")
        rows = world.craft(build.make("attacks", name)).numpy()
        np.testing.assert_allclose(rows, [[sent]] * 2, atol=1e-5)


def test_min_max_by_hand_in_the_plane() -> None:
    # A triangle (0,0), (6,0), (0,3): mean (2, 1), D² = 45. Along p = (1, 0) the farthest is (6, 0):
    # (γ + 4)² + 1 = 45, so γ = √44 − 4.
    honest = torch.tensor([[0.0, 0.0], [6.0, 0.0], [0.0, 3.0]])
    assert min_max_gamma(honest, torch.tensor([1.0, 0.0])) == pytest.approx(np.sqrt(44) - 4, rel=1e-14)


def test_perturbations() -> None:
    mean, std = torch.tensor([3.0, -4.0, 0.0]), torch.tensor([1.0, 2.0, 3.0])
    assert perturbation_vector(mean, std, "std").tolist() == [1, 2, 3]
    np.testing.assert_allclose(perturbation_vector(mean, std, "unit"), [0.6, -0.8, 0], rtol=1e-6)
    assert perturbation_vector(mean, std, "sign").tolist() == [1, -1, 0]
    assert perturbation_vector(0 * mean, std, "unit").tolist() == [0, 0, 0]


@pytest.mark.parametrize("name", ["min_max", "min_sum"])
@pytest.mark.parametrize("kind", KINDS)
def test_sent_is_the_mean_minus_gamma_p(random_round, name: str, kind: str) -> None:
    honest = random_round.honest.double()
    p = torch.from_numpy(direction(honest.numpy(), kind))
    gamma = {"min_max": min_max_gamma, "min_sum": min_sum_gamma}[name](honest, p)
    rows = random_round.craft(build.make("attacks", f"{name}(perturbation={kind}, knows=all)"))
    assert rows.shape == (6, 40)
    np.testing.assert_allclose(rows, np.tile(honest.mean(0) - gamma * p, (6, 1)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["min_max", "min_sum"])
def test_by_default_only_the_colluders_count(random_round, name: str) -> None:
    own = random_round.own.double()
    gamma = {"min_max": min_max_gamma, "min_sum": min_sum_gamma}[name](own, own.std(0))
    rows = random_round.craft(build.make("attacks", name))
    np.testing.assert_allclose(rows[0], own.mean(0) - gamma * own.std(0), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["min_max", "min_sum"])
def test_equal_honest_updates_leave_only_the_mean(make_round, name: str) -> None:
    rows = make_round([[5, 5]], [[1, 2]] * 3).craft(build.make("attacks", f"{name}(knows=all)"))
    assert rows.tolist() == [[1, 2]]


class TestPublishedSearch:
    @pytest.mark.parametrize("limit", [0.3, 3.14159, 10.0, 14.7, 19.9])
    def test_it_finds_a_limit_below_twice_its_start(self, limit: float) -> None:
        found = halving_search(lambda gamma: gamma <= limit)
        assert found <= limit
        assert found == pytest.approx(limit, abs=3e-5)

    def test_it_cannot_pass_twice_its_start(self) -> None:
        assert 19.999 < halving_search(lambda gamma: True, 10) < 20
        assert 59.999 < halving_search(lambda gamma: True, 30) < 60

    def test_nothing_allowed_is_no_perturbation(self) -> None:
        assert halving_search(lambda gamma: False) == 0

    def test_its_steps_are_the_papers(self) -> None:
        tried: list[float] = []
        halving_search(lambda gamma: tried.append(gamma) or gamma <= 7)
        assert tried[:5] == [10, 5, 7.5, 6.25, 6.875]

    @pytest.mark.parametrize("case", ["min_max", "min_sum", "min_sum(bound=min)"])
    def test_it_agrees_with_the_closed_form(self, random_round, case: str) -> None:
        inner = case[case.index("(") + 1 : -1] + ", " if "(" in case else ""
        name = case.split("(")[0]
        exact = random_round.craft(build.make("attacks", f"{name}({inner}knows=all)"))
        paper = random_round.craft(build.make("attacks", f"{name}({inner}knows=all, search=paper)"))
        np.testing.assert_allclose(paper, exact, atol=1e-4)
        assert not torch.equal(paper, exact)

    def test_a_small_start_binds(self, random_round) -> None:
        std = random_round.honest.double().std(0)
        mean = random_round.honest.double().mean(0)
        rows = random_round.craft(
            build.make("attacks", "min_max(knows=all, search=paper, initial_gamma=0.01)")
        )
        np.testing.assert_allclose(rows[0], mean - 0.02 * std, atol=2e-4)

    def test_a_start_without_search_is_refused(self) -> None:
        with pytest.raises(UsageError, match="Add search=paper"):
            build.make("attacks", "min_sum(initial_gamma=30)")
