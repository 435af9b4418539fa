import numpy as np
import pytest
import torch

from robustbench_fl.aggregators.sequential_centered_clipping import (
    SequentialCenteredClipping,
    sequential_centered_clipping,
    stratified_groups,
)
from robustbench_fl.api import ServerSpec, ServerView


class Order:
    """Permutations that leave everything where it is."""

    def permutation(self, n):
        return np.arange(n)


def test_by_hand():
    # Groups of two in the order of the norms: (1, 3), then (6, 100). τ = 2 around 0: moved by (1 + 2)/2;
    # around 1.5 by 2 and 2.
    rows = torch.tensor([[1.0], [3.0], [6.0], [100.0]])
    found = sequential_centered_clipping(rows, torch.zeros(1), Order(), tau=2.0, bucket=2)
    assert found.tolist() == [3.5]
    # The bucketed form: the means 2 and 53 are clipped, to 2 and 2 + 2.
    found = sequential_centered_clipping(rows, torch.zeros(1), Order(), tau=2.0, bucket=2, average=True)
    assert found.tolist() == [4]


def test_groups_by_hand():
    # Sorted: clients 3, 1, 4, 0, 2. Two strata (3, 1, 4) and (0, 2); three groups.
    cosines = torch.tensor([0.5, -0.2, 0.9, -1.0, 0.1])
    assert stratified_groups(cosines, 2, Order()) == [[3, 0], [1, 2], [4]]
    drawn = stratified_groups(cosines, 2, np.random.default_rng(0))
    assert sorted(client for group in drawn for client in group) == list(range(5))
    assert all(len({client in (3, 1, 4) for client in group}) == len(group) for group in drawn)


def slow(rows, centre, groups, tau, average):
    for group in groups:
        members = rows[group].mean(0, keepdims=True) if average else rows[group]
        moves = [(row - centre) * min(1, tau / np.linalg.norm(row - centre)) for row in members]
        centre = centre + np.mean(moves, axis=0)
    return centre


@pytest.mark.parametrize("average", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_against_a_slow_reference(seed, average):
    rng = np.random.default_rng(seed)
    rows = (rng.standard_normal((11, 40)) + 1).astype(np.float32)
    rows[0] *= 50
    centre = rng.standard_normal(40).astype(np.float32)
    lengths = np.linalg.norm(rows - centre, axis=1)
    cosines = torch.from_numpy(rows @ centre / np.linalg.norm(rows, axis=1))
    groups = stratified_groups(cosines, 3, np.random.default_rng(seed))
    found = sequential_centered_clipping(
        torch.from_numpy(rows), torch.from_numpy(centre), np.random.default_rng(seed), average=average
    )
    expected = slow(rows.astype(float), centre.astype(float), groups, np.median(lengths), average)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("average", [False, True])
def test_weights_and_memory(average):
    rule = SequentialCenteredClipping(average=average)
    state = rule.init_state(ServerSpec(n_clients=7, n_params=20, layer_shapes=()))
    rng = np.random.default_rng(0)
    for round in range(3):
        rows = torch.from_numpy(rng.standard_normal((7, 20))).float()
        view = ServerView(rule.needs, round=round, rng=np.random.default_rng(round), layer_shapes=())
        before = state.point
        outcome, state = rule.aggregate(rows, view, state)
        mixed = outcome.weights @ rows + (1 - outcome.weights.sum()) * before
        torch.testing.assert_close(outcome.aggregate, mixed, rtol=1e-4, atol=1e-5)
        assert torch.equal(state.point, outcome.aggregate)


def test_one_huge_row_moves_it_by_tau_at_most(aggregate):
    rows = torch.zeros(9, 10)
    rows[3] = 1e30
    outcome = aggregate("sequential_centered_clipping(tau=1)", rows)
    assert outcome.aggregate.norm() <= 1 / 3 + 1e-5
