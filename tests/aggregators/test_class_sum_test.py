import numpy as np
import pytest
import torch

from robustbench_fl.aggregators.class_sum_test import ClassSumTest, class_sum_energies
from robustbench_fl.api import Need, ServerView, UsageError
from robustbench_fl.models.zoo.mlp import MlpModel

SHAPES = (("last.weight", (2, 2)), ("last.bias", (2,)))
MODEL = MlpModel((1, 2, 3), 4, (5,))


def test_shares_by_hand():
    rows = torch.tensor(
        [
            [1.0, 2.0, -1.0, -2.0, 3.0, -3.0],  # the classes cancel
            [1.0, 0.0, 1.0, 0.0, 0.0, 0.0],  # and are alike: sum (2, 0, 0), 4 of 2 · 2
            [1.0, 0.0, 0.0, 0.0, 0.0, 0.0],  # one class: sum (1, 0, 0), 1 of 2 · 1
            [0.0, 0.0, 0.0, 0.0, 0.0, 2.0],  # the bias counts
            [0.0] * 6,
        ]
    )
    assert class_sum_energies(rows, SHAPES).tolist() == [0, 1, 0.5, 0.5, 0]


def trained(steps, *, decay=0.0, seed=0, momentum=0.0):
    """Return the parameters and an honest client's update after some steps of SGD."""
    rng = np.random.default_rng(seed)
    params = MODEL.init(rng)
    images = torch.from_numpy(rng.standard_normal((30, 1, 2, 3))).float()
    labels = torch.from_numpy(rng.integers(0, 3, 30))
    weights = params.clone().requires_grad_()
    optimiser = torch.optim.SGD([weights], lr=0.3, weight_decay=decay, momentum=momentum)
    for _ in range(steps):
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(
            MODEL.apply(weights, images), labels, label_smoothing=0.1
        ).backward()
        optimiser.step()
    return params, (weights - params).detach()


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("steps", [1, 40])
def test_honest_updates_pass(steps, momentum):
    _, update = trained(steps, momentum=momentum)
    assert class_sum_energies(update[None], MODEL.layer_shapes).item() < 1e-12


def test_weight_decay_needs_its_correction():
    rows = torch.stack([trained(steps, decay=0.01)[1] for steps in (5, 20)])
    params = trained(1)[0]
    assert class_sum_energies(rows, MODEL.layer_shapes).min() > 1e-5
    assert class_sum_energies(rows, MODEL.layer_shapes, params).max() < 1e-10
    # Only what shrinks the parameters is excused.
    own = class_sum_energies(params[None], MODEL.layer_shapes)
    grown = class_sum_energies(params[None], MODEL.layer_shapes, params)
    assert own.item() == pytest.approx(grown.item())
    assert class_sum_energies(-0.5 * params[None], MODEL.layer_shapes, params).item() < 1e-12


def asked(rows, rule=None, **gated):
    rule = rule or ClassSumTest()
    view = ServerView(
        rule.needs, round=0, rng=np.random.default_rng(0), layer_shapes=MODEL.layer_shapes, **gated
    )
    return rule.aggregate(rows, view, None)[0]


def test_crafted_updates_are_rejected_and_combinations_are_not():
    honest = torch.stack([trained(5, seed=seed)[1] for seed in range(6)])
    rows = torch.cat(
        [
            honest,
            (honest.mean(0) - honest.std(0))[None],  # ALIE
            honest.mean(0).sign()[None],
            torch.randn(1, MODEL.n_params, generator=torch.Generator().manual_seed(0)),
            -2 * honest[:1],  # a sign flip passes
            torch.zeros(1, MODEL.n_params),
        ]
    )
    outcome = asked(rows)
    assert outcome.rejected.tolist() == [False] * 6 + [True] * 3 + [False] * 2
    torch.testing.assert_close(outcome.aggregate, rows[~outcome.rejected].mean(0))


def test_everybody_rejected_keeps_the_model():
    outcome = asked(torch.ones(3, MODEL.n_params))
    assert outcome.rejected.all()
    assert not outcome.aggregate.any()


def test_needs_and_refusals():
    assert ClassSumTest().needs == frozenset()
    assert ClassSumTest(weight_decay=True).needs == {Need.MODEL}
    odd = MlpModel((1, 1, 2), 3)
    odd.layer_shapes = (("a.weight", (3, 2)),)
    assert "linear layer" in ClassSumTest().refuses(odd)
    assert ClassSumTest().refuses(MODEL) is None
    with pytest.raises(UsageError, match="not known here"):
        class_sum_energies(torch.ones(2, 6), ())
