"""The rarest images of a class, by hand and against SciPy's normal density."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal

from robustbench_fl.data import rare


def test_rarity_is_the_density_of_probabilistic_pca(monkeypatch) -> None:
    monkeypatch.setattr(rare, "COMPONENTS", 3)
    rng = np.random.default_rng(0)
    reference = rng.normal(size=(50, 8)) * np.array([9, 5, 3, 1, 1, 1, 1, 1]) + rng.normal(size=8)
    images = 4 * rng.normal(size=(30, 8))
    values, vectors = np.linalg.eigh(np.cov(reference.T, ddof=0))
    values, vectors = values[::-1], vectors[:, ::-1]
    noise = values[3:].mean()
    covariance = noise * np.eye(8) + vectors[:, :3] @ np.diag(values[:3] - noise) @ vectors[:, :3].T
    density = multivariate_normal(reference.mean(0), covariance).logpdf(images)
    found = rare.rarity(torch.from_numpy(images), torch.from_numpy(reference)).numpy()
    # Equal up to the constant of the density.
    np.testing.assert_allclose(-2 * density - found, (-2 * density - found)[0], rtol=1e-9)


@pytest.mark.parametrize("k", [1, 2, 3, 40])
def test_few_and_equal_references_give_numbers(k: int) -> None:
    images = torch.randn(5, 12, generator=torch.Generator().manual_seed(0))
    for reference in (images[:1].repeat(k, 1), torch.zeros(k, 12)):
        assert torch.isfinite(rare.rarity(images, reference)).all()


def test_the_rarest_come_first_and_are_ten_at_least() -> None:
    images = torch.arange(100.0)[:, None].repeat(1, 4)
    found = rare.rarest(images, images, 0.02)
    # From the mean, 49.5, the ends are farthest.
    assert sorted(found.tolist()) == [0, 1, 2, 3, 4, 95, 96, 97, 98, 99]
    assert len(rare.rarest(images, images, 0.3)) == 30
    assert len(rare.rarest(images[:4], images, 0.3)) == 4
