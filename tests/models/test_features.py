import pytest
import torch

from robustbench_fl.api.build import make
from robustbench_fl.core.seeding import stream
from robustbench_fl.models.zoo.mlp import MlpModel


def test_by_hand() -> None:
    model = MlpModel((1, 1, 2), 3, (2,))
    params = torch.cat([torch.tensor([1.0, 0, 0, -1, 0, 5]), torch.ones(9)])
    # relu(x₁) and relu(−x₂ + 5).
    images = torch.tensor([[2.0, 3.0], [-1.0, 9.0]]).view(2, 1, 1, 2)
    assert model.features(params, images).tolist() == [[2, 2], [0, 0]]


@pytest.mark.parametrize(
    ("text", "width"),
    [("logistic", 784), ("mlp(hidden=[9, 7])", 7), ("lenet5", 84), ("convnet(width=4)", 64)],
)
def test_the_last_layer_maps_them_to_the_logits(text: str, width: int) -> None:
    model = make("models", text).build((1, 28, 28), 10)
    assert model.ends_linear
    params = model.init(stream("test"))
    images = torch.randn(3, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    features = model.features(params, images)
    assert features.shape == (3, width)
    *_, weight, bias = model.split(params)
    torch.testing.assert_close(features @ weight.T + bias, model.apply(params, images), rtol=1e-4, atol=1e-5)
