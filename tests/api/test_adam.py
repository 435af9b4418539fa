from __future__ import annotations

import pytest
import torch

from robustbench_fl.api import Adam


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_numbers_are_those_of_torch(dtype: torch.dtype):
    torch.manual_seed(0)
    start = [torch.randn(7, 5, dtype=dtype), torch.randn((), dtype=dtype)]
    mine, theirs = ([value.clone().requires_grad_() for value in start] for _ in range(2))
    rates = (0.1, 0.003)
    optimiser = Adam(mine, rates)
    other = torch.optim.Adam([{"params": [v], "lr": r} for v, r in zip(theirs, rates)])
    for step in range(40):
        gradients = [torch.randn_like(value) * 10.0 ** (-step) for value in start]
        optimiser.step(gradients)
        for value, gradient in zip(theirs, gradients):
            value.grad = gradient.clone()
        other.step()
        assert all(torch.equal(a, b) for a, b in zip(mine, theirs))
    assert not torch.equal(mine[0], start[0])


def test_one_rate_for_all():
    values = [torch.ones(3), torch.ones(2)]
    Adam(values, 0.5).step([torch.ones(3), -torch.ones(2)])
    assert values[0].tolist() == pytest.approx([0.5] * 3)  # a first step is the rate, whatever the gradient
    assert values[1].tolist() == pytest.approx([1.5] * 2)
