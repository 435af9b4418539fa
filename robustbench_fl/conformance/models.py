"""Networks: one flat vector of parameters, one client or many stacked."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional

from robustbench_fl.api.model import ImageShape, Model, ModelFamily
from robustbench_fl.conformance.checks import check, require
from robustbench_fl.core.errors import UsageError
from robustbench_fl.core.seeding import stream, torch_generator

_SHAPES: tuple[ImageShape, ...] = ((1, 8, 8), (1, 28, 28), (3, 32, 32))
_TEXT: tuple[ImageShape, ...] = ((12,),)
_CLASSES, _BATCH = 10, 4
_TOLERANCE = 1e-4


@check("models", across=True)
def check_usual_inputs(forms: tuple[ModelFamily, ...]) -> None:
    """It is made for 28×28 or 32×32 images, or for text, and refuses what is too small in words."""
    built = 0
    for shape in _shapes(forms[0]):
        try:
            forms[0].build(shape, _CLASSES)
            built += 1
        except UsageError as error:
            require(any(c.isdigit() for c in str(error)), f"{shape}: the refusal has no number: {error}")
    require(built, f"it can be made for none of {_shapes(forms[0])}")


@check("models")
def check_sizes(family: ModelFamily) -> None:
    """n_params is what the layer shapes add up to, and names are unique."""
    for shape in _shapes(family):
        model = _built(family, shape)
        if model is None:
            continue
        total = sum(math.prod(size) for _, size in model.layer_shapes)
        require(model.n_params == total, f"{shape}: n_params {model.n_params}, the layers have {total}")
        names = [name for name, _ in model.layer_shapes]
        require(len(set(names)) == len(names), f"{shape}: a layer's name is used twice")
        require(
            (model.input_shape, model.n_classes) == (shape, _CLASSES),
            "input_shape or n_classes is not as built",
        )


@check("models")
def check_init(family: ModelFamily) -> None:
    """First parameters are finite float32, not constant, and the same for the same stream."""
    for model in _models(family):
        first, second = _init(model), _init(model)
        require(
            first.shape == (model.n_params,) and first.dtype == torch.float32,
            f"{list(first.shape)} {first.dtype}",
        )
        require(
            torch.isfinite(first).all() and first.std() > 0, "first parameters are constant or not finite"
        )
        require(torch.equal(first, second), "the same stream gives other parameters")


@check("models")
def check_logits(family: ModelFamily) -> None:
    """The logits are finite, [batch, classes], the same in a second call, and no input is changed."""
    for model in _models(family):
        params, images = _init(model), _images(model)
        before = params.clone(), images.clone()
        first, second = model.apply(params, images), model.apply(params, images)
        require(torch.equal(before[0], params) and torch.equal(before[1], images), "it changed its input")
        require(first.shape == (_BATCH, _CLASSES), f"logits are {list(first.shape)}")
        require(torch.isfinite(first).all(), "logits are not finite")
        require(torch.equal(first, second), "a second call gives other logits")


@check("models")
def check_features(family: ModelFamily) -> None:
    """If it ends in a linear layer, that layer maps the features to the logits."""
    for model in _models(family):
        if not model.ends_linear:
            continue
        params, images = _init(model), _images(model)
        *_, weight, bias = model.split(params)
        features = model.features(params, images)
        require(features.shape == (_BATCH, weight.shape[1]), f"features are {list(features.shape)}")
        expected = model.apply(params, images)
        gap = float((features @ weight.T + bias - expected).abs().max())
        require(gap <= _TOLERANCE * float(expected.abs().max()), f"they miss the logits by {gap:.2g}")


@check("models")
def check_stacked(family: ModelFamily) -> None:
    """Many clients stacked have the logits and gradients that each has alone."""
    for model in _models(family):
        params = torch.stack([_init(model, seed) for seed in range(3)])
        images = torch.stack([_images(model, seed) for seed in range(3)])
        alone = torch.stack([model.apply(p, x) for p, x in zip(params, images, strict=True)])
        stacked = model.forward_stacked(model.split(params), images)
        _require_close(alone, stacked, "logits")
        one = torch.stack([_gradient(model, p, x) for p, x in zip(params, images, strict=True)])
        leaf = params.clone().requires_grad_()
        losses = _loss(model.forward_stacked(model.split(leaf), images).flatten(0, 1), 3 * _BATCH)
        (many,) = torch.autograd.grad(3 * losses, leaf)
        _require_close(one, many, "gradients")


@check("models")
def check_gradients(family: ModelFamily) -> None:
    """The loss has a finite gradient that reaches every parameter tensor."""
    for model in _models(family):
        gradient = _gradient(model, _init(model), _images(model))
        require(torch.isfinite(gradient).all(), "the gradient is not finite")
        parts = zip(model.layer_shapes, model.split(gradient), strict=True)
        dead = [name for (name, _), part in parts if not part.any()]
        require(not dead, f"no gradient reaches {', '.join(dead)}")


@check("models")
def check_facts(family: ModelFamily) -> None:
    """It is linear in the input, and mixes the samples of a batch, exactly where it says so."""
    for model in _models(family):
        params, a, b = _init(model), _images(model), _images(model, 1)
        bent = model.apply(params, (a + b) / 2) - (model.apply(params, a) + model.apply(params, b)) / 2
        if not model.batch_norm:
            linear = float(bent.abs().max()) < _TOLERANCE
            require(
                linear == model.linear, f"linear = {model.linear}, but it is {'' if linear else 'not '}linear"
            )
        company = float(
            (
                model.apply(params, a)[:1]
                - model.apply(params, torch.cat([a[:1], b if len(model.input_shape) == 1 else 3 * b]))[:1]
            )
            .abs()
            .max()
        )
        mixes = company > _TOLERANCE
        require(
            mixes == model.batch_norm,
            f"batch_norm = {model.batch_norm}, but another batch moves logits by {company:.2g}",
        )


def _models(family: ModelFamily) -> Iterator[Model]:
    """Yield the network for the smallest of the usual inputs that it can be made for, if any."""
    built = (_built(family, shape) for shape in _shapes(family))
    yield from [model for model in built if model is not None][:1]


def _shapes(family: ModelFamily) -> tuple[ImageShape, ...]:
    return _SHAPES if "images" in family.takes else _TEXT


@cache
def _built(family: ModelFamily, shape: ImageShape) -> Model | None:
    try:
        return family.build(shape, _CLASSES)
    except UsageError:
        return None


def _init(model: Model, seed: int = 0) -> Tensor:
    return model.init(stream("conformance", "network", seed))


def _images(model: Model, seed: int = 0) -> Tensor:
    generator = torch_generator(stream("conformance", "images", seed))
    if len(model.input_shape) == 1:
        return torch.randint(_CLASSES, (_BATCH, *model.input_shape), generator=generator).float()
    return torch.randn(_BATCH, *model.input_shape, generator=generator)


def _loss(logits: Tensor, size: int) -> Tensor:
    return functional.cross_entropy(logits, torch.arange(size) % _BATCH)


def _gradient(model: Model, params: Tensor, images: Tensor) -> Tensor:
    leaf = params.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(_loss(model.apply(leaf, images), _BATCH), leaf)
    return gradient


def _require_close(expected: Tensor, found: Tensor, what: str) -> None:
    gap, size = float((expected - found).detach().abs().max()), float(expected.detach().abs().max())
    require(gap <= _TOLERANCE * max(size, 1e-6), f"stacked {what} differ by {gap:.2g} of {size:.2g}")
