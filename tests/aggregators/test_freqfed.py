import math

import numpy as np
import pytest
import torch

from robustbench_fl.aggregators.freqfed import FreqFed, freqfed, low_frequencies, majority
from robustbench_fl.api import Need


def slow(row):
    d = len(row)
    sums = [
        sum(x * math.cos(math.pi * (2 * j + 1) * i / (2 * d)) for j, x in enumerate(row)) for i in range(d)
    ]
    return [s * math.sqrt((1 if i == 0 else 2) / d) for i, s in enumerate(sums)]


def test_frequencies_by_hand():
    # A constant has the frequency 0 alone, an alternating signal mostly the highest.
    assert low_frequencies(torch.ones(1, 4))[0].tolist() == pytest.approx([2, 0])
    rising = low_frequencies(torch.tensor([[0.0, 1.0]]), low=1.0)[0]
    assert rising.tolist() == pytest.approx([1 / math.sqrt(2), -1 / math.sqrt(2)])


@pytest.mark.parametrize("d", [1, 7, 12])
def test_frequencies_against_the_definition(d):
    rows = np.random.default_rng(d).standard_normal((3, d))
    params = np.random.default_rng(0).standard_normal(d)
    found = low_frequencies(torch.from_numpy(rows), torch.from_numpy(params))
    count = max(1, d // 2)
    for row, coefficients in zip(rows, found, strict=True):
        assert coefficients.tolist() == pytest.approx(slow(row + params)[:count])


def federation(n_malicious, n=12, d=60, seed=0):
    rng = np.random.default_rng(seed)
    rows = 0.2 * rng.standard_normal((n, d)) + np.sin(np.arange(d) / 5)
    rows[:n_malicious] = 0.2 * rng.standard_normal((n_malicious, d)) - np.cos(np.arange(d) / 7)
    return torch.from_numpy(rows).float()


@pytest.mark.parametrize("on", ["models", "updates"])
def test_the_minority_is_rejected(on, aggregate):
    rows = federation(4)
    gated = {"params": torch.zeros(60)} if on == "models" else {}
    outcome = aggregate(f"freqfed(on={on})", rows, **gated)
    # HDBSCAN leaves out honest clients at the edge of their cluster too.
    assert outcome.rejected[:4].all()
    assert outcome.selected.sum() > 6
    torch.testing.assert_close(outcome.aggregate, rows[outcome.selected].mean(0))
    torch.testing.assert_close(freqfed(rows), outcome.aggregate)


def test_what_differs_in_high_frequencies_alone_is_not_seen():
    rows = federation(0)[:1].repeat(9, 1)
    rows[:3] += 3 * torch.cos(math.pi * (2 * torch.arange(60) + 1) * 50 / 120)
    low, all_of_them = (low_frequencies(rows, low=low) for low in (0.5, 1.0))
    assert torch.cosine_similarity(low[0], low[5], dim=0) > 1 - 1e-9
    assert torch.cosine_similarity(all_of_them[0], all_of_them[5], dim=0) < 0.9
    assert majority(all_of_them).tolist() == [False] * 3 + [True] * 6


def test_without_a_majority_the_model_is_kept():
    rows = torch.eye(6)
    rows[0, 1] = rows[1, 0] = 0.99
    outcome = majority(rows.double())
    assert outcome.sum() in (0, 6)
    assert freqfed(torch.ones(1, 4)).tolist() == [1] * 4


def test_needs():
    assert FreqFed().needs == {Need.MODEL}
    assert FreqFed(on="updates").needs == frozenset()
