import math

import numpy as np
import pytest
import torch

from robustbench_fl.aggregators.flare import Flare, mean_discrepancies, votes
from robustbench_fl.api import RootData, ServerView
from robustbench_fl.models.zoo.mlp import MlpModel

MODEL = MlpModel((1, 1, 1), 2, (1,))
"""Its penultimate feature is relu(w x + b); all six parameters are zero here."""


def asked(text_rule, rows, images, model=MODEL):
    root = RootData(images=images, labels=torch.zeros(len(images)), train=lambda: None)
    view = ServerView(
        text_rule.needs,
        round=0,
        rng=np.random.default_rng(0),
        layer_shapes=model.layer_shapes,
        model=model,
        params=torch.zeros(model.n_params),
        root=root,
    )
    return text_rule.aggregate(rows, view, None)[0]


def biased(*biases):
    rows = torch.zeros(len(biases), 6)
    rows[:, 1] = torch.tensor(biases)
    return rows


def test_discrepancies_by_hand():
    found = mean_discrepancies(torch.tensor([[[0.0]], [[1.0]], [[3.0]]]), sigma=1.0)
    assert found[0].tolist() == pytest.approx([0, 2 - 2 * math.exp(-0.5), 2 - 2 * math.exp(-4.5)])
    wide = mean_discrepancies(torch.tensor([[[0.0]], [[1.0]]]), sigma=2.0)
    assert wide[0, 1].item() == pytest.approx(2 - 2 * math.exp(-1 / 8))
    # Eight features: σ is √(8/2) = 2, and the squared distance is 8.
    usual = mean_discrepancies(torch.stack([torch.zeros(1, 8), torch.ones(1, 8)]))
    assert usual[0, 1].item() == pytest.approx(2 - 2 * math.exp(-1))
    # Inputs 0, 1 and 0, 3: within pairs k(0, 1) and k(0, 3); across 1, k(0, 3), k(1, 0), k(1, 3).
    two = mean_discrepancies(torch.tensor([[[0.0], [1.0]], [[0.0], [3.0]]]), sigma=1.0)
    k1, k2, k3 = math.exp(-0.5), math.exp(-2), math.exp(-4.5)
    assert two[0, 1].item() == pytest.approx(k1 + k3 - (1 + k3 + k1 + k2) / 2)


def test_votes_by_hand(aggregate):
    # Of three, each votes for its nearest other: 0 → 1, 1 → 0, 3 → 1.
    found = votes(mean_discrepancies(torch.tensor([[[0.0]], [[1.0]], [[3.0]]])), 1)
    assert found.tolist() == [1, 2, 0]
    outcome = asked(Flare(), biased(0.0, 1.0, 3.0), torch.zeros(1, 1, 1, 1))
    # The mean number of votes is one, so that here the two forms of the softmax agree.
    total = math.e + math.e**2 + 1
    assert outcome.weights.tolist() == pytest.approx([math.e / total, math.e**2 / total, 1 / total])
    assert outcome.aggregate[1].item() == pytest.approx((math.e**2 + 3) / total)
    linear = asked(Flare(trust="linear"), biased(0.0, 1.0, 3.0), torch.zeros(1, 1, 1, 1))
    assert linear.weights.tolist() == pytest.approx([1 / 3, 2 / 3, 0])
    cold = asked(Flare(temperature=0.5), biased(0.0, 1.0, 3.0), torch.zeros(1, 1, 1, 1))
    assert (cold.weights[1] / cold.weights[0]).item() == pytest.approx(math.e**2)


def test_normalised_and_plain_softmax_by_hand():
    # On a line 0, 1, 2.1, 3.3, 4.6 all vote for one other (⌊5/2⌋ − 1) or two.
    rows, images = biased(0.0, 1.0, 2.1, 3.3, 4.6), torch.zeros(1, 1, 1, 1)
    # 0 → 1 → 0, 2.1 → 1, 3.3 → 2.1, 4.6 → 3.3: votes 1, 2, 1, 1, 0 of mean 1; two each have mean 2.
    one = asked(Flare(), rows, images)
    parts = [math.exp(v) for v in (1, 2, 1, 1, 0)]
    assert one.weights.tolist() == pytest.approx([p / sum(parts) for p in parts])
    # 0 → 1, 2.1; 1 → 0, 2.1; 2.1 → 1, 3.3; 3.3 → 2.1, 4.6; 4.6 → 3.3, 2.1: votes 1, 2, 4, 2, 1.
    two = asked(Flare(voters="n/2"), rows, images)
    parts = [math.exp(v / 2) for v in (1, 2, 4, 2, 1)]
    assert two.weights.tolist() == pytest.approx([p / sum(parts) for p in parts])
    plain = asked(Flare(voters="n/2", trust="softmax"), rows, images)
    parts = [math.exp(v) for v in (1, 2, 4, 2, 1)]
    assert plain.weights.tolist() == pytest.approx([p / sum(parts) for p in parts])


def kernel_mean(a, b, *, same=False):
    # The release's kernel: exp(−‖x − y‖² / h), here h = 3.
    values = [
        [math.exp(-((x - y) ** 2).sum() / 3) for j, y in enumerate(b) if not (same and i == j)]
        for i, x in enumerate(a)
    ]
    return np.mean(values)


def test_against_a_slow_reference():
    features = np.random.default_rng(0).standard_normal((5, 4, 3))
    features[3] += 1
    expected = [
        [
            kernel_mean(a, a, same=True) + kernel_mean(b, b, same=True) - 2 * kernel_mean(a, b)
            if i != j
            else 0
            for j, b in enumerate(features)
        ]
        for i, a in enumerate(features)
    ]
    found = mean_discrepancies(torch.from_numpy(features))
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-12)
    nearest = [sorted((j for j in range(5) if j != i), key=lambda j: expected[i][j])[:2] for i in range(5)]
    counts = [sum(j in picks for picks in nearest) for j in range(5)]
    assert votes(found, 2).tolist() == counts


def test_client_models_are_inspected_not_updates():
    model = MlpModel((1, 2, 2), 3, (4,))
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(6, model.n_params, generator=generator)
    images = torch.randn(7, 1, 2, 2, generator=generator)
    features = torch.stack(
        [torch.relu(images.flatten(1) @ model.split(row)[0].T + model.split(row)[1]) for row in rows]
    )
    counts = votes(mean_discrepancies(features), 2)
    expected = (counts / counts.mean()).softmax(0)
    outcome = asked(Flare(), rows, images, model)
    assert outcome.weights.tolist() == pytest.approx(expected.tolist(), rel=1e-5)


def test_a_minority_gets_next_to_nothing():
    rng = np.random.default_rng(0)
    rows = biased(*rng.normal(1, 0.05, 8), *rng.normal(4, 0.05, 4))
    outcome = asked(Flare(trust="softmax"), rows, torch.zeros(3, 1, 1, 1))
    assert outcome.weights[8:].sum() < 0.05
    assert outcome.scores[8:].min() > outcome.scores[:8].min()


def test_nobody_votes_for_broken_models():
    rows = biased(0.0, 0.1, 0.2, torch.inf)
    rows[3, 1] = 3e38
    images = torch.ones(2, 1, 1, 1)
    rows[3, 0] = 3e38
    outcome = asked(Flare(trust="linear"), rows, images)
    assert outcome.weights[3] == 0
    assert outcome.aggregate.isfinite().all()


@pytest.mark.parametrize("trust", ["normalised", "softmax", "linear"])
@pytest.mark.parametrize("n", [1, 2, 5])
def test_clients_who_agree(trust, n):
    row = biased(2.0)[0]
    outcome = asked(Flare(trust=trust), row.repeat(n, 1), torch.zeros(2, 1, 1, 1))
    torch.testing.assert_close(outcome.aggregate, row)


def test_networks_without_a_linear_end_are_refused():
    odd = MlpModel((1, 1, 2), 3)
    odd.layer_shapes = (("a.weight", (3, 2)),)
    assert "linear layer" in Flare().refuses(odd)
    assert Flare().refuses(MODEL) is None
