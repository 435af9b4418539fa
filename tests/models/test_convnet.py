"""The ConvNet of the data-set distillation literature."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from robustbench_fl.api.build import make
from robustbench_fl.core.errors import UsageError
from robustbench_fl.core.seeding import stream
from robustbench_fl.models.zoo._instance_norm import instance_norm
from robustbench_fl.models.zoo.convnet import ConvNetModel


@pytest.mark.parametrize(("shape", "n_params"), [((1, 28, 28), 317_706), ((3, 32, 32), 320_010)])
def test_the_paper_s_network_has_the_paper_s_size(shape: tuple[int, int, int], n_params: int) -> None:
    assert make("models", "convnet").build(shape, 10).n_params == n_params


@pytest.mark.parametrize("norm", ["instance", None])
@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 9, 11)])
def test_one_and_stacked_clients_equal_torch_s_modules(shape: tuple[int, int, int], norm: str) -> None:
    model = ConvNetModel(shape, 5, width=4, depth=2, norm=norm)  # type: ignore[arg-type]
    rng = torch.Generator().manual_seed(0)
    params = torch.stack([model.init(stream("w", i)) for i in range(3)]).double()
    params += 0.1 * torch.randn(params.shape, generator=rng, dtype=torch.float64)
    images = torch.randn(3, 2, *shape, generator=rng, dtype=torch.float64)
    stacked = model.forward_stacked(model.split(params), images)
    for client in range(3):
        expected = modules(model, params[client], norm)(images[client])
        torch.testing.assert_close(model.apply(params[client], images[client]), expected)
        torch.testing.assert_close(stacked[client], expected)


def modules(model: ConvNetModel, params: torch.Tensor, norm: str) -> nn.Module:
    channels, height, _ = model.input_shape
    layers: list[nn.Module] = []
    for block in range(2):
        padding = 3 if (block, channels, height) == (0, 1, 28) else 1
        layers.append(nn.Conv2d(4 if block else channels, 4, 3, padding=padding))
        layers += [nn.GroupNorm(4, 4)] if norm == "instance" else []
        layers += [nn.ReLU(), nn.AvgPool2d(2)]
    network = nn.Sequential(*layers, nn.Flatten(), nn.Linear(model.split(params)[-2].shape[1], 5)).double()
    nn.utils.vector_to_parameters(params, network.parameters())
    return network


def test_too_small_images_are_refused_with_the_reason() -> None:
    with pytest.raises(UsageError, match=r"needs at least 16 pixels a side, found 8"):
        make("models", "convnet(depth=4)").build((1, 8, 8), 10)


def test_first_and_second_derivatives_of_the_normalisation() -> None:
    rng = torch.Generator().manual_seed(0)
    maps, scale, shift = (
        torch.randn(shape, generator=rng, dtype=torch.float64, requires_grad=True)
        for shape in ((2, 3, 4, 5), (3,), (3,))
    )
    torch.testing.assert_close(
        instance_norm(maps, scale, shift), nn.functional.group_norm(maps, 3, scale, shift)
    )
    assert torch.autograd.gradcheck(instance_norm, (maps, scale, shift))
    assert torch.autograd.gradgradcheck(instance_norm, (maps, scale, shift))
