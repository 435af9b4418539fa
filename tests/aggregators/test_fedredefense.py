"""The policy around the reconstruction: who is rejected, for how long, and what is remembered."""

from __future__ import annotations

import dataclasses
import warnings
from typing import Any

import pytest
import torch
from torch import Tensor

from robustbench_fl.aggregators._reconstruction import first_steps
from robustbench_fl.aggregators._reconstruction_paths import distance_for
from robustbench_fl.aggregators.fedredefense import FedREDefense
from robustbench_fl.api import Aggregation, Need, ServerSpec, ServerView
from robustbench_fl.api.build import make, text_of
from robustbench_fl.core.errors import UsageError
from robustbench_fl.core.seeding import stream
from robustbench_fl.models.zoo.mlp import MlpModel

MODEL = MlpModel((1, 8, 8), 10, [64])
PARAMS = MODEL.init(stream("global"))


def honest(n: int, seed: int = 0) -> Tensor:
    """Updates of clients that train on 64 samples of two classes each."""
    rng = torch.Generator().manual_seed(seed)
    centres = 2 * torch.randn(10, 64, generator=rng)
    rows = []
    for client in range(n):
        labels = (torch.arange(64) % 2 * 3 + client) % 10
        images = (centres[labels] + torch.randn(64, 64, generator=rng)).view(64, 1, 8, 8)
        params = PARAMS
        for batch in range(2):
            part = slice(32 * batch, 32 * batch + 32)
            leaf = params.clone().requires_grad_()
            loss = torch.nn.functional.cross_entropy(MODEL.apply(leaf, images[part]), labels[part])
            params = params - 0.05 * torch.autograd.grad(loss, leaf)[0]
        rows.append(params - PARAMS)
    return torch.stack(rows)


def noise(like: Tensor, seed: int = 5) -> Tensor:
    """A direction no training takes, of the same norm."""
    direction = torch.randn(like.shape, generator=torch.Generator().manual_seed(seed))
    return direction * like.norm() / direction.norm()


HONEST = honest(5)
CRAFTED = torch.cat([HONEST[:4], noise(HONEST[4])[None]])


class Server:
    """Plays rounds against one rule, of the preset ``fast`` unless another is given."""

    def __init__(self, **parameters: Any) -> None:
        self.rule = FedREDefense(**{"preset": "fast", **parameters})
        self.state = self.rule.init_state(
            ServerSpec(n_clients=8, n_params=MODEL.n_params, layer_shapes=MODEL.layer_shapes)
        )
        self.round = 0

    def view(self, clients: tuple[int, ...], **extra: Any) -> ServerView:
        return ServerView(
            self.rule.needs,
            round=self.round,
            rng=stream("server", self.round),
            layer_shapes=MODEL.layer_shapes,
            model=MODEL,
            params=PARAMS,
            client_ids=clients,
            last_step=None,
            **extra,
        )

    def play(self, updates: Tensor, clients: tuple[int, ...] | None = None, **extra: Any) -> Aggregation:
        view = self.view(clients or tuple(range(len(updates))), **extra)
        outcome, self.state = self.rule.aggregate(updates, view, self.state)
        self.round += 1
        return outcome


def test_crafted_updates_are_rejected_and_honest_ones_averaged() -> None:
    outcome = Server().play(CRAFTED)
    assert outcome.rejected is not None
    assert outcome.rejected.tolist() == [False] * 4 + [True]
    assert outcome.weights is not None
    assert outcome.weights.tolist() == [0.25] * 4 + [0]
    torch.testing.assert_close(outcome.aggregate, HONEST[:4].mean(0))
    error, iterations = outcome.diagnostics["error"], outcome.diagnostics["iterations"]
    assert (error[:4] < 0.6).all()
    assert error[4] > 0.6
    assert (iterations[:4] < 40).all()
    assert iterations[4] == 40
    assert outcome.scores is not None
    assert outcome.scores[:4].tolist() == pytest.approx((iterations[:4] / 40).tolist())
    assert outcome.scores[4].item() == pytest.approx(1 + (error[4] / (1 + error[4])).item())


def test_a_client_seen_again_starts_from_its_own_data() -> None:
    server = Server()
    first = server.play(HONEST).diagnostics["iterations"]
    again = server.play(HONEST).diagnostics["iterations"]
    assert (first > 1).all()
    assert (again == 1).all()


def test_banned_clients_are_not_reconstructed_again() -> None:
    server = Server()
    server.play(CRAFTED)
    outcome = server.play(HONEST)
    assert outcome.rejected is not None
    assert outcome.rejected.tolist() == [False] * 4 + [True]
    assert outcome.diagnostics["error"][4].isnan()
    assert outcome.diagnostics["iterations"][4].isnan()
    assert outcome.scores is not None
    assert outcome.scores.argmax() == 4
    torch.testing.assert_close(outcome.aggregate, HONEST[:4].mean(0))


@pytest.mark.parametrize(
    ("ban", "out"), [("round", [1, 0, 0, 0]), (2, [1, 1, 1, 0]), ("forever", [1, 1, 1, 1])]
)
def test_a_ban_lasts_as_long_as_asked(ban: Any, out: list[int]) -> None:
    server = Server(ban=ban)
    rounds = [server.play(CRAFTED), *(server.play(HONEST) for _ in range(3))]
    assert [int(r.rejected[4]) for r in rounds if r.rejected is not None] == out


def test_bans_follow_clients_not_rows() -> None:
    server = Server()
    server.play(CRAFTED, clients=(7, 3, 2, 1, 6))
    outcome = server.play(HONEST[:3], clients=(6, 7, 3))
    assert outcome.rejected is not None
    assert outcome.rejected.tolist() == [True, False, False]


def test_everybody_rejected_keeps_the_model() -> None:
    outcome = Server().play(noise(HONEST))
    assert outcome.rejected is not None
    assert outcome.rejected.all()
    assert torch.equal(outcome.aggregate, torch.zeros(MODEL.n_params))


def test_one_overflowing_update_leaves_the_threshold_on_for_the_others() -> None:
    updates = torch.cat([CRAFTED, torch.full((1, MODEL.n_params), 1e30)])
    outcome = Server().play(updates)
    assert outcome.rejected is not None
    assert outcome.rejected.tolist() == [False] * 4 + [True, True]
    assert outcome.aggregate.isfinite().all()
    assert outcome.scores is not None
    assert outcome.scores[5] == 2


def test_released_nan_policy_lets_the_others_through() -> None:
    updates = torch.cat([CRAFTED, torch.full((1, MODEL.n_params), 1e30)])
    outcome = Server(nan_policy="released").play(updates)
    assert outcome.diagnostics["error"][5].isnan()
    assert outcome.rejected is not None
    assert outcome.rejected.tolist() == [False] * 5 + [True]


@pytest.mark.parametrize(("policy", "rejected"), [("reject", True), ("accept", False)])
def test_a_zero_update_is_not_unrolled(policy: Any, rejected: bool) -> None:
    updates = torch.cat([HONEST[:2], torch.zeros(1, MODEL.n_params)])
    outcome = Server(zero_update=policy).play(updates)
    assert outcome.rejected is not None
    assert outcome.rejected.tolist() == [False, False, rejected]
    assert outcome.diagnostics["iterations"][2] == 0
    assert outcome.diagnostics["error"][2] == 1


def test_paper_presets_are_the_published_settings() -> None:
    expected = {
        "paper-fashion_mnist": (0.5, 0.2, 5e-6, 0.1, 800, 2000),
        "paper-cifar10": (0.1, 0.05, 5e-5, 0.05, 500, 1500),
        "paper-cinic10": (0.1, 0.05, 5e-5, 0.05, 2000, 4000),
    }
    for preset, values in expected.items():
        test = FedREDefense(preset=preset)._test(784)  # type: ignore[arg-type]
        rates = test.rates
        found = (rates.image, rates.label, rates.step, test.step, test.first_budget, test.later_budget)
        assert found == values
        assert (rates.momentum, rates.back_off, test.threshold) == (0.5, None, 0.6)
        assert (test.restart, test.decision) == (False, "round")
        assert (test.later_step, test.retest) == ("kept", "never")


def test_parameters_override_the_preset_zero_included() -> None:
    test = FedREDefense(preset="paper-cifar10", lr_step=0.0, step="auto", first_budget=7)._test(3072)
    assert (test.rates.step, test.step, test.first_budget, test.later_budget) == (0.0, "auto", 7, 1500)


def test_fast_rates_follow_the_input_unless_given() -> None:
    digits, fashion = (FedREDefense(preset="fast")._test(pixels) for pixels in (64, 784))
    assert (digits.rates.image, digits.first_budget, digits.rates.back_off) == (5, 40, 5)
    assert (fashion.rates.image, fashion.first_budget) == (50, 190)
    given = FedREDefense(preset="fast", lr_image=3.0)._test(784)
    assert (given.rates.image, given.rates.back_off) == (3, None)


def test_automatic_steps_scale_one_unroll_to_the_updates() -> None:
    distance = distance_for(MODEL, PARAMS, 5)
    generator = torch.Generator().manual_seed(0)
    images, labels = torch.randn(10, 1, 8, 8, generator=generator), torch.zeros(10, 10)

    def moved(step: float) -> float:
        return distance(images[None], labels[None], torch.tensor([step]), None).sqrt().item()

    unit = HONEST[0] / HONEST[0].norm()
    updates = torch.stack([moved(0.1) / 1.5 * unit, 0.01 * unit])
    steps = first_steps(distance, updates, images, labels, 1.5)
    assert steps[0].item() == pytest.approx(0.1)
    assert moved(steps[1].item()) == pytest.approx(1.5 * 0.01, rel=0.02)


def test_a_scaled_step_follows_the_norm_of_the_update_and_a_kept_one_does_not() -> None:
    steps = {}
    for later_step in ("kept", "scaled"):
        server = Server(later_step=later_step)
        server.play(HONEST)
        first = server.state.steps
        server.play(0.5 * HONEST)
        steps[later_step] = [server.state.steps[c] / first[c] for c in range(5)]
    assert steps["kept"] == [1] * 5
    assert steps["scaled"] == pytest.approx([0.5] * 5)


def test_without_early_stop_everybody_uses_the_budget_and_errors_rank() -> None:
    outcome = Server(early_stop=False).play(CRAFTED)
    error = outcome.diagnostics["error"]
    assert (outcome.diagnostics["iterations"] == 40).all()
    assert (error[:4] < 0.5).all()
    assert outcome.scores is not None
    assert outcome.scores.argsort().tolist() == error.argsort().tolist()
    assert outcome.rejected is not None
    assert outcome.rejected.tolist() == [False] * 4 + [True]


def test_sequential_decision_rejects_whoever_fails_and_bans_after_three_failures() -> None:
    server = Server(decision="sequential")
    rounds = [server.play(updates) for updates in (CRAFTED, CRAFTED, CRAFTED, HONEST)]
    assert [bool(r.rejected[4]) for r in rounds if r.rejected is not None] == [True] * 4
    assert rounds[2].diagnostics["error"][4].isfinite()
    assert rounds[3].diagnostics["error"][4].isnan()


def test_sequential_decision_forgives_single_failures() -> None:
    server = Server(decision="sequential")
    rounds = [server.play(updates) for updates in (CRAFTED, HONEST) * 3]
    assert [bool(r.rejected[4]) for r in rounds if r.rejected is not None] == [True, False] * 3


@pytest.mark.parametrize(("retest", "fresh"), [("never", [0]), (2, [0, 2, 4])])
def test_a_retest_starts_from_fresh_synthetic_data(retest: Any, fresh: list[int]) -> None:
    server = Server(retest=retest)
    iterations = [server.play(HONEST).diagnostics["iterations"] for _ in range(5)]
    assert [r for r, used in enumerate(iterations) if (used > 1).all()] == fresh
    assert all(torch.equal(iterations[r], iterations[0]) for r in fresh)


def test_restart_gives_a_second_attempt_from_another_draw() -> None:
    plain, twice = Server(first_budget=8), Server(first_budget=8, restart=True)
    first, second = plain.play(CRAFTED), twice.play(CRAFTED)
    failed = first.diagnostics["error"] > 0.6
    assert failed.any()
    passed = ~failed
    assert torch.equal(first.diagnostics["error"][passed], second.diagnostics["error"][passed])
    assert (second.diagnostics["iterations"][failed] > 8).all()
    assert second.diagnostics["iterations"][4] == 16
    assert twice.state.spare is not None
    assert twice.state.initial is not None
    assert not torch.equal(twice.state.spare, twice.state.initial)


def test_the_rest_may_go_to_another_rule_with_its_rows_and_its_f() -> None:
    server = Server(rest="trimmed_mean")
    assert Need.F in server.rule.needs
    outcome = server.play(CRAFTED, f=2)  # one is out already, one is left to trim
    expected = HONEST[:4].sort(0).values[1:3].mean(0)
    torch.testing.assert_close(outcome.aggregate, expected)


def test_an_unknown_rule_for_the_rest_is_refused() -> None:
    with pytest.raises(UsageError, match="trimed_mean"):
        make("aggregators", "fedredefense(rest='trimed_mean')")


def test_the_text_of_the_rule_makes_it_again() -> None:
    text = 'fedredefense(preset=paper-cifar10, step=0.2, ban=3, rest="trimmed_mean(trim=0.1)")'
    assert text_of(make("aggregators", text)) == text


def test_a_simulated_round_changes_no_state_and_repeats() -> None:
    server = Server()
    server.play(HONEST)
    before = {name: tensor.clone() for name, tensor in server.state.to_tensors().items()}
    view = server.view((0, 1, 2, 3, 4))
    first, _ = server.rule.aggregate(CRAFTED, view, server.state)
    second, _ = server.rule.aggregate(CRAFTED, view, server.state)
    assert torch.equal(first.aggregate, second.aggregate)
    after = server.state.to_tensors()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_a_checkpoint_carries_the_state() -> None:
    server = Server(ban=1, decision="sequential", rest="trimmed_mean")
    server.play(CRAFTED, f=1)
    spec = ServerSpec(n_clients=8, n_params=MODEL.n_params, layer_shapes=MODEL.layer_shapes)
    restored = server.rule.init_state(spec).from_tensors(server.state.to_tensors())
    view = server.view((0, 1, 2, 3, 4), f=1)
    expected, _ = server.rule.aggregate(CRAFTED, view, server.state)
    found, _ = server.rule.aggregate(CRAFTED, view, restored)
    assert torch.equal(found.aggregate, expected.aggregate)
    assert torch.equal(found.diagnostics["iterations"], expected.diagnostics["iterations"])


def test_only_synthetic_data_are_remembered() -> None:
    server = Server()
    server.play(HONEST)
    per_client = 10 * 64 + 10 * 10
    kept = sum(tensor.numel() for tensor in server.state.to_tensors().values())
    assert kept < 2 * 640 + 5 * (per_client + 10)


def test_batch_norm_is_refused_and_linear_models_warned_about() -> None:
    class Normalised(MlpModel):
        batch_norm = True

    assert "batch norm" in str(FedREDefense().refuses(Normalised((1, 8, 8), 10, [64])))
    with pytest.warns(UserWarning, match="no power on this linear model"):
        assert FedREDefense().refuses(MlpModel((1, 8, 8), 10)) is None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert FedREDefense().refuses(MODEL) is None


def test_it_is_a_frozen_bag_of_parameters() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        FedREDefense().threshold = 0.5  # type: ignore[misc]
