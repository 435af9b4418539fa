import numpy as np
import pytest
import torch

from robustbench_fl.aggregators._gap import split_in_two
from robustbench_fl.aggregators._trajectory import matching_loss, synthetic_data
from robustbench_fl.aggregators.safefl import SafeFL, larger_cluster, low_losses, synthetic_losses
from robustbench_fl.api import Need, ServerSpec, ServerView
from robustbench_fl.models.zoo.mlp import MlpModel

MODEL = MlpModel((1, 3, 3), 3, (6,))


def trained(params, seed, steps=15, rate=0.2):
    rng = np.random.default_rng(seed)
    labels = torch.from_numpy(rng.integers(0, 3, 30))
    images = torch.from_numpy(0.3 * rng.standard_normal((30, 1, 3, 3))).float()
    images[torch.arange(30), 0, 0, labels] += 2
    weights = params.clone().requires_grad_()
    for _ in range(steps):
        loss = torch.nn.functional.cross_entropy(MODEL.apply(weights, images), labels)
        (gradient,) = torch.autograd.grad(loss, weights)
        weights = (weights - rate * gradient).detach().requires_grad_()
    return (weights - params).detach()


def test_the_matching_loss_by_hand():
    params = MODEL.init(np.random.default_rng(0))
    end = params + 1
    images, labels = torch.zeros(2, 1, 3, 3), torch.full((2, 3), 1 / 3)
    # Without a learning rate nothing moves; towards itself there is nothing to match.
    assert matching_loss(MODEL, params, end, images, labels, torch.tensor(0.0), 3).item() == 1
    assert matching_loss(MODEL, params, params, images, labels, torch.tensor(0.1), 3) is None


def test_the_matching_loss_against_its_definition():
    params = MODEL.init(np.random.default_rng(0))
    end = params + 0.1 * torch.randn(params.shape, generator=torch.Generator().manual_seed(0))
    images = torch.randn(4, 1, 3, 3, generator=torch.Generator().manual_seed(1))
    labels = torch.eye(3)[[0, 1, 2, 0]]
    moved = params.clone()
    for _ in range(3):
        weights = moved.clone().requires_grad_()
        torch.nn.functional.cross_entropy(MODEL.apply(weights, images), labels).backward()
        moved = moved - 0.3 * weights.grad
    expected = (moved - end).square().sum() / (params - end).square().sum()
    found = matching_loss(MODEL, params, end, images, labels, torch.tensor(0.3), 3)
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)


def test_synthetic_data_lead_along_the_trajectory():
    points = [MODEL.init(np.random.default_rng(0))]
    for round in range(4):
        points.append(points[-1] + trained(points[-1], round))
    options = {"span": 2, "per_class": 4, "inner_steps": 5}
    ends = []
    for iterations in (1, 60):
        images, labels = synthetic_data(
            MODEL, points, np.random.default_rng(0), iterations=iterations, **options
        )
        ends.append(matching_loss(MODEL, points[1], points[3], images, labels, torch.tensor(0.3), 5).item())
    assert labels.sum(1).tolist() == pytest.approx([1] * 12)
    assert ends[1] < 0.7 * ends[0]


def test_losses_by_hand():
    zero = torch.zeros(1, MODEL.n_params)
    labels = torch.full((2, 3), 1 / 3)
    images = torch.ones(2, 1, 3, 3)
    rows = torch.cat([zero, torch.full_like(zero, torch.nan)])
    assert synthetic_losses(MODEL, rows, images, labels).tolist() == pytest.approx([np.log(3), np.inf])


def test_low_losses_by_hand():
    losses = torch.tensor([1.0, 1.1, 1.2, 5.0, torch.inf], dtype=torch.float64)
    assert low_losses(losses, "median").tolist() == [True, True, True, False, False]
    assert low_losses(losses, "clusters").tolist() == [True, True, True, False, False]
    assert low_losses(torch.ones(4, dtype=torch.float64), "clusters").all()
    assert split_in_two(np.array([3.0, 0.0, 1.0])).tolist() == [True, False, False]


def test_the_larger_cluster():
    rows = torch.cat([torch.zeros(5, 3), torch.ones(3, 3), torch.full((1, 3), 1e30)])
    assert larger_cluster(rows).tolist() == [True] * 8 + [False]
    assert larger_cluster(rows[:8]).tolist() == [True] * 5 + [False] * 3
    assert larger_cluster(torch.ones(1, 2)).tolist() == [True]


@pytest.mark.parametrize("variant", ["median", "clusters"])
def test_after_the_trajectory_malicious_models_are_rejected(variant):
    rule = SafeFL(variant=variant, trajectory=3, span=2, iterations=80, inner_steps=5)
    state = rule.init_state(ServerSpec(n_clients=9, n_params=MODEL.n_params, layer_shapes=MODEL.layer_shapes))
    params = MODEL.init(np.random.default_rng(0))
    for round in range(5):
        rows = torch.stack([trained(params, 10 * round + i) for i in range(9)])
        rows[:3] *= -3
        view = ServerView(
            rule.needs,
            round=round,
            rng=np.random.default_rng(round),
            layer_shapes=MODEL.layer_shapes,
            model=MODEL,
            params=params,
            last_step=None,
        )
        outcome, state = rule.aggregate(rows, view, state)
        params = params + outcome.aggregate
        assert not outcome.selected[:3].any()
        assert bool(outcome.rejected.any()) == (round >= 3)
    assert state.points == ()
    assert outcome.rejected[:3].all()


def test_needs():
    assert SafeFL().needs == {Need.MODEL, Need.HISTORY}
