"""The preset ``calibrated``: what is seen before reconstruction, and the budget that virtual clients set."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from robustbench_fl.aggregators._reconstruction import Rates, Yardstick, first_steps, solve
from robustbench_fl.aggregators._reconstruction_paths import distance_for
from robustbench_fl.aggregators._reconstruction_screen import common, goes_back, too_long, unlike_training
from robustbench_fl.aggregators._reconstruction_virtual import (
    Noise,
    smoothed,
    trained_to_length,
    usual_length,
)
from robustbench_fl.aggregators.fedredefense import FedREDefense
from robustbench_fl.api import Aggregation, ClientRecipe, Need, RootData, ServerSpec, ServerView
from robustbench_fl.api.build import make, stream_text
from robustbench_fl.api.params import resolved
from robustbench_fl.core.seeding import stream
from robustbench_fl.models.zoo.mlp import MlpModel

MODEL = MlpModel((1, 8, 8), 10, [64])
PARAMS = MODEL.init(stream("global"))
SHAPES = MODEL.layer_shapes


def trained(images: Tensor, labels: Tensor, start: Tensor = PARAMS, momentum: float = 0.0) -> Tensor:
    """Updates [k, P] of SGD in batches of 32."""
    rows = []
    for x, y in zip(images, labels, strict=True):
        params, speed = start, torch.zeros_like(start)
        for low in range(0, len(y), 32):
            leaf = params.clone().requires_grad_()
            logits = MODEL.apply(leaf, x[low : low + 32])
            loss = torch.nn.functional.cross_entropy(logits, y[low : low + 32])
            speed = momentum * speed + torch.autograd.grad(loss, leaf)[0]
            params = params - 0.05 * speed
        rows.append(params - start)
    return torch.stack(rows)


def clients(n: int) -> tuple[Tensor, Tensor]:
    """Images [n, 64, ...] and labels [n, 64] of clients with two classes each."""
    rng = torch.Generator().manual_seed(0)
    centres = 2 * torch.randn(10, 64, generator=rng)
    labels = (torch.arange(64) % 2 * 3 + torch.arange(n)[:, None]) % 10
    return (centres[labels] + torch.randn(n, 64, 64, generator=rng)).view(n, 64, 1, 8, 8), labels


HONEST = trained(*clients(8))


class Server:
    """Plays rounds against the rule; the model stays where it is unless told."""

    def __init__(self, **parameters: Any) -> None:
        self.rule = FedREDefense(**{"preset": "calibrated", **parameters})
        spec = ServerSpec(n_clients=20, n_params=MODEL.n_params, layer_shapes=SHAPES)
        self.state: Any = self.rule.init_state(spec)
        self.round = self.trainings = 0
        self.params, self.model = PARAMS, MODEL

    def play(self, updates: Tensor) -> Aggregation:
        view = ServerView(
            self.rule.needs, round=self.round, rng=stream("server", self.round), layer_shapes=SHAPES,
            model=self.model, params=self.params, client_ids=tuple(range(len(updates))), last_step=None,
            recipe=ClientRecipe(samples=64, train=self.train),
            root=RootData(images=torch.zeros(0), labels=torch.zeros(0), train=lambda: HONEST[0]),
        )  # fmt: skip
        outcome, self.state = self.rule.aggregate(updates, view, self.state)
        self.round += 1
        return outcome

    def train(self, images: Tensor, labels: Tensor) -> Tensor:
        self.trainings += 1
        return trained(images, labels, self.params)


def rejected(outcome: Aggregation) -> list[int]:
    assert outcome.rejected is not None
    return outcome.rejected.nonzero().flatten().tolist()


def test_a_shifted_mean_is_rejected_without_a_reconstruction() -> None:
    shifted = HONEST.mean(0) - 0.3 * HONEST.std(0)
    outcome = Server().play(torch.cat([HONEST, shifted[None]]))
    assert rejected(outcome) == [8]
    assert outcome.diagnostics["iterations"][8] == 0
    assert outcome.diagnostics["error"][8].isnan()
    assert (outcome.diagnostics["iterations"][:8] > 1).all()
    assert outcome.scores is not None
    assert outcome.scores.argmax() == 8
    assert outcome.scores[8] == 2
    torch.testing.assert_close(outcome.aggregate, HONEST.mean(0))


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_class_sums_of_training_are_zero_and_those_of_a_sorted_update_are_not(momentum: float) -> None:
    updates = trained(*clients(3), momentum=momentum)
    lengths = updates.norm(dim=1)
    sums = common(updates, SHAPES)
    assert (sums < 1e-6 * lengths).all()
    assert not unlike_training(sums, lengths, 0.0).any()
    crafted = updates.sort(0).values
    slow = []
    for row in crafted:
        weight, bias = MODEL.split(row)[-2:]
        means = torch.cat([weight.mean(0).expand(10, -1), bias.mean().expand(10, 1)], 1)
        slow.append(means.double().norm())
    found = common(crafted, SHAPES)
    torch.testing.assert_close(found, torch.stack(slow), rtol=1e-5, atol=1e-12)
    assert unlike_training(found, crafted.norm(dim=1), 0.0).all()


def test_class_sums_are_a_floor_of_the_error() -> None:
    crafted = HONEST.mean(0) - 0.3 * HONEST.std(0)
    sums = common(crafted[None], SHAPES)
    floor = (sums / crafted.norm()).square().item()
    outcome = Server(class_sums="any", early_stop=False).play(torch.cat([HONEST, crafted[None]]))
    assert outcome.diagnostics["error"][8] > floor > 1e-3


def test_without_a_linear_last_layer_class_sums_are_not_looked_at() -> None:
    class Other(MlpModel):
        ends_linear = False

    shifted = HONEST.mean(0) - 0.3 * HONEST.std(0)
    server = Server()
    server.model = Other((1, 8, 8), 10, [64])
    outcome = server.play(torch.cat([HONEST, shifted[None]]))
    assert outcome.diagnostics["iterations"][8] > 1


def test_what_virtual_clients_leave_is_allowed() -> None:
    lengths = torch.tensor([1.0, 1.0])
    sums = torch.tensor([0.05, 0.2], dtype=torch.float64)
    assert unlike_training(sums, lengths, 0.0).tolist() == [True, True]
    assert unlike_training(sums, lengths, 0.1).tolist() == [False, True]


def test_an_update_that_leads_back_is_rejected() -> None:
    server = Server()
    assert rejected(server.play(HONEST)) == []
    step = HONEST.mean(0)
    server.params = PARAMS + step
    outcome = server.play(torch.cat([HONEST[:7], -2 * step[None]]))
    assert rejected(outcome) == [7]
    assert outcome.diagnostics["iterations"][7] == 0
    assert not goes_back(HONEST, HONEST.norm(dim=1), torch.zeros_like(step)).any()


def test_too_long_is_told_by_the_median_and_the_spread() -> None:
    assert too_long(torch.tensor([1.0, 1.0, 1.0, 2.9, 3.1]), 3.0).tolist() == [False] * 4 + [True]
    assert not too_long(torch.tensor([1.0, 1.0, 1.0, 9.0]), 3.0).any()  # too few
    # Logarithms base e of 0, ±1, ±2: their median deviation is 1, four robust ones are 5.93.
    assert not too_long(torch.tensor([-2.0, -1.0, 0.0, 1.0, 5.9]).exp(), 3.0).any()
    assert too_long(torch.tensor([-2.0, -1.0, 0.0, 1.0, 6.0]).exp(), 3.0).tolist() == [False] * 4 + [True]


def test_one_spike_of_a_known_client_is_shortened_and_a_second_in_a_row_rejected() -> None:
    spike = torch.cat([HONEST[:7], 5 * HONEST[7:]])
    assert rejected(Server().play(spike)) == [7]  # nothing is known of it yet
    server = Server()
    for _ in range(2):  # an ordinary round between two spikes
        server.play(HONEST)
        outcome = server.play(spike)
        assert rejected(outcome) == []
        longest = HONEST[:7].norm(dim=1).max()
        short = HONEST[7] * (longest / HONEST[7].norm())
        torch.testing.assert_close(outcome.aggregate, torch.cat([HONEST[:7], short[None]]).mean(0))
    assert rejected(server.play(spike)) == [7]
    assert server.state.banned == {7: -1}


class Problem:
    """Reconstruction from the calibrated start."""

    def __init__(self, updates: Tensor) -> None:
        self.distance = distance_for(MODEL, PARAMS, 5)
        self.updates = updates
        rng = torch.Generator().manual_seed(1)
        images, labels = torch.randn(10, 1, 8, 8, generator=rng), 2 * torch.eye(10)
        n = len(updates)
        self.start: dict[str, Tensor] = {
            "images": images.expand(n, *images.shape),
            "labels": labels.expand(n, 10, 10),
            "steps": first_steps(self.distance, updates, images, labels, 1.0),
        }

    def solve(self, budget: int, **options: Any) -> Any:
        return solve(
            self.distance, self.updates, **self.start, rates=Rates(image=20.0, label=2.0, step=0.0),
            budget=torch.full((len(self.updates),), budget), **options,
        )  # fmt: skip


def test_the_yardstick_sets_the_budget_of_the_others() -> None:
    noise = HONEST[0].norm() * torch.nn.functional.normalize(torch.randn(1, MODEL.n_params), dim=1)
    problem = Problem(torch.cat([HONEST[:4], noise]))
    alone = problem.solve(60).iterations
    found = problem.solve(60, yardstick=Yardstick(rows=2, multiple=1.5))
    budget = math.ceil(1.5 * int(alone[:2].max()))
    assert found.budget[2:].tolist() == [budget] * 3
    assert found.iterations.tolist() == [*alone[:4].tolist(), budget]
    assert found.errors[4] > 0.6
    granted = problem.solve(60, yardstick=Yardstick(rows=2, multiple=1.5, least=budget + 5))
    assert granted.iterations.tolist() == [*alone[:4].tolist(), budget + 5]


def test_the_yardstick_is_put_away_when_nobody_waits_for_it() -> None:
    noise = HONEST[0].norm() * torch.nn.functional.normalize(torch.randn(1, MODEL.n_params), dim=1)
    problem = Problem(torch.cat([noise, HONEST[:3]]))
    alone = problem.solve(100).iterations
    assert alone[0] == 100
    found = problem.solve(100, yardstick=Yardstick(rows=1, multiple=2.0))
    assert found.iterations[1:].tolist() == alone[1:].tolist()
    assert found.iterations[0] == alone[1:].max()
    assert found.budget[1:].tolist() == [2 * int(alone[1:].max())] * 3


@pytest.mark.parametrize("chunk", [1, 2])
def test_a_yardstick_decides_alike_in_chunks(chunk: int) -> None:
    problem = Problem(HONEST[:4])
    measure = Yardstick(rows=1, multiple=1.0)
    whole, parts = (problem.solve(60, yardstick=measure, chunk=size) for size in (4, chunk))
    assert whole.errors[1:].lt(0.6).tolist() == parts.errors[1:].lt(0.6).tolist()


def test_virtual_clients_train_when_somebody_starts_anew_and_not_again() -> None:
    server = Server()
    server.play(HONEST)
    assert server.trainings == 1
    again = server.play(HONEST)
    assert server.trainings == 1
    assert (again.diagnostics["iterations"] == 1).all()


def test_who_uses_up_the_later_budget_goes_on_beside_virtual_clients() -> None:
    server = Server(later_budget=1)
    server.play(HONEST)
    other = trained(*clients(8), start=PARAMS + 0.02 * torch.randn(MODEL.n_params))
    outcome = server.play(other.roll(1, 0))
    assert server.trainings == 2
    assert rejected(outcome) == []
    assert (outcome.diagnostics["iterations"] > 1).any()


def test_who_fails_from_old_data_starts_anew_before_being_rejected() -> None:
    server = Server()
    fresh = server.play(HONEST).diagnostics["iterations"]
    server.state.steps[7] *= 100  # a step that leads nowhere
    outcome = server.play(HONEST)
    assert rejected(outcome) == []
    used = outcome.diagnostics["iterations"]
    assert (used[:7] == 1).all()
    assert used[7] - fresh[7] >= 20 + 150  # later budget, the floor of the measured one, and anew
    assert server.state.steps[7] < 10 * server.state.steps[6]


def test_a_restart_has_the_budget_that_was_measured_once_more() -> None:
    noise = HONEST[0].norm() * torch.nn.functional.normalize(torch.randn(1, MODEL.n_params), dim=1)
    once, twice = Server(class_sums="any"), Server(class_sums="any", restart=True)
    first, second = (server.play(torch.cat([HONEST, noise])) for server in (once, twice))
    assert rejected(first) == rejected(second) == [8]
    assert torch.equal(first.diagnostics["iterations"][:8], second.diagnostics["iterations"][:8])
    assert second.diagnostics["iterations"][8] == 2 * first.diagnostics["iterations"][8]
    keys = [resolved(server.rule)["restart"] for server in (once, twice)]
    assert keys == [False, "measured"]
    assert resolved(FedREDefense(preset="fast", restart=True))["restart"] is True


def test_needs_follow_what_is_measured() -> None:
    assert Need.RECIPE in FedREDefense(preset="calibrated").needs
    assert Need.RECIPE not in FedREDefense(preset="fast").needs
    for other in ({"first_budget": 30}, {"recipe": "unknown"}, {"virtual": "root"}):
        rule = FedREDefense(preset="calibrated", **other)  # type: ignore[arg-type]
        assert Need.RECIPE not in rule.needs
        assert (Need.ROOT_DATA in rule.needs) == ("virtual" in other)


def test_a_length_is_found_also_where_most_send_zero() -> None:
    updates = torch.zeros(5, 4)
    assert usual_length(updates) == 0
    generator = torch.Generator().manual_seed(0)
    nothing = trained_to_length(MODEL, PARAMS, 0.0, lambda s: Noise.drawn(MODEL, s, generator, PARAMS))
    assert nothing.shape == (2, MODEL.n_params)
    assert not nothing.any()
    updates[3], updates[4] = 1.0, 2.0
    assert usual_length(updates) == 2.0
    updates[:3] = 0.5
    assert usual_length(updates) == 1.0
    rows = torch.cat([torch.zeros(2, MODEL.n_params), HONEST[:2]])
    outcome = Server(recipe="unknown").play(rows)
    assert outcome.rejected is not None
    assert outcome.rejected[:2].all()


@pytest.mark.parametrize("parameters", [{"recipe": "unknown"}, {"virtual": "root"}, {"first_budget": 40}])
def test_other_yardsticks_do_as_well_here(parameters: dict[str, Any]) -> None:
    noise = HONEST[0].norm() * torch.nn.functional.normalize(torch.randn(1, MODEL.n_params), dim=1)
    server = Server(**parameters)
    assert rejected(server.play(torch.cat([HONEST, noise]))) == [8]
    assert server.trainings == 0


def test_training_goes_as_far_as_the_clients_did() -> None:
    def draw(samples: int) -> Noise:
        return Noise.drawn(MODEL, samples, torch.Generator().manual_seed(0), PARAMS)

    updates = trained_to_length(MODEL, PARAMS, 0.3, draw)
    assert updates.shape == (2, MODEL.n_params)
    assert updates.norm(dim=1).tolist() == pytest.approx([0.3, 0.3], rel=0.1)


def test_smooth_noise_has_unit_variance_and_amplitudes_that_fall_with_frequency() -> None:
    noise = smoothed(torch.randn(400, 1, 16, 16, generator=torch.Generator().manual_seed(0)))
    assert noise.std().item() == pytest.approx(1)
    amplitude = torch.fft.fft2(noise).abs().square().mean((0, 1)).sqrt()
    ratios = (amplitude[0, 1:8] / amplitude[0, 1]).numpy()
    np.testing.assert_allclose(ratios, 1 / np.arange(1, 8), rtol=0.1)


def test_cells_from_before_keep_their_keys() -> None:
    before = {
        "auto_step", "ban", "decision", "early_stop", "false_alarm", "first_budget", "image_rate",
        "later_budget", "later_step", "lr_image", "lr_label", "lr_step", "momentum", "nan_policy", "preset",
        "rest", "restart", "retest", "step", "threshold", "unroll_steps", "zero_update",
    }  # fmt: skip
    assert set(resolved(FedREDefense(preset="fast"))) == before
    assert resolved(FedREDefense(preset="paper-cifar10"))["auto_step"] == 1.5
    assert resolved(FedREDefense(preset="calibrated"))["auto_step"] == 1.0
    assert resolved(FedREDefense(preset="calibrated", auto_step=0.5, longest=4.0))["auto_step"] == 0.5
    assert resolved(FedREDefense(preset="calibrated", longest=4.0))["longest"] == 4.0


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("fedredefense", "fedredefense(preset=calibrated)"),
        ("nnm > fedredefense(ban=3)", "nnm > fedredefense(preset=calibrated, ban=3)"),
        ("fedredefense(preset=fast, restart=true)", "fedredefense(restart=true)"),
        ("nnm > median", "nnm > median"),
    ],
)
def test_cells_from_before_draw_what_they_drew(text: str, name: str) -> None:
    assert stream_text(text, make("aggregators", text)) == name


def test_a_checkpoint_carries_what_calibration_remembers() -> None:
    server = Server()
    server.play(HONEST)
    server.params = PARAMS + HONEST.mean(0)
    spec = ServerSpec(n_clients=20, n_params=MODEL.n_params, layer_shapes=SHAPES)
    kept = server.state
    restored = server.rule.init_state(spec).from_tensors(kept.to_tensors())
    assert restored.slack == kept.slack > 0
    expected = server.play(HONEST)
    server.state, server.round = restored, 1
    found = server.play(HONEST)
    assert torch.equal(found.diagnostics["iterations"], expected.diagnostics["iterations"])
