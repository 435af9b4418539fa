"""All ways to unroll give the numbers of a plain one-client-at-a-time double backward."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from robustbench_fl.aggregators._reconstruction_call import reconstruct
from robustbench_fl.aggregators._reconstruction_paths import distance_for
from robustbench_fl.api.model import Model
from robustbench_fl.core.errors import UsageError
from robustbench_fl.core.seeding import stream
from robustbench_fl.models.zoo.convnet import ConvNetModel
from robustbench_fl.models.zoo.lenet5 import LeNet5Model
from robustbench_fl.models.zoo.mlp import MlpModel

RATES: dict[str, Any] = {"lr_image": 0.5, "lr_label": 0.2, "lr_step": 1e-3}
N, CLASSES, BUDGET = 4, 3, 6

MODELS: dict[str, Callable[[], Model]] = {
    "logistic": lambda: MlpModel((1, 3, 3), CLASSES),
    "mlp": lambda: MlpModel((1, 3, 3), CLASSES, [7]),
    "wide mlp": lambda: MlpModel((1, 3, 3), CLASSES, [60, 60, 8]),  # its middle layer is never formed
    "convnet": lambda: ConvNetModel((2, 8, 8), CLASSES, width=3, depth=2),
    "convnet, no norm": lambda: ConvNetModel((1, 6, 6), CLASSES, width=3, depth=1, norm=None),
    "lenet5": lambda: LeNet5Model((1, 16, 16), CLASSES),
}
PATHS = [
    ("logistic", "lowrank"),
    ("mlp", "lowrank"),
    ("wide mlp", "lowrank"),
    ("mlp", "stacked"),
    ("mlp", "vmap"),
    ("convnet", "stacked"),
    ("convnet", "vmap"),
    ("convnet, no norm", "stacked"),
    ("lenet5", "vmap"),
]


class Problem:
    def __init__(self, name: str) -> None:
        rng = torch.Generator().manual_seed(1)

        def randn(*shape: int) -> Tensor:
            return torch.randn(shape, generator=rng, dtype=torch.float64)

        self.model = MODELS[name]()
        self.start = self.model.init(stream("start")).double()
        self.ends = self.start + 0.02 * randn(N, self.model.n_params)
        self.images = randn(N, CLASSES, *self.model.input_shape)
        self.labels = 0.3 * randn(N, CLASSES, CLASSES)
        self.steps = torch.tensor([0.1, 0.2, 0.3, 0.15], dtype=torch.float64)

    def solve(self, **options: Any) -> Any:
        return reconstruct(
            self.model,
            self.start,
            self.ends,
            images=self.images,
            labels=self.labels,
            step=self.steps,
            **{"budget": BUDGET, "early_stop": False, "record_trace": True, **RATES, **options},
        )


def one_by_one(problem: Problem) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The definition: S steps with their graph kept, E, SGD with momentum, client after client."""
    traces, images, labels, steps = [], [], [], []
    for client in range(N):
        data = [
            part[client].clone().requires_grad_() for part in (problem.images, problem.labels, problem.steps)
        ]
        optimizer = torch.optim.SGD(
            [{"params": [p], "lr": lr} for p, lr in zip(data, RATES.values(), strict=True)], momentum=0.5
        )
        trace = []
        for _ in range(BUDGET):
            params = problem.start.clone().requires_grad_()
            for _ in range(5):
                logits = problem.model.apply(params, data[0])
                loss = -(data[1].softmax(1) * logits.log_softmax(1)).mean()
                (gradient,) = torch.autograd.grad(loss, params, create_graph=True)
                params = params - data[2] * gradient
            end = problem.ends[client]
            error = ((params - end).square().sum() + 1e-9) / ((problem.start - end).square().sum() + 1e-9)
            optimizer.zero_grad()
            error.backward()
            optimizer.step()
            trace.append(error.detach())
        traces.append(torch.stack(trace))
        for kept, part in zip((images, labels, steps), data, strict=True):
            kept.append(part.detach())
    return torch.stack(traces), torch.stack(images), torch.stack(labels), torch.stack(steps)


@pytest.mark.parametrize(("name", "path"), PATHS)
def test_a_path_equals_the_definition(name: str, path: str) -> None:
    problem = Problem(name)
    found = problem.solve(path=path)
    trace, images, labels, steps = one_by_one(problem)
    torch.testing.assert_close(found.trace, trace, rtol=1e-10, atol=0)
    torch.testing.assert_close(found.images, images, rtol=1e-9, atol=1e-10)
    torch.testing.assert_close(found.labels, labels, rtol=1e-9, atol=1e-10)
    torch.testing.assert_close(found.steps, steps, rtol=1e-10, atol=0)


@pytest.mark.parametrize("chunk", [1, 3])
@pytest.mark.parametrize("name", ["mlp", "convnet"])
def test_chunks_change_nothing(name: str, chunk: int) -> None:
    problem = Problem(name)
    torch.testing.assert_close(
        problem.solve(chunk=chunk).trace, problem.solve(chunk=N).trace, rtol=1e-10, atol=0
    )


def test_clients_that_are_done_leave_and_others_take_their_place() -> None:
    problem = Problem("mlp")
    full = problem.solve()
    budget = torch.tensor([1, 4, 2, 6])
    found = problem.solve(budget=budget, chunk=2)
    assert found.iterations.tolist() == [1, 4, 2, 6]
    for client, last in enumerate(budget.tolist()):
        torch.testing.assert_close(found.trace[client, :last], full.trace[client, :last])
        assert found.trace[client, last:].isnan().all()
        torch.testing.assert_close(found.errors[client], full.trace[client, last - 1])


def test_early_stop_keeps_the_data_of_the_evaluation_that_passed() -> None:
    problem = Problem("mlp")
    full = problem.solve()
    threshold = full.trace[:, 2].max().item() + 1e-9
    found = problem.solve(early_stop=True, threshold=threshold)
    first_below = (full.trace < threshold).int().argmax(1) + 1
    assert found.iterations.tolist() == first_below.tolist()
    for client, last in enumerate(first_below.tolist()):
        before = problem.solve(budget=last - 1) if last > 1 else None
        expected = problem.images[client] if before is None else before.images[client]
        torch.testing.assert_close(found.images[client], expected)


def test_shared_samples_are_one_set_for_every_client() -> None:
    problem = Problem("mlp")
    for part in (problem.images, problem.labels):
        part[:] = part[0].clone()
    alone = problem.solve()
    problem.images, problem.labels = problem.images[0], problem.labels[0]
    torch.testing.assert_close(problem.solve().trace, alone.trace)


def test_inputs_are_not_changed() -> None:
    problem = Problem("convnet")
    before = [part.clone() for part in (problem.images, problem.labels, problem.steps, problem.start)]
    problem.solve()
    after = (problem.images, problem.labels, problem.steps, problem.start)
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


def test_a_diverging_client_stops_alone_and_without_back_off_stays_non_finite() -> None:
    problem = Problem("mlp")
    problem.steps[1] = 1e200
    found = problem.solve()
    assert not found.errors[1].isfinite()
    assert found.iterations.tolist() == [BUDGET, 1, BUDGET, BUDGET]


def test_back_off_restarts_a_diverging_client_with_a_fifth_of_the_rate() -> None:
    problem = Problem("mlp")
    rates = torch.tensor([0.5, 0.5, 1e6, 0.5], dtype=torch.float64)
    without = problem.solve(lr_image=rates, lr_step=0.0, budget=20)
    found = problem.solve(lr_image=rates, lr_step=0.0, budget=20, back_off=5.0)
    trace = without.trace[2].nan_to_num(torch.inf)
    assert trace[1] > trace[0]
    assert trace[1] > 1.5
    assert found.damping[2] <= 1 / 5
    torch.testing.assert_close(found.trace[2, 2], found.trace[2, 0])  # starts anew
    assert found.damping[[0, 1, 3]].tolist() == [1] * 3


def test_back_off_damps_the_label_rate_too() -> None:
    problem = Problem("mlp")
    settings = {"lr_image": 0.0, "lr_label": 1e7, "lr_step": 0.0, "budget": 60, "threshold": 0.0}
    without = problem.solve(**settings).errors
    found = problem.solve(**settings, back_off=5.0).errors
    diverged = without > 1.5
    assert diverged.sum() == 3
    assert (found[diverged] < 1).all()


def test_automatic_path_takes_the_specialised_one() -> None:
    names = {
        name: type(distance_for(build(), torch.zeros(build().n_params), 5)).__name__
        for name, build in MODELS.items()
    }
    assert names["mlp"] == names["logistic"] == "LowRankDistance"
    assert names["convnet"] == names["lenet5"] == "UnrolledDistance"


@pytest.mark.parametrize("path", ["lowrank", "stacked", "fastest"])
def test_a_path_that_the_network_cannot_take_is_refused(path: str) -> None:
    with pytest.raises(UsageError, match="path"):
        distance_for(lambda params, images: images, torch.zeros(1), 5, path)  # type: ignore[arg-type]
