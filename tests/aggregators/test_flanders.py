from itertools import pairwise

import numpy as np
import pytest
import torch

from robustbench_fl.aggregators.flanders import Flanders, forecast
from robustbench_fl.api import Need, ServerSpec, ServerView


def test_a_single_matrix_is_its_own_forecast():
    last = np.array([[1.0, 2.0], [3.0, 4.0]])
    assert forecast(last[None]).tolist() == last.tolist()


def test_a_linear_series_is_forecast():
    rng = np.random.default_rng(0)
    a, b = np.eye(3) + 0.1 * rng.standard_normal((3, 3)), np.eye(4) + 0.1 * rng.standard_normal((4, 4))
    series = [rng.standard_normal((3, 4))]
    for _ in range(8):
        series.append(a @ series[-1] @ b.T)
    found = forecast(np.array(series[:-1]), alpha=1e-9, beta=1e-9, iterations=500)
    np.testing.assert_allclose(found, series[-1], atol=0.02)


def dense(series, alpha, beta, iterations):
    """The same with every normal equation written out, as the paper has them."""
    m, s = series[0].shape
    b = np.eye(s)
    for _ in range(iterations):
        left, right = np.zeros((m, m)), alpha * np.eye(m)
        for x, y in pairwise(series):
            left += y @ b @ x.T
            right += x @ b.T @ b @ x.T
        a = left @ np.linalg.inv(right)
        left, right = np.zeros((s, s)), beta * np.eye(s)
        for x, y in pairwise(series):
            left += y.T @ a @ x
            right += x.T @ a.T @ a @ x
        b = left @ np.linalg.inv(right)
    return a @ series[-1] @ b.T


@pytest.mark.parametrize("t", [2, 5])
def test_against_dense_least_squares(t):
    series = np.random.default_rng(t).standard_normal((t, 4, 6))
    found = forecast(series, alpha=0.5, beta=2.0, iterations=3)
    np.testing.assert_allclose(found, dense(series, 0.5, 2.0, 3), rtol=1e-6, atol=1e-8)


class World:
    """Clients whose models move evenly; the last one jumps about."""

    def __init__(self, rule, n=6):
        self.rule, self.n, self.round = rule, n, 0
        self.state = rule.init_state(ServerSpec(n_clients=n, n_params=30, layer_shapes=()))
        self.params = torch.ones(30)
        self.rng = np.random.default_rng(0)

    def play(self, clients=None, f=1):
        clients = tuple(range(self.n)) if clients is None else clients
        rows = torch.stack(
            [
                0.05 * (1 + torch.linspace(0, c / 10, 30))
                if c < self.n - 1
                else torch.from_numpy(self.rng.standard_normal(30)).float()
                for c in clients
            ]
        )
        view = ServerView(
            self.rule.needs,
            round=self.round,
            rng=np.random.default_rng(self.round),
            layer_shapes=(),
            client_ids=clients,
            params=self.params,
            model=None,
            last_step=None,
            f=f,
        )
        outcome, self.state = self.rule.aggregate(rows, view, self.state)
        self.params = self.params + 0.05
        self.round += 1
        return outcome


def test_the_one_that_jumps_is_left_out():
    world = World(Flanders(sampling=20, window=4))
    assert world.play().selected.all()
    for _ in range(5):
        outcome = world.play()
        assert outcome.selected.tolist() == [True] * 5 + [False]
        assert outcome.rejected is None
    assert {len(rows) for rows in world.state.models.values()} == {4}
    assert world.state.columns.tolist() == sorted(set(world.state.columns.tolist()))


def test_who_was_never_there_is_not_judged():
    world = World(Flanders(sampling=20, window=4))
    world.play((0, 1, 2))
    outcome = world.play((5, 2, 0, 1))
    assert outcome.scores[0] == 0
    assert outcome.selected[0]


def test_where_fewer_than_f_are_judged_the_others_are_not_left_out_in_their_place():
    world = World(Flanders(sampling=20, window=4))
    world.play((0,), f=0)
    outcome = world.play((0, 1, 2, 3, 4), f=2)
    assert outcome.selected.tolist() == [False, True, True, True, True]


def test_a_checkpoint_carries_everything():
    world = World(Flanders(sampling=20, window=3))
    world.play()
    world.play((1, 5, 2))
    fresh = world.rule.init_state(ServerSpec(n_clients=6, n_params=30, layer_shapes=()))
    loaded = fresh.from_tensors({name: t.clone() for name, t in world.state.to_tensors().items()})
    assert torch.equal(loaded.columns, world.state.columns)
    assert all(torch.equal(loaded.models[c], rows) for c, rows in world.state.models.items())


def test_needs_and_feasibility():
    assert Flanders().needs == {Need.F, Need.MODEL, Need.CLIENT_IDS, Need.HISTORY}
    assert "leaves none" in Flanders().infeasible(3, 3)
    assert "krum: " in Flanders(inner="krum").infeasible(6, 2)
