"""The adaptive attacks on FedREDefense, claim by claim."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from torch.nn import functional

from robustbench_fl.aggregators.fedredefense import FedREDefense
from robustbench_fl.api import Aggregation, AttackerView, AttackSpec, Knowledge, build
from robustbench_fl.api.params import resolved
from robustbench_fl.attacks._acceptance import acceptance, largest_shares
from robustbench_fl.attacks._synthetic_poison import Samples, fresh_samples, trained_on, within
from robustbench_fl.attacks.adaptive_fedredefense import SyntheticState
from robustbench_fl.conformance import world
from robustbench_fl.core.seeding import torch_generator

POISON = "adaptive_fedredefense(iterations=60)"
BLEND = "adaptive_fedredefense(mode=blend)"


class Server:
    """Says of each row what `errors` gives; keeps what it was asked and the threshold in force."""

    def __init__(self, errors, rule=None, accuses=True) -> None:
        self.errors, self.accuses, self.asked = errors, accuses, []
        self.rule = rule or FedREDefense()

    def with_rule(self, rule):
        strict = Server(self.errors, rule, self.accuses)
        strict.asked = self.asked
        return strict

    def aggregate(self, crafted: torch.Tensor) -> Aggregation:
        self.asked.append(crafted.clone())
        if not self.accuses:
            return Aggregation(crafted.mean(0))
        errors = self.errors(crafted)
        threshold = getattr(self.rule, "threshold", 0.6)
        return Aggregation(crafted.mean(0), rejected=errors > threshold, diagnostics={"error": errors})


def real_view(attack, defence, malicious=(2, 5, 7)) -> AttackerView:
    past, network = world.history()[1], world.network()
    own = past.updates[list(malicious)].clone()
    return AttackerView(
        attack.knowledge,
        round=1,
        rng=np.random.default_rng(3),
        n_participants=12,
        client_ids=malicious,
        spec=AttackSpec(
            n_clients=12,
            n_malicious=3,
            n_params=network.n_params,
            layer_shapes=network.layer_shapes,
            n_classes=3,
            image_shape=(1, 8, 8),
        ),
        model=network,
        params=past.params,
        initial_params=past.params,
        last_step=None,
        defence=defence,
        own=own,
        colluders=own,
    )


def crafted(text: str, server: Server):
    attack = build.make("attacks", text)
    view = real_view(attack, server)
    rows, state = attack.craft(view, attack.init_state(view.spec))
    return rows, state, view


def plainly_trained(params, images, targets, step: float, steps: int) -> torch.Tensor:
    """SGD as one would write it, in float64: soft cross-entropy over C, one step after the other."""
    weights = params.double().clone()
    for _ in range(steps):
        leaf = weights.detach().requires_grad_()
        logits = world.network().apply(leaf, images.double())
        loss = functional.cross_entropy(logits, targets.double().softmax(1)) / 3
        loss.backward()
        weights = leaf.detach() - step * leaf.grad
    return weights - params


@pytest.mark.parametrize("steps", [1, 5])
def test_the_poison_is_what_the_claimed_steps_on_the_claimed_images_give(steps: int) -> None:
    rows, state, view = crafted(f"adaptive_fedredefense(steps={steps})", Server(lambda r: r[:, 0] * 0))
    assert state.images.shape == (3, 1, 8, 8)
    again = plainly_trained(view.params, state.images, state.labels, state.step, steps)
    assert torch.allclose(rows[0].double(), again, rtol=0, atol=1e-4 * float(again.norm()))
    assert torch.equal(rows, rows[:1].expand(3, -1))


def test_the_poison_opposes_the_mean_within_the_median_norm() -> None:
    rows, _, view = crafted(POISON, Server(lambda r: r[:, 0] * 0))
    mean, median = view.own.mean(0), view.own.norm(dim=1).median()
    assert 0.95 * median <= rows[0].norm() <= median * (1 + 1e-6)
    cosine = functional.cosine_similarity(rows[0], mean, dim=0)
    # What the images teach in one step from where they start is not opposed.
    fresh = fresh_samples(view.model, view.params, 1.0, 5, torch_generator(np.random.default_rng(3)))
    before = functional.cosine_similarity(trained_on(view.model, view.params, fresh, 5), mean, dim=0)
    assert cosine < -0.6
    assert cosine < before - 0.5


def test_more_iterations_and_later_rounds_oppose_more() -> None:
    def cosine(rows, view):
        return float(functional.cosine_similarity(rows[0], view.own.mean(0), dim=0))

    server = Server(lambda r: r[:, 0] * 0)
    few, state, view = crafted("adaptive_fedredefense(iterations=5)", server)
    many, _, _ = crafted("adaptive_fedredefense(iterations=60)", server)
    attack = build.make("attacks", "adaptive_fedredefense(iterations=5)")
    later, _ = attack.craft(view, state)
    assert cosine(many, view) < cosine(few, view) - 0.05
    assert cosine(later, view) < cosine(few, view)


def test_a_row_that_would_fail_is_replaced_by_the_honest_one() -> None:
    # Only the second client's row fails, whatever it sends.
    server = Server(lambda rows: torch.tensor([0.1, 0.9, 0.1]))
    rows, _, view = crafted(POISON, server)
    assert torch.equal(rows[1], view.own[1])
    assert torch.equal(rows[0], rows[2])
    assert not torch.equal(rows[0], view.own[0])
    assert len(server.asked) == 1


def shares_of(rows: torch.Tensor, own: torch.Tensor) -> torch.Tensor:
    """β of each row of a blend towards −x̄ at the median length, from its own definition."""
    mean = own.double().mean(0)
    poison = -mean * (own.double().norm(dim=1).median() / mean.norm())
    gap = poison - own.double()
    return ((rows.double() - own) * gap).sum(1) / gap.square().sum(1)


def test_blend_finds_the_largest_share_that_passes() -> None:
    view = real_view(build.make("attacks", BLEND), None)
    own = view.own
    limits = torch.tensor([0.3, 0.72, 2.0], dtype=torch.float64)

    # E grows with β and reaches threshold − margin = 0.5 at each client's own limit.
    def errors(rows):
        return 0.5 * shares_of(rows, own) / limits

    server = Server(errors)
    rows, _, _ = crafted("adaptive_fedredefense(mode=blend, evaluations=8, margin=0.1)", server)
    found = shares_of(rows, own)
    assert len(server.asked) == 8
    assert (found[:2] <= limits[:2]).all()
    assert (found[:2] > limits[:2] - 2**-7 - 1e-6).all()
    assert found[2] == pytest.approx(1.0)


def test_blend_sends_the_honest_update_where_nothing_passes() -> None:
    rows, _, view = crafted(BLEND, Server(lambda rows: torch.full((3,), 0.9)))
    assert torch.equal(rows, view.own)


def test_the_margin_keeps_away_from_the_threshold() -> None:
    own = real_view(build.make("attacks", BLEND), None).own
    for margin, limit in ((0.0, 0.6), (0.2, 0.4)):
        text = f"adaptive_fedredefense(mode=blend, evaluations=10, margin={margin})"
        rows, _, _ = crafted(text, Server(lambda rows: shares_of(rows, own)))
        assert shares_of(rows, own).tolist() == pytest.approx([limit] * 3, abs=2**-9 + 1e-6)


def test_a_rule_that_accuses_nobody_gets_the_whole_poison() -> None:
    server = Server(None, accuses=False)
    rows, _, view = crafted(BLEND, server)
    mean = view.own.mean(0)
    wanted = -mean * (view.own.norm(dim=1).median() / mean.norm())
    assert torch.allclose(rows, wanted.expand(3, -1), atol=1e-6)
    assert len(server.asked) == 1


def test_blending_min_max() -> None:
    rows, _, view = crafted("adaptive_fedredefense(mode=blend, blended=min_max)", Server(None, accuses=False))
    plain = build.make("attacks", "min_max")
    wanted, _ = plain.craft(view, None)
    assert torch.allclose(rows, wanted, atol=1e-6)


def test_verdicts_stand_in_for_errors() -> None:
    class Accuser(Server):
        def with_rule(self, rule):
            raise AssertionError("no threshold to lower")

        def aggregate(self, rows):
            return Aggregation(rows.mean(0), rejected=torch.tensor([True, False, True]))

    server = Accuser(None, rule=build.make("aggregators", "multi_krum"))
    assert acceptance(server, 0.1)(torch.zeros(3, 2)).tolist() == [False, True, False]


def test_the_threshold_is_found_behind_pre_aggregators() -> None:
    rule = build.make("aggregators", "clip > fedredefense(threshold=0.8)")
    asked = []

    class Piped(Server):
        def with_rule(self, rule):
            asked.append(rule)
            return super().with_rule(rule)

    server = Piped(lambda rows: rows[:, 0], rule=rule)
    accepted = acceptance(server, 0.25)(torch.tensor([[0.5], [0.56]]))
    assert accepted.tolist() == [True, False]
    (strict,) = asked
    assert strict.rule.threshold == pytest.approx(0.55)
    assert dataclasses.replace(strict.rule, threshold=0.8) == rule.rule
    assert strict.stages == rule.stages


def test_bisection_tries_one_first_and_halves() -> None:
    tried = []

    def accepted(shares):
        tried.append(shares.tolist())
        return shares <= torch.tensor([0.3, 1.0])

    assert largest_shares(accepted, 4, 2).tolist() == [0.25, 1.0]
    assert [first for first, _ in tried] == [1.0, 0.5, 0.25, 0.375]


@pytest.mark.parametrize("step", [1e-3, 0.1, 50.0, 1e5])
def test_the_length_is_never_exceeded_whatever_the_step(step: float) -> None:
    past, network = world.history()[0], world.network()
    generator = torch_generator(np.random.default_rng(0))
    start = fresh_samples(network, past.params, 1.0, 5, generator)
    update, used = within(network, past.params, 0.7, dataclasses.replace(start, step=step), 5)
    assert 0.95 * 0.7 <= update.norm() <= 0.7
    assert torch.equal(update, trained_on(network, past.params, used, 5))


def test_the_loss_is_the_mean_over_samples_and_classes() -> None:
    # At zero weights the logits are 0 and p − y decides: bias gradient (1/3 − y)/(b·C) summed over b.
    network = world.network()
    zeros = torch.zeros(network.n_params)
    labels = torch.tensor([[0.0, 0.0, 50.0]])
    samples = Samples(images=torch.ones(1, 1, 8, 8), labels=labels, step=0.9)
    update = trained_on(network, zeros, samples, 1)
    assert update[-3:].tolist() == pytest.approx([-0.1, -0.1, 0.2])


def test_it_declares_what_it_uses() -> None:
    attack = build.make("attacks", "adaptive_fedredefense")
    assert attack.knowledge == Knowledge.COLLUDERS
    assert attack.knows_defence
    assert attack.adaptive
    assert "This project's own attack" in type(attack).__doc__


def test_calibration_makes_the_weights_heavier_first_and_blends_then() -> None:
    attack = build.make("attacks", "adaptive_fedredefense(mode=calibration, pull=2)")
    view = real_view(attack, Server(None, accuses=False))
    state = attack.init_state(view.spec)
    for _ in range(2):
        rows, state = attack.craft(view, state)
        added = rows - view.own
        torch.testing.assert_close(added.norm(dim=1), view.own.norm(dim=1))
        *body, weight, bias = view.model.split(added[0])
        for part, start in zip(body, view.model.split(view.params), strict=False):
            assert functional.cosine_similarity(part.flatten(), start.flatten(), dim=0) > 0.999
        assert weight.sum(0).abs().max() < 1e-5
        assert bias.sum().abs() < 1e-5
    rows, state = attack.craft(view, state)
    blend = build.make("attacks", BLEND)
    torch.testing.assert_close(rows, blend.craft(view, blend.init_state(view.spec))[0])
    assert state.rounds == 3


def test_cells_from_before_the_third_mode_keep_their_keys() -> None:
    for text in ("adaptive_fedredefense", BLEND):
        assert "pull" not in resolved(build.make("attacks", text))
    assert resolved(build.make("attacks", "adaptive_fedredefense(mode=calibration)"))["pull"] == 3


@pytest.mark.parametrize(
    "text", ["mode=blend, steps=3", "evaluations=9", "mode=blend, rate=1.0", "mode=blend, pull=2"]
)
def test_parameters_of_the_other_mode_are_refused(text: str) -> None:
    with pytest.raises(Exception, match="is a parameter of mode="):
        build.make("attacks", f"adaptive_fedredefense({text})")


def test_no_known_direction_no_attack(make_round) -> None:
    world_ = make_round([[1.0, 2.0], [-1.0, -2.0]], [[5.0, 6.0]])
    for text in ("adaptive_fedredefense", BLEND):
        assert world_.craft(build.make("attacks", text), defence=Server(None)).tolist() == [[1, 2], [-1, -2]]


def test_images_that_teach_nothing_are_given_up() -> None:
    attack = build.make("attacks", "adaptive_fedredefense")
    view = real_view(attack, Server(None, accuses=False))
    broken = SyntheticState(images=torch.full((3, 1, 8, 8), torch.nan), labels=torch.zeros(3, 3), step=1.0)
    rows, state = attack.craft(view, broken)
    assert torch.equal(rows, view.own)
    assert state.images is None
