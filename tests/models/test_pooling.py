from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from robustbench_fl.models import pooling


@pytest.fixture(autouse=True)
def _vector_form_always(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pooling, "_LARGE", 0)


def theirs(maps: Tensor) -> Tensor:
    return functional.max_pool2d(maps, 2)


@pytest.mark.parametrize("shape", [(3, 2, 6, 6), (2, 3, 7, 5), (1, 1, 2, 2)])
def test_values_and_gradients_are_those_of_torch(shape) -> None:
    generator = torch.Generator().manual_seed(0)
    maps = torch.randn(shape, generator=generator, requires_grad=True)
    mine = pooling.max_pool_2x2(maps)
    assert torch.equal(mine, theirs(maps))
    with torch.inference_mode():
        assert torch.equal(pooling.max_pool_2x2(maps), mine)
    incoming = torch.randn(mine.shape, generator=generator)
    (found,), (expected,) = (
        torch.autograd.grad(f(maps), maps, incoming) for f in (pooling.max_pool_2x2, theirs)
    )
    assert torch.equal(found, expected)


def test_a_tie_gives_the_whole_gradient_to_one_value() -> None:
    maps = torch.ones(1, 1, 2, 2, requires_grad=True)
    (gradient,) = torch.autograd.grad(pooling.max_pool_2x2(maps).sum(), maps)
    assert gradient.flatten().tolist() == [1.0, 0.0, 0.0, 0.0]


def test_of_equal_values_the_one_that_torch_picks_gets_the_gradient() -> None:
    generator = torch.Generator().manual_seed(2)
    maps = torch.randint(0, 3, (6, 2, 8, 10), generator=generator).float().requires_grad_()
    incoming = torch.randn(6, 2, 4, 5, generator=generator)
    for create_graph in (False, True):
        (found,), (expected,) = (
            torch.autograd.grad(f(maps), maps, incoming, create_graph=create_graph)
            for f in (pooling.max_pool_2x2, theirs)
        )
        assert torch.equal(found, expected)


def test_nan_is_passed_on() -> None:
    for position in range(4):
        maps = torch.zeros(1, 1, 2, 2)
        maps.view(-1)[position] = torch.nan
        assert pooling.max_pool_2x2(maps).isnan().all()
        with torch.no_grad():
            assert pooling.max_pool_2x2(maps).isnan().all()


def test_second_derivative_and_vmap() -> None:
    maps = torch.randn(2, 1, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    squared = maps.clone().requires_grad_()
    assert torch.autograd.gradgradcheck(lambda z: pooling.max_pool_2x2(z**2).sin(), squared)

    def gradients(pool) -> Tensor:
        return torch.func.vmap(torch.func.grad(lambda z: (pool(z**2)).sum()))(maps[:, None])

    assert torch.equal(gradients(pooling.max_pool_2x2), gradients(theirs))
