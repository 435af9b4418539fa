import numpy as np
import pytest
import torch

from robustbench_fl.aggregators._density import density_clusters
from robustbench_fl.aggregators._inspection import (
    division_differences,
    threshold_exceedings,
    update_energies,
)
from robustbench_fl.aggregators.deepsight import DeepSight, apart, flagged_shares
from robustbench_fl.core.seeding import torch_generator
from robustbench_fl.models.zoo.mlp import MlpModel


def test_energies_by_hand():
    weights = torch.tensor([[[1.0, -1.0], [0.0, 2.0], [0.0, 0.0]], [[0.0, 0.0]] * 3])
    biases = torch.tensor([[1.0, -2.0, 1.0], [0.0, 0.0, 0.0]])
    # |Δb| + Σ|ΔW| = 3, 4, 1: energies 9, 16, 1 of 26.
    found = update_energies(weights, biases)
    assert found[0].tolist() == pytest.approx([9 / 26, 16 / 26, 1 / 26])
    assert found[1].tolist() == pytest.approx([1 / 3] * 3)


def test_exceedings_by_hand():
    # Three classes: the threshold is a third of the maximum, itself excluded.
    energies = torch.tensor([[0.6, 0.3, 0.1], [0.75, 0.25, 0.0], [1 / 3] * 3])
    assert threshold_exceedings(energies).tolist() == [2, 1, 3]
    # A hundred classes or more: one per cent of it.
    wide = torch.zeros(1, 200)
    wide[0, :3] = torch.tensor([1.0, 0.011, 0.009])
    assert threshold_exceedings(wide).tolist() == [2]


def test_apart_by_hand():
    labels = np.array([0, 0, 1, -1, -1])
    assert apart(labels)[0].tolist() == [0, 0, 1, 1, 1]
    assert apart(labels)[3].tolist() == [1, 1, 1, 0, 0]
    assert apart(labels, "apart")[3].tolist() == [1, 1, 1, 0, 1]


def test_shares_by_hand():
    labels = np.array([0, 0, 0, 1, 1, -1, -1])
    flagged = np.array([True, False, False, False, False, True, False])
    assert flagged_shares(labels, flagged).tolist() == pytest.approx([1 / 3] * 3 + [0, 0, 1, 0])


def test_division_differences_against_the_definition():
    model = MlpModel((1, 2, 3), 4, (5,))
    params = model.init(np.random.default_rng(0))
    updates = torch.from_numpy(np.random.default_rng(1).normal(size=(3, model.n_params))).float()
    updates[1] = 0
    found = division_differences(model, params, updates, 3000, np.random.default_rng(2))
    generator = torch_generator(np.random.default_rng(2))
    images = torch.cat([torch.rand((count, 1, 2, 3), generator=generator) for count in (2048, 952)])
    usual = model.apply(params, images).double().softmax(1)
    for update, row in zip(updates, found):
        ratios = model.apply(params + update, images).double().softmax(1) / usual
        assert row.tolist() == pytest.approx(ratios.mean(0).tolist(), rel=1e-4)
    assert found[1].tolist() == pytest.approx([1] * 4)


def test_broken_models_have_finite_differences():
    model = MlpModel((1, 2, 2), 3, (4,))
    updates = torch.full((2, model.n_params), 1e30)
    updates[1] *= -1
    found = division_differences(model, torch.zeros(model.n_params), updates, 50, np.random.default_rng(0))
    assert found.isfinite().all()


def test_clusters():
    points = np.array([[0.0], [0.1], [0.2], [5.0], [5.1], [5.2], [100.0]])
    labels = density_clusters(points, metric="euclidean", min_cluster_size=3, neighbours=1)
    assert labels[0] == labels[1] == labels[2] != labels[3] == labels[4] == labels[5]
    assert labels[6] == -1
    assert density_clusters(points[:1], metric="euclidean", min_cluster_size=3).tolist() == [-1]
    alone = density_clusters(np.zeros((1, 1)), metric="precomputed", min_cluster_size=3, single=True)
    assert alone.tolist() == [0]


MODEL = MlpModel((1, 3, 3), 6, (8,))


def federation(n_malicious, n=16, seed=0):
    """Honest updates touch all classes alike; malicious ones train one class, all in the same way."""
    rng = np.random.default_rng(seed)
    common = rng.normal(size=MODEL.n_params)
    updates = torch.from_numpy(0.3 * rng.normal(size=(n, MODEL.n_params)) + common).float()
    for i in range(n_malicious):
        parts = MODEL.split(updates[i])
        parts[-2][1:] = 0
        parts[-1][1:] = 0
        parts[-2][0] = 3 + 0.01 * torch.arange(8) + 0.001 * i
        parts[-1][0] = 3
    return updates


def asked(aggregate, rows, text="deepsight(samples=200)"):
    return aggregate(text, rows, model=MODEL, params=0.1 * torch.ones(MODEL.n_params))


@pytest.mark.parametrize("noise", ["apart", "together"])
def test_a_cluster_of_flagged_clients_is_rejected(aggregate, noise):
    outcome = asked(aggregate, federation(6), f"deepsight(samples=200, noise_points={noise})")
    assert outcome.rejected.tolist() == [True] * 6 + [False] * 10
    assert outcome.scores[:6].tolist() == [1] * 6


def test_of_few_scattered_clients_most_are_noise_and_the_two_ports_differ(aggregate):
    # Nobody resembles anybody, so that each clustering calls everybody noise.
    rows = torch.from_numpy(np.random.default_rng(5).normal(size=(6, MODEL.n_params))).float()
    found = {
        text: asked(aggregate, rows, f"deepsight(samples=50, {text})").scores.unique().tolist()
        for text in (
            "single=true",
            "single=false",
            "single=true, noise_points=apart",
            "single=false, noise_points=apart",
        )
    }
    one_cluster = found["single=true, noise_points=apart"]
    assert len(one_cluster) == 1  # everybody shares one share of flagged clients
    assert found["single=false, noise_points=apart"] in ([0], [1], [0, 1])  # everybody alone


def test_the_clip_is_the_median_of_all_norms(aggregate):
    rows = federation(6)
    outcome = asked(aggregate, rows)
    norms = np.linalg.norm(rows.double().numpy(), axis=1)
    limit = np.median(norms)
    expected = sum(rows[i].double().numpy() * min(1, limit / norms[i]) for i in range(6, 16)) / 10
    np.testing.assert_allclose(outcome.aggregate, expected, rtol=1e-4, atol=1e-5)


def test_all_honest(aggregate):
    outcome = asked(aggregate, federation(0))
    assert not outcome.rejected.any()


@pytest.mark.parametrize("n", [1, 2, 3, 9])
def test_clients_who_agree(aggregate, n):
    row = federation(0)[0]
    outcome = asked(aggregate, row.repeat(n, 1))
    assert outcome.selected.all()
    torch.testing.assert_close(outcome.aggregate, row, rtol=1e-4, atol=1e-5)


def test_the_order_of_clients_does_not_matter(aggregate):
    rows = federation(5, seed=3)
    order = torch.from_numpy(np.random.default_rng(0).permutation(16))
    assert torch.equal(asked(aggregate, rows[order]).rejected, asked(aggregate, rows).rejected[order])


def test_everybody_flagged_cannot_be():
    # At least half of the clients are at or above the median number of exceedings.
    energies = torch.eye(4)[torch.zeros(7, dtype=torch.long)]
    counts = threshold_exceedings(energies)
    assert counts.tolist() == [1] * 7
    assert not (counts <= counts.median() / 2).any()


def test_networks_without_a_linear_end_are_refused():
    assert DeepSight().refuses(MODEL) is None
    odd = MlpModel((1, 1, 2), 3)
    odd.layer_shapes = (("a.weight", (3, 2)), ("a.scale", (4,)))
    assert "linear layer" in DeepSight().refuses(odd)
