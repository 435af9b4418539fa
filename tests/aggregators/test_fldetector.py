import numpy as np
import pytest
import torch

from robustbench_fl.aggregators._gap import high_group
from robustbench_fl.aggregators._hessian import hessian_product
from robustbench_fl.aggregators.fldetector import FLDetector
from robustbench_fl.api import Need, ServerSpec, ServerView


def dense_bfgs(steps, changes):
    sigma = changes[-1] @ steps[-1] / (steps[-1] @ steps[-1])
    matrix = sigma * np.eye(len(steps[0]))
    for s, y in zip(steps, changes):
        product = matrix @ s
        matrix = matrix - np.outer(product, product) / (s @ product) + np.outer(y, y) / (y @ s)
    return matrix


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("pairs", [1, 2, 6])
def test_hessian_against_dense_bfgs(pairs, sign):
    rng = np.random.default_rng(pairs)
    root = rng.standard_normal((20, 20))
    curvature = sign * (root @ root.T + np.eye(20))
    steps = list(rng.standard_normal((pairs, 20)))
    changes = [curvature @ s for s in steps]
    v = rng.standard_normal(20)
    found = hessian_product([*map(torch.tensor, steps)], [*map(torch.tensor, changes)], torch.tensor(v))
    np.testing.assert_allclose(found, dense_bfgs(steps, changes) @ v, rtol=1e-7, atol=1e-7)


def test_the_secant_equation_by_hand():
    s, y = torch.tensor([3.0, 4.0]), torch.tensor([6.0, 0.0])
    assert hessian_product([s], [y], s).tolist() == pytest.approx([6, 0])
    # σ = 18/25. Orthogonal to s and y it acts as σ.
    s, y = torch.tensor([3.0, 4.0, 0.0]), torch.tensor([6.0, 0.0, 0.0])
    v = torch.tensor([0.0, 0.0, 25.0])
    assert hessian_product([s], [y], v).tolist() == pytest.approx([0, 0, 18])


def test_steps_that_repeat_are_borne():
    s, y = torch.tensor([1.0, 0.0]), torch.tensor([2.0, 0.0])
    assert hessian_product([s, s, s], [y, y, y], s).tolist() == pytest.approx([2, 0])


def test_gap_by_hand():
    rng = np.random.default_rng
    high = high_group(np.array([0.1, 0.0, 5.0, 0.05, 5.1]), rng(0))
    assert high.tolist() == [False, False, True, False, True]
    assert not high_group(np.full(6, 0.3), rng(0)).any()
    assert not high_group(np.full(6, 0.3) * (1 + 1e-12 * np.arange(6)), rng(0)).any()
    assert not high_group(np.array([0.0, 1.0]), rng(0)).any()
    assert not high_group(np.linspace(0, 1, 20), rng(0)).any()


def slow_inertia(values, k):
    ordered = np.sort(values)
    if k == 1:
        return ((ordered - ordered.mean()) ** 2).sum()
    return min(
        sum(((part - part.mean()) ** 2).sum() for part in np.split(ordered, [cut]))
        for cut in range(1, len(ordered))
    )


@pytest.mark.parametrize("seed", range(20))
def test_gap_against_a_slow_reference(seed):
    rng = np.random.default_rng(seed)
    values = np.concatenate([rng.normal(0, 1, 9), rng.normal(rng.uniform(0, 6), 1, 5)])
    scaled = (values - values.min()) / (values.max() - values.min())
    references = np.random.default_rng(100 + seed).uniform(size=(10, 14))
    gap, error = {}, {}
    for k in (1, 2):
        logs = [np.log(slow_inertia(row, k)) for row in references]
        gap[k] = np.mean(logs) - np.log(slow_inertia(scaled, k))
        error[k] = np.std(logs) * np.sqrt(1 + 1 / 10)
    grouped = gap[1] < gap[2] - error[2]
    found = high_group(values, np.random.default_rng(100 + seed))
    assert found.any() == grouped
    if grouped:
        ordered = np.sort(scaled)
        cuts = [
            ((ordered[:c] - ordered[:c].mean()) ** 2).sum() + ((ordered[c:] - ordered[c:].mean()) ** 2).sum()
            for c in range(1, 14)
        ]
        assert found.sum() == 14 - (1 + int(np.argmin(cuts)))


class World:
    """Clients whose update is −0.5 (w − c_i) on a line; the last ones send anything."""

    def __init__(self, rule, n=5, liars=1):
        self.rule, self.n, self.liars = rule, n, liars
        self.state = rule.init_state(ServerSpec(n_clients=n, n_params=1, layer_shapes=()))
        self.params, self.last, self.round = torch.tensor([10.0]), None, 0
        self.lies = np.random.default_rng(7)
        self.gated = {}

    def play(self, clients=None):
        clients = tuple(range(self.n)) if clients is None else clients
        rows = [
            -0.5 * (self.params - float(c)) if c < self.n - self.liars else torch.tensor([self.lies.normal()])
            for c in clients
        ]
        view = ServerView(
            self.rule.needs,
            round=self.round,
            rng=np.random.default_rng(self.round),
            layer_shapes=(),
            client_ids=clients,
            last_step=self.last,
            params=self.params,
            **self.gated,
        )
        outcome, self.state = self.rule.aggregate(torch.stack(rows), view, self.state)
        self.last = outcome.aggregate
        self.params = self.params + self.last
        self.round += 1
        return outcome


def test_the_first_prediction_is_made_in_the_third_round():
    # Beside clients without lies the Hessian is −0.5 exactly, so honest clients are at distance 0.
    world = World(FLDetector(inner="mean", start=100, window=2), liars=0)
    for _ in range(2):
        assert world.play().scores.tolist() == [0] * 5
    assert world.state.distances == {}
    world.n, world.liars = 5, 1
    outcome = world.play()
    assert outcome.scores.tolist() == pytest.approx([0, 0, 0, 0, 1], abs=1e-5)
    assert not outcome.rejected.any()


def test_removed_for_good():
    rule = FLDetector(inner="mean", start=4, window=2)
    world = World(rule, liars=0)
    world.play()
    world.play()
    world.liars = 1
    for _ in range(2):
        assert not world.play().rejected.any()
    outcome = world.play()
    assert outcome.rejected.tolist() == [False] * 4 + [True]
    assert outcome.weights.tolist() == [0.25] * 4 + [0]
    assert outcome.scores.tolist()[4] == 2
    assert world.state.removed == {4: 4}
    assert 4 not in world.state.updates
    world.liars = 0  # it repents, in vain
    assert world.play((4, 1, 2)).rejected.tolist() == [True, False, False]
    assert world.play((4,)).aggregate.tolist() == [0]


def test_no_removal_before_the_start_nor_before_the_window_is_full():
    world = World(FLDetector(inner="mean", start=0, window=3), liars=0)
    world.play()
    world.play()
    world.liars = 1
    found = [bool(world.play().rejected.any()) for _ in range(3)]
    assert found == [False, False, True]


def test_all_honest_nobody_is_removed():
    world = World(FLDetector(inner="mean", start=3, window=1), n=8, liars=0)
    assert not any(bool(world.play().rejected.any()) for _ in range(8))


def test_the_prediction_spans_missed_rounds():
    world = World(FLDetector(inner="mean", start=100, window=3), liars=0)
    world.play()
    world.play()
    world.play((0, 1, 2))
    world.play((1, 0))
    world.play()
    # All updates are linear in w, so every prediction is right, however long ago the last one was.
    world.liars = 1
    outcome = world.play((3, 2, 4))
    assert outcome.scores[:2].max() < 0.4
    rounds = world.state.last_round
    assert rounds == {0: 4, 1: 4, 2: 5, 3: 5, 4: 5}
    assert set(world.state.positions) == {4, 5}
    moved = world.state.positions[5] - world.state.positions[4]
    assert moved.item() == pytest.approx(
        world.params.item() - world.last.item() - (10 + world.state.positions[4].item()), abs=1e-5
    )


def test_distances_against_the_definition_after_absence():
    world = World(FLDetector(inner="mean", start=100, window=4), liars=0)
    for clients in (None, None, (0, 1, 2), (0, 1)):
        world.play(clients)
    before = world.state
    world.liars = 2
    world.play((2, 3, 4))
    hessian = [float(c / s) for s, c in zip(before.steps, before.changes)]
    assert hessian == pytest.approx([hessian[0]] * len(hessian), abs=1.0)
    now = world.state.positions[4]
    lengths = {}
    for client in (2, 3, 4):
        moved = now - before.positions[before.last_round[client]]
        predicted = before.updates[client] + hessian_product(before.steps, before.changes, moved)
        lengths[client] = float((predicted - world.state.updates[client]).norm())
    total = sum(lengths.values())
    for client, length in lengths.items():
        assert world.state.distances[client][-1].item() == pytest.approx(length / total)


def test_restart_goes_back_to_the_first_parameters():
    world = World(FLDetector(inner="mean", start=4, window=2, restart=True), liars=0)
    world.play()
    world.play()
    world.liars = 1
    world.play()
    world.play()
    outcome = world.play()
    assert outcome.rejected.tolist() == [False] * 4 + [True]
    assert world.params.tolist() == pytest.approx([10])
    assert world.state.removed == {4: 4}
    assert world.state.steps == ()
    assert world.state.distances == {}
    assert world.play().rejected.tolist() == [False] * 4 + [True]


def test_a_checkpoint_carries_everything():
    rule = FLDetector(inner="mean", start=2, window=2, restart=True)
    world = World(rule, liars=1)
    for clients in (None, (0, 2, 4), None, (1, 2, 3, 4)):
        world.play(clients)
    fresh = rule.init_state(ServerSpec(n_clients=5, n_params=1, layer_shapes=()))
    loaded = fresh.from_tensors({name: t.clone() for name, t in world.state.to_tensors().items()})
    assert loaded.last_round == world.state.last_round
    assert loaded.removed == world.state.removed
    assert len(loaded.steps) == len(world.state.steps)
    for client, row in world.state.updates.items():
        assert torch.equal(loaded.updates[client], row)


def test_huge_rows_stay_finite():
    rule = FLDetector(inner="mean", start=2, window=1)
    state, last = rule.init_state(ServerSpec(n_clients=4, n_params=3, layer_shapes=())), None
    for round in range(5):
        rows = torch.ones(4, 3) * (1 + torch.arange(4.0)[:, None]) / (round + 1)
        rows[0] = 1e30 * (-1) ** round
        view = ServerView(
            rule.needs,
            round=round,
            rng=np.random.default_rng(round),
            layer_shapes=(),
            client_ids=(0, 1, 2, 3),
            last_step=last,
        )
        outcome, state = rule.aggregate(rows, view, state)
        last = outcome.aggregate
        assert last.isfinite().all()
        assert outcome.scores.isfinite().all()
    assert outcome.rejected.tolist() == [True, False, False, False]


def test_after_the_first_detection_nobody_else_is_removed():
    counts = {}
    for detections in (1, 2, None):
        world = World(FLDetector(start=4, window=2, detections=detections), n=7, liars=0)
        world.play()
        world.play()
        world.liars = 1
        for _ in range(3):
            world.play()
        world.liars = 3  # two more begin to lie, after the first is gone
        world.play()
        world.play()
        counts[detections] = len(world.state.removed), world.state.n_detections
    assert counts == {1: (1, 1), 2: (3, 2), None: (3, 2)}


def test_those_who_are_left_are_aggregated_by_the_inner_rule():
    outcomes = {}
    for inner in ("median", "mean", "trimmed_mean"):
        world = World(FLDetector(start=4, window=2, inner=inner), liars=0)
        world.gated = {"f": 1}
        for round in range(5):
            world.liars = int(round > 1)
            before = world.params
            outcome = world.play()
        assert outcome.rejected.tolist() == [False] * 4 + [True]
        rows = -0.5 * (before - torch.arange(4.0))
        # The one that is gone was the one assumed malicious, so nothing is trimmed.
        assert outcome.aggregate.item() == pytest.approx(rows.mean().item(), abs=1e-6)
        outcomes[inner] = outcome
    assert outcomes["median"].weights is None
    assert outcomes["mean"].weights.tolist() == [0.25] * 4 + [0]
    assert outcomes["median"].selected.tolist() == [True] * 4 + [False]


def test_what_the_inner_rule_needs():
    assert FLDetector(inner="trimmed_mean").needs == FLDetector().needs | {Need.F}
    assert "krum: " in FLDetector(inner="krum").infeasible(5, 2)
    assert FLDetector(inner="krum").infeasible(7, 2) is None
    for inner, said in (
        ("centered_clipping", "history"),
        ("fltrust", "root_data"),
        ("oracle_mean", "baseline"),
    ):
        with pytest.raises(ValueError, match=said):
            FLDetector(inner=inner)
