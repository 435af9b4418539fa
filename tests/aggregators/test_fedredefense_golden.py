"""The solver against numbers of the authors' released code."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from robustbench_fl.aggregators._reconstruction_call import reconstruct

GOLDEN = Path(__file__).parent / "golden"
NAMES = ("linear_8x8_small_lr", "mlp_64_32_10", "convnet_8x8_w8_d1_small_lr")


def mlp(tensors: list[Tensor], x: Tensor) -> Tensor:
    x = x.flatten(1)
    for i in range(0, len(tensors), 2):
        x = functional.linear(x.relu() if i else x, tensors[i], tensors[i + 1])
    return x


def convnet(tensors: list[Tensor], x: Tensor) -> Tensor:
    *blocks, weight, bias = tensors
    for i in range(0, len(blocks), 4):
        x = functional.conv2d(x, blocks[i], blocks[i + 1], padding=1)
        x = functional.group_norm(x, len(blocks[i + 1]), blocks[i + 2], blocks[i + 3])
        x = functional.avg_pool2d(x.relu(), 2)
    return functional.linear(x.flatten(1), weight, bias)


class Golden:
    def __init__(self, name: str) -> None:
        with np.load(GOLDEN / f"{name}.npz", allow_pickle=False) as arrays:
            self.arrays = dict(arrays)
        shapes = [tuple(map(int, shape.split(","))) for shape in self.arrays["param_shapes"]]
        sizes = [math.prod(shape) for shape in shapes]
        body = convnet if name.startswith("convnet") else mlp

        def apply(params: Tensor, x: Tensor) -> Tensor:
            parts = params.split(sizes)
            return body([p.view(s) for p, s in zip(parts, shapes, strict=True)], x)

        self.apply: Callable[[Tensor, Tensor], Tensor] = apply
        # A function with `widths` is taken for an MLP.
        self.widths = None if body is convnet else (shapes[0][1], *(s[0] for s in shapes[::2]))
        self.settings = {
            "lr_image": float(self.arrays["lr_img"]),
            "lr_label": float(self.arrays["lr_label"]),
            "lr_step": float(self.arrays["lr_lr"]),
            "momentum": float(self.arrays["momentum"]),
            "unroll_steps": int(self.arrays["syn_steps"]),
            "threshold": float(self.arrays["threshold"]),
        }

    def network(self, path: str) -> Callable[[Tensor, Tensor], Tensor]:
        def network(params: Tensor, x: Tensor) -> Tensor:
            return self.apply(params, x)

        if path == "lowrank":
            network.widths = self.widths  # type: ignore[attr-defined]
        return network

    def tensor(self, name: str) -> Tensor:
        return torch.from_numpy(self.arrays[name])


CASES = [(name, "vmap") for name in NAMES] + [(name, "lowrank") for name in NAMES[:2]]


@pytest.fixture(scope="module", params=CASES, ids="-".join)
def case(request: pytest.FixtureRequest) -> tuple[Golden, str]:
    name, path = request.param
    return Golden(name), path


def assert_traces_match(found: Tensor, expected: np.ndarray) -> None:
    relative = np.abs(found.double().numpy() / expected - 1)
    assert relative[:, :20].max() < 1e-4
    assert relative.max() < 1e-3


def test_every_iteration_equals_the_released_code(case: tuple[Golden, str]) -> None:
    golden, path = case
    found = reconstruct(
        golden.network(path),
        golden.tensor("theta_start"),
        golden.tensor("theta_end"),
        images=golden.tensor("x0"),
        labels=golden.tensor("label0"),
        step=golden.tensor("lr0").expand(4),
        budget=int(golden.arrays["max_iter"]),
        early_stop=False,
        record_trace=True,
        path=path,  # type: ignore[arg-type]
        **golden.settings,
    )
    assert found.trace is not None
    assert_traces_match(found.trace, golden.arrays["error_trace"])
    torch.testing.assert_close(found.errors, found.trace[:, -1])
    torch.testing.assert_close(found.images, golden.tensor("final_x"), rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(found.labels, golden.tensor("final_label"), rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(found.steps, golden.tensor("final_lr"), rtol=1e-4, atol=0)


def test_early_stop_equals_the_released_code(case: tuple[Golden, str]) -> None:
    golden, path = case
    found = reconstruct(
        golden.network(path),
        golden.tensor("theta_start"),
        golden.tensor("theta_end"),
        images=golden.tensor("x0"),
        labels=golden.tensor("label0"),
        step=0.1,
        budget=int(golden.arrays["max_iter"]),
        path=path,  # type: ignore[arg-type]
        **golden.settings,
    )
    expected = golden.arrays["early_stop_iter"]
    assert np.abs(found.iterations.numpy() - expected).max() <= 1
    np.testing.assert_allclose(found.errors, golden.arrays["early_stop_error"], rtol=1e-3)


def test_warm_start_with_fresh_momentum_equals_the_released_code(case: tuple[Golden, str]) -> None:
    golden, path = case
    found = reconstruct(
        golden.network(path),
        golden.tensor("warm_theta_start"),
        golden.tensor("warm_theta_end"),
        images=golden.tensor("final_x"),
        labels=golden.tensor("final_label"),
        step=golden.tensor("final_lr"),
        budget=30,
        early_stop=False,
        record_trace=True,
        path=path,  # type: ignore[arg-type]
        **golden.settings,
    )
    assert found.trace is not None
    assert_traces_match(found.trace, golden.arrays["warm_error_trace"])
