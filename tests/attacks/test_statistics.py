"""Blockwise float64 statistics against numpy on whole matrices."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from robustbench_fl.attacks import _statistics as statistics


@pytest.mark.parametrize("width", [3, 7, 4096])
def test_statistics_equal_numpy_whatever_the_blocks(monkeypatch, width: int) -> None:
    monkeypatch.setattr(statistics, "_CPU_BLOCK", width)
    rows = np.random.default_rng(0).normal(size=(5, 23))
    p = np.random.default_rng(1).normal(size=23)
    tensor = torch.from_numpy(rows)
    centred = rows - rows.mean(0)
    mean, std = statistics.column_moments(tensor)
    gram = statistics.centred_gram(tensor)
    np.testing.assert_allclose(mean, rows.mean(0), atol=1e-14)
    np.testing.assert_allclose(std, rows.std(0, ddof=1), rtol=1e-13)
    np.testing.assert_allclose(gram, centred @ centred.T, atol=1e-13)
    np.testing.assert_allclose(statistics.centred_norms(tensor), (centred**2).sum(1), rtol=1e-13)
    np.testing.assert_allclose(
        statistics.centred_projections(tensor, torch.from_numpy(p)), centred @ p, atol=1e-13
    )
    distances = ((rows[:, None] - rows[None]) ** 2).sum(-1)
    np.testing.assert_allclose(statistics.squared_distances(gram), distances, atol=1e-12)


def test_rounding_gives_no_negative_distance() -> None:
    gram = torch.tensor([[1.0, 1.125], [1.125, 1.0]])
    assert statistics.squared_distances(gram).tolist() == [[0, 0], [0, 0]]


def test_a_common_part_does_not_drown_the_spread() -> None:
    rng = np.random.default_rng(0)
    rows = torch.from_numpy((1000 + 1e-3 * rng.normal(size=(6, 500))).astype(np.float32))
    exact = rows.double().numpy()
    np.testing.assert_allclose(statistics.column_moments(rows)[1], exact.std(0, ddof=1), rtol=1e-9)
    distances = ((exact[:, None] - exact[None]) ** 2).sum(-1)
    np.testing.assert_allclose(
        statistics.squared_distances(statistics.centred_gram(rows)), distances, rtol=1e-9, atol=1e-12
    )


def test_non_finite_rows_give_no_statistics(make_round) -> None:
    from robustbench_fl.api import build

    clean = make_round([[9, 9]] * 2, [[1, 2], [3, 6]])
    broken = make_round([[9, 9]] * 2, [[1, 2], [3, 6], [np.nan, 0], [np.inf, -np.inf]])
    attack = build.make("attacks", "ipm")
    assert clean.craft(attack).tolist() == broken.craft(attack).tolist() == [[-1, -2]] * 2
