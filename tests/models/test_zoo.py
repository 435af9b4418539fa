from __future__ import annotations

import pytest
import torch

from robustbench_fl.api.build import make, text_of
from robustbench_fl.core.errors import UsageError
from robustbench_fl.core.seeding import stream
from robustbench_fl.models.zoo.mlp import MlpModel

BUILT = [
    ("logistic", (1, 28, 28), 7_850),
    ("mlp(hidden=[100])", (1, 28, 28), 79_510),
    ("mlp(hidden=[32, 16])", (1, 8, 8), 2_778),
    ("lenet5", (1, 28, 28), 44_426),
    ("lenet5", (3, 32, 32), 62_006),
    ("lenet5", (1, 17, 16), 15_626),
]


@pytest.mark.parametrize(("text", "shape", "n_params"), BUILT)
def test_parameters_and_stacking(text: str, shape: tuple[int, int, int], n_params: int) -> None:
    model = make("models", text).build(shape, 10)
    assert model.n_params == n_params
    rng = stream("test")
    params = torch.stack([model.init(rng) for _ in range(3)])
    images = torch.randn(3, 4, *shape, generator=torch.Generator().manual_seed(0))
    stacked = model.forward_stacked(model.split(params), images)
    alone = torch.stack([model.apply(p, x) for p, x in zip(params, images, strict=True)])
    assert stacked.shape == (3, 4, 10)
    assert torch.allclose(stacked, alone, atol=1e-5)


def test_mlp_layers() -> None:
    model = make("models", "mlp(hidden=[7, 5])").build((1, 2, 3), 4)
    assert isinstance(model, MlpModel)
    assert model.widths == (6, 7, 5, 4)
    assert model.layer_shapes[:2] == (("layer1.weight", (7, 6)), ("layer1.bias", (7,)))
    assert not model.linear


def test_logistic_is_an_mlp_without_hidden_layers() -> None:
    model = make("models", "logistic").build((1, 2, 2), 2)
    assert isinstance(model, MlpModel)
    assert model.linear
    params = torch.tensor([1.0, 2, 3, 4, 0, 0, 0, 1, 10, 20])
    image = torch.tensor([1.0, 1, 0, 2]).view(1, 1, 2, 2)
    assert model.apply(params, image).tolist() == [[21.0, 22.0]]


def test_initial_weights_stay_within_the_fan_in_bound() -> None:
    model = make("models", "lenet5").build((1, 28, 28), 10)
    tensors = dict(zip((n for n, _ in model.layer_shapes), model.split(model.init(stream("t"))), strict=True))
    for name, fan_in in {"conv1": 25, "conv2": 150, "layer1": 256, "layer3": 84}.items():
        for part in ("weight", "bias"):
            assert tensors[f"{name}.{part}"].abs().max() <= fan_in**-0.5
        assert tensors[f"{name}.weight"].abs().max() > 0.95 * fan_in**-0.5


def test_texts_and_refusals() -> None:
    assert text_of(make("models", "mlp(hidden=[64, 32])")) == "mlp(hidden=[64, 32])"
    assert text_of(make("models", "mlp(hidden=[200])")) == "mlp"
    assert text_of(make("models", "lenet")) == "lenet5"
    for wrong in ("mlp(hidden=[0])", "mlp(hidden=64)", "mlp(hidden=[1.5])"):
        with pytest.raises(UsageError, match="'hidden' must be a list of whole numbers"):
            make("models", wrong)
    with pytest.raises(UsageError, match="lenet5 needs images of at least 16×16 pixels, found 8×8"):
        make("models", "lenet5").build((1, 8, 8), 10)
