import numpy as np
import pytest
import torch

from robustbench_fl.aggregators._components import main_components
from robustbench_fl.aggregators.skymask import SkyMask, beside_the_server, trained_masks
from robustbench_fl.api import Need, RootData, ServerView
from robustbench_fl.models.zoo.mlp import MlpModel

MODEL = MlpModel((1, 3, 3), 3, (6,))


def data(seed=0, n=40):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, n)
    images = rng.standard_normal((n, 1, 3, 3)) * 0.3
    images[np.arange(n), 0, 0, labels] += 2
    return torch.from_numpy(images).float(), torch.from_numpy(labels)


def trained(params, images, labels, steps=60):
    weights = params.clone().requires_grad_()
    for _ in range(steps):
        loss = torch.nn.functional.cross_entropy(MODEL.apply(weights, images), labels)
        (gradient,) = torch.autograd.grad(loss, weights)
        weights = (weights - 0.3 * gradient).detach().requires_grad_()
    return (weights - params).detach()


def slow_masks(models, images, labels, steps, rate, clip):
    """The same by automatic differentiation of the masked mean, without a look at the loss."""
    masks = torch.ones_like(models, requires_grad=True)
    for _ in range(steps):
        mixed = (masks.sigmoid() * models).sum(0) / masks.sigmoid().sum(0)
        loss = torch.nn.functional.cross_entropy(MODEL.apply(mixed, images), labels)
        (gradient,) = torch.autograd.grad(loss, masks)
        masks = (masks - rate * gradient.clamp(-clip, clip)).detach().requires_grad_()
    return masks.detach()


@pytest.mark.parametrize(("rate", "clip"), [(5.0, 1e9), (1e3, 1e-3)])
def test_masks_against_automatic_differentiation(rate, clip):
    images, labels = data()
    models = torch.randn(5, MODEL.n_params, generator=torch.Generator().manual_seed(0))
    found = trained_masks(MODEL, models, images, labels, steps=4, rate=rate, clip=clip)
    expected = slow_masks(models, images, labels, 4, rate, clip)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_training_ends_where_the_loss_does_not_fall():
    images, labels = data()
    models = torch.randn(1, MODEL.n_params, generator=torch.Generator().manual_seed(0)).repeat(3, 1)
    # Equal models: no mask changes anything, and after the second look all is left as it is.
    assert torch.equal(trained_masks(MODEL, models, images, labels), torch.ones_like(models))


def test_components_by_hand():
    rows = torch.tensor([[0.0, 0.0], [2.0, 0.0], [4.0, 0.0], [2.0, 1.0], [2.0, -1.0]])
    found = main_components(rows)
    assert np.abs(found[:, 0]).tolist() == pytest.approx([2, 0, 2, 0, 0])
    assert np.abs(found[:, 1]).tolist() == pytest.approx([0, 0, 0, 1, 1])
    assert np.abs(main_components(torch.ones(3, 4))).max() < 1e-12


def test_groups():
    masks = torch.full((9, 20), 5.0)
    masks[:3, :10] = -5
    found = beside_the_server(masks, np.random.default_rng(0))
    assert found.tolist() == pytest.approx([1] * 3 + [0] * 5, abs=1e-6)
    assert beside_the_server(torch.ones(4, 5), np.random.default_rng(0)).tolist() == [0] * 3


def asked(rows, params, images, labels, own):
    root = RootData(images=images, labels=labels, train=lambda: own)
    rule = SkyMask()
    view = ServerView(
        rule.needs,
        round=0,
        rng=np.random.default_rng(0),
        layer_shapes=MODEL.layer_shapes,
        model=MODEL,
        params=params,
        root=root,
    )
    return rule.aggregate(rows, view, None)[0]


def test_models_that_do_harm_are_told_from_the_servers():
    params = MODEL.init(np.random.default_rng(1))
    honest = torch.stack([trained(params, *data(seed)) for seed in range(1, 9)])
    rows = torch.cat([-4 * honest[:3], honest[3:]])
    images, labels = data()
    outcome = asked(rows, params, images, labels, trained(params, images, labels))
    assert outcome.rejected.tolist() == [True] * 3 + [False] * 5
    torch.testing.assert_close(outcome.aggregate, honest[3:].mean(0))


def test_clients_who_agree_with_the_server_are_kept():
    params = MODEL.init(np.random.default_rng(1))
    images, labels = data()
    own = trained(params, images, labels)
    outcome = asked(own.repeat(4, 1), params, images, labels, own)
    assert not outcome.rejected.any()
    torch.testing.assert_close(outcome.aggregate, own)


def test_needs():
    assert SkyMask().needs == {Need.MODEL, Need.ROOT_DATA}
