from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from robustbench_fl.api import GivenImages, Stamp, Trigger
from robustbench_fl.api.build import make
from robustbench_fl.core.seeding import stream
from robustbench_fl.engine.batches import stamped
from robustbench_fl.engine.evaluation import attack_success, evaluate

WORLD = ("digits", "iid", 8, 0)


@pytest.fixture
def pixel_model():
    """Return logistic regression on 1×1×2 images, its logits the two pixels."""
    model = make("models", "logistic").build((1, 1, 2), 2)
    return model, torch.tensor([1.0, 0.0, 0.0, 1.0, 0.0, 0.0])


def test_by_hand(pixel_model) -> None:
    model, params = pixel_model
    images = torch.tensor([[2.0, 0.0], [0.0, 2.0], [2.0, 0.0]]).view(3, 1, 1, 2)
    result = evaluate(model, params, images, torch.tensor([0, 1, 1]))
    assert result.accuracy == pytest.approx(2 / 3)
    assert result.class_accuracy == [1.0, 0.5]
    assert result.confusion.tolist() == [[1, 0], [1, 1]]
    assert result.correct.tolist() == [True, True, False]
    low = math.log(1 + math.exp(-2))
    assert result.loss == pytest.approx((2 * low + low + 2) / 3)
    assert result.finite
    assert (result.confused(1, 0), result.confused(0, 1)) == (0.5, 0.0)


def test_a_class_without_images(pixel_model) -> None:
    model, params = pixel_model
    result = evaluate(model, params, torch.ones(1, 1, 1, 2), torch.tensor([0]))
    assert result.class_accuracy == [1.0, None]
    assert result.confused(1, 0) is None


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_broken_model_scores_chance(world, value: float) -> None:
    federation = world(*WORLD)
    model = make("models", "mlp(hidden=[8])").build(federation.image_shape, 10)
    params = torch.full((model.n_params,), value)
    result = evaluate(model, params, federation.test_images, federation.test_labels)
    assert (result.accuracy, result.loss, result.finite, result.confusion) == (0.1, None, False, None)
    assert result.correct is None
    assert result.class_accuracy == [0.1] * 10
    assert result.confused(0, 2) == 0.1
    assert attack_success(model, params, federation, Trigger(pixels=((0, 0),)), 3) == 0.1


def test_batches_do_not_matter(world) -> None:
    federation = world(*WORLD)
    model = make("models", "mlp(hidden=[8])").build(federation.image_shape, 10)
    params = model.init(stream("test"))
    result = evaluate(model, params, federation.test_images, federation.test_labels)
    logits = model.apply(params, federation.test_images[:])
    right = logits.argmax(dim=1) == federation.test_labels
    assert result.accuracy == pytest.approx(float(right.double().mean()))
    assert result.loss == pytest.approx(
        float(torch.nn.functional.cross_entropy(logits, federation.test_labels))
    )
    validation = evaluate(model, params, *federation.validation_data())
    assert int(validation.confusion.sum()) == len(federation.validation)


def test_attack_success_reads_the_trigger_and_leaves_the_target_class_out(world) -> None:
    federation = world(*WORLD)
    model = make("models", "logistic").build(federation.image_shape, 10)
    weight = torch.zeros(10, 64)
    weight[3, 0] = 1.0  # class 3 if and only if the top left pixel is lit
    bias = torch.zeros(10)
    bias[5] = 1.0
    params = torch.cat([weight.flatten(), bias])
    assert attack_success(model, params, federation, Trigger(pixels=((0, 0),)), 3) == 1.0
    unlit = attack_success(model, params, federation, Trigger(pixels=((7, 7),)), 3)
    lit = federation.test_images[:][:, 0, 0, 0] > 1.0
    others = federation.test_labels != 3
    assert unlit == pytest.approx(float(lit[others].double().mean()))
    assert np.isclose(attack_success(model, params, federation, Trigger(pixels=()), 5), 1.0)
    # The same pixel lit by a computed change; and single images, as they are.
    lighting = Stamp(
        change=lambda images: stamped(images, torch.eye(8) * torch.eye(8)[0] > 0, federation.bright)
    )
    assert attack_success(model, params, federation, lighting, 3) == 1.0
    given = federation.test_images[:][torch.cat([lit.nonzero()[:2, 0], (~lit).nonzero()[:3, 0]])]
    assert attack_success(model, params, federation, GivenImages(images=given), 5) == 3 / len(given)
    assert attack_success(model, params, federation, GivenImages(images=given[:0]), 5) is None
