"""The search through scalar products against Krum on whole matrices."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from robustbench_fl.api import build
from robustbench_fl.attacks.fang_krum import krum_lambda


def krum_index(rows: np.ndarray, f: int) -> int:
    distances = ((rows[:, None] - rows[None]) ** 2).sum(-1)
    n = len(rows)
    scores = [np.sort(np.delete(distances[i], i))[: n - f - 2].sum() for i in range(n)]
    return int(np.argmin(scores))


def upper_bound(honest: np.ndarray, f: int) -> float:
    h, d = honest.shape
    n = h + f
    distances = np.sqrt(((honest[:, None] - honest[None]) ** 2).sum(-1))
    sums = [np.sort(np.delete(distances[i], i))[: n - f - 2].sum() for i in range(h)]
    return min(sums) / ((n - 2 * f - 1) * np.sqrt(d)) + np.linalg.norm(honest, axis=1).max() / np.sqrt(d)


def searched(honest: np.ndarray, f: int) -> float:
    scale, signs = upper_bound(honest, f), np.sign(honest.mean(0))
    while scale >= 1e-5:
        # Honest rows first: a tie goes to them, as the strict comparison has it.
        if krum_index(np.concatenate([honest, np.tile(-scale * signs, (f, 1))]), f) >= len(honest):
            return scale
        scale /= 2
    return scale


@pytest.mark.parametrize("copies", [1, 3, 6])
@pytest.mark.parametrize("common", [0.0, 0.3, 2.0])
def test_lambda_is_the_first_that_krum_picks(copies: int, common: float) -> None:
    honest = np.random.default_rng(copies).normal(size=(14, 25)) + common
    scale, picked = krum_lambda(torch.from_numpy(honest), copies)
    expected = searched(honest, copies)
    assert scale == pytest.approx(expected, rel=1e-9)
    assert picked == (expected >= 1e-5)


def test_lambda_in_many_small_worlds() -> None:
    for seed in range(60):
        rng = np.random.default_rng(seed)
        honest = rng.normal(size=(6, 4)) + rng.uniform(0, 1.5)
        scale, _ = krum_lambda(torch.from_numpy(honest), 3)
        assert scale == pytest.approx(searched(honest, 3), rel=1e-9), seed


def test_a_tie_is_no_pick() -> None:
    assert not krum_lambda(torch.ones(3, 1), 2)[1]


def test_the_worlds_above_reach_both_ends() -> None:
    found = [
        krum_lambda(torch.from_numpy(np.random.default_rng(3).normal(size=(14, 25)) + c), 3) for c in (0, 2)
    ]
    assert [picked for _, picked in found] == [True, False]


def test_by_hand_on_a_line() -> None:
    # Honest 1, 2, 3, two copies of −λ; n = 5, f = 2: one nearest neighbour each, so a copy scores
    # 0 for every λ and the bound is taken: min distance 1 / ((5 − 4 − 1 → 1)·1) + 3.
    assert krum_lambda(torch.tensor([[1.0], [2.0], [3.0]]), 2) == (4.0, True)
    # One copy: it scores (1 + λ)², an honest one 1, so no λ > 0 will do.
    scale, picked = krum_lambda(torch.tensor([[1.0], [2.0], [3.0]]), 1)
    assert not picked
    assert scale < 1e-5


def test_the_first_sends_the_step_and_the_others_stay_close(random_round) -> None:
    rows = random_round.craft(build.make("attacks", "fang_krum(knows=all)")).double()
    honest = random_round.honest.double()
    scale, _ = krum_lambda(honest, 6)
    np.testing.assert_allclose(rows[0], -scale * honest.mean(0).sign(), rtol=1e-5)
    lengths = (rows - rows[0]).norm(dim=1)[1:]
    assert lengths.max() <= 0.01 * (1 + 1e-4)
    assert lengths.min() > 0.005
    assert len(rows.unique(dim=0)) == 6


def test_partial_knowledge_adds_copies_until_one_is_picked(random_round) -> None:
    rows = random_round.craft(build.make("attacks", "fang_krum")).double()
    own = random_round.own.double()
    tries = [krum_lambda(own, copies) for copies in range(1, 6)]
    assert tries[-1][1], "with as many copies as neighbours Krum picks one"
    scale = next(scale for scale, picked in tries if picked)
    np.testing.assert_allclose(rows[0], -scale * own.mean(0).sign(), rtol=1e-4)


@pytest.mark.parametrize("colluders", [1, 2])
def test_fewer_than_three_colluders_train_honestly(make_round, colluders: int) -> None:
    own = torch.arange(2.0 * colluders).view(colluders, 2)
    world = make_round(own, torch.ones(5, 2))
    assert torch.equal(world.craft(build.make("attacks", "fang_krum")), own)
