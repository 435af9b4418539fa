import numpy as np
import pytest
import torch
from sklearn.cluster import MeanShift, estimate_bandwidth

from robustbench_fl.aggregators.signguard import (
    SignGuard,
    distance_feature,
    signguard,
    similarity_feature,
    usual_signs,
)
from robustbench_fl.api import Need, ServerSpec, ServerView
from robustbench_fl.api.build import make
from robustbench_fl.api.params import resolved
from robustbench_fl.core.errors import UsageError

ONES = torch.ones(10)


def test_by_hand(aggregate):
    rows = torch.stack([ONES, ONES, ONES, -ONES, 100 * ONES])
    outcome = aggregate("signguard(share=1)", rows)
    assert outcome.rejected.tolist() == [False, False, False, True, True]
    assert outcome.selected.tolist() == [True, True, True, False, False]
    assert outcome.aggregate.tolist() == pytest.approx([1] * 10)


def test_the_kept_are_clipped_to_the_median_norm_of_all(aggregate):
    # Norms 1, 1, 4, 5, 100 in units of ONES: the median is 4, the last is out, the fourth clipped.
    rows = torch.stack([c * ONES for c in (1.0, 1.0, 4.0, 5.0, 100.0)])
    outcome = aggregate("signguard", rows)
    assert outcome.rejected.tolist() == [False, False, False, False, True]
    assert outcome.aggregate.tolist() == pytest.approx([(1 + 1 + 4 + 4) / 4] * 10)
    assert outcome.weights.tolist() == pytest.approx([0.25, 0.25, 0.25, 0.2, 0])


def test_the_bounds_are_excluded(aggregate):
    rows = torch.stack([c * torch.eye(4)[0] for c in (1.0, 1.0, 1.0, 3.0, 0.125)])
    outcome = aggregate("signguard(lower=0.125)", rows)
    assert outcome.rejected.tolist() == [False, False, False, True, True]


def test_nobody_left_keeps_the_model(aggregate):
    outcome = aggregate("signguard", torch.zeros(4, 6))
    assert outcome.aggregate.tolist() == [0] * 6
    assert outcome.rejected.all()
    # Half of the clients at length 1, half at 1000: the median is between, and nobody near it.
    outcome = aggregate("signguard", torch.stack([ONES, ONES, 1000 * ONES, 1000 * ONES]) * 1.0)
    assert outcome.rejected.tolist() == [True, True, False, False]
    tight = aggregate("signguard(lower=0.9, upper=1.1)", torch.stack([ONES, ONES, 9 * ONES, 9 * ONES]))
    assert tight.aggregate.tolist() == [0] * 10
    assert tight.rejected.all()


def slow(rows, start, length, lower=0.1, upper=3.0):
    norms = np.array([np.sqrt(sum(float(x) ** 2 for x in row)) for row in rows])
    median = np.median(norms)
    features = []
    for row in rows:
        part = row[start : start + length]
        features.append([sum(x > 0 for x in part), sum(x == 0 for x in part), sum(x < 0 for x in part)])
    # Shares of the slice divided by the largest are counts divided by the largest; in whole numbers,
    # since clients at exactly one bandwidth are in or out by the last digit.
    features = np.array(features, float)
    for j in range(3):
        if features[:, j].max() > 0:
            features[:, j] /= features[:, j].max()
    labels = (
        MeanShift(
            bandwidth=estimate_bandwidth(features, quantile=0.5),
            bin_seeding=True,
            cluster_all=False,
        )
        .fit(features)
        .labels_
    )
    sizes = [(labels == label).sum() for label in range(labels.max() + 1)]
    kept = (lower * median < norms) & (norms < upper * median) & (labels == int(np.argmax(sizes)))
    return sum(rows[i] * min(1, median / norms[i]) for i in np.flatnonzero(kept)) / kept.sum(), kept


@pytest.mark.parametrize("seed", range(5))
def test_against_a_slow_reference(seed):
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((12, 200)) + 0.2
    rows[:4] = rng.standard_normal((4, 200)) - 1
    rows[4] *= 20
    start = int(np.random.default_rng(seed).integers(200 - 20 + 1))
    expected, kept = slow(rows.astype(np.float32), start, 20)
    found = signguard(torch.from_numpy(rows).float(), np.random.default_rng(seed))
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5, atol=1e-6)
    assert not kept[4]


def test_flipped_signs_are_found_in_the_minority(aggregate):
    rng = np.random.default_rng(0)
    rows = torch.from_numpy(rng.standard_normal((10, 1000)) + 1).float()
    rows[:3] *= -1
    assert aggregate("signguard", rows).rejected.tolist() == [True] * 3 + [False] * 7


def test_the_slice_is_drawn_from_the_servers_stream():
    rows = torch.ones(5, 100)
    rows[:2, :50] = -1
    draws = {tuple(usual_signs(rows, np.random.default_rng(seed)).tolist()) for seed in range(20)}
    assert draws == {(True,) * 5, (False, False, True, True, True)}


def test_huge_rows(aggregate):
    rows = torch.ones(7, 50)
    rows[0] = 1e30
    rows[1] = -1e30
    assert aggregate("signguard", rows).aggregate.tolist() == pytest.approx([1] * 50)


def test_one_client_is_believed(aggregate):
    row = torch.linspace(-1, 2, 7)
    torch.testing.assert_close(aggregate("signguard", row[None]).aggregate, row)


def test_bounds_in_the_wrong_order():
    with pytest.raises(UsageError, match="lower must be below upper"):
        make("aggregators", "signguard(lower=2, upper=1)")
    assert SignGuard().detector


LINE = torch.tensor([[1.0, 0.0], [0.0, 2.0], [3.0, 3.0], [-1.0, 0.0]])


def test_the_similarity_by_hand():
    # Cosines with (1, 0): 1, 0, 0.71, −1; the lower median is 0.
    assert similarity_feature(LINE, torch.tensor([1.0, 0.0])).tolist() == pytest.approx([0.2] * 4)
    # With (1, 1): 0.71, 0.71, 1, −0.71; the median is 0.71, above it is cut, and a fifth of it taken.
    assert similarity_feature(LINE, torch.tensor([1.0, 1.0])).tolist() == pytest.approx([0.2, 0.2, 0.2, 0])
    # Among three: cosines 0 (itself), 1, 0.5 and so on; medians 0.5, 0.5, 0.5.
    third = torch.tensor([0.5, 0.75**0.5])
    rows = torch.stack([torch.tensor([1.0, 0.0]), torch.tensor([2.0, 0.0]), third])
    assert similarity_feature(rows, None).tolist() == pytest.approx([0.2] * 3)


def test_the_distance_by_hand():
    # From (1, 0): 0, √5, √13, 2; the lower median is 2, and √5 = 2.236 is 1.1 times it or more.
    assert distance_feature(LINE, torch.tensor([1.0, 0.0])).tolist() == pytest.approx([0, 0.2, 0.2, 0])
    # On a line 0, 1, 3, 7 with the two smallest each, itself included: 1, 1, 2, 4.
    line = torch.tensor([[0.0], [1.0], [3.0], [7.0]])
    assert distance_feature(line, None).tolist() == pytest.approx([0, 0, 0.2, 0.2])


@pytest.mark.parametrize("variant", ["sim", "dist"])
def test_the_last_aggregate_is_remembered(variant):
    rule = SignGuard(variant=variant, share=1.0)
    assert rule.needs == {Need.HISTORY}
    state = rule.init_state(ServerSpec(n_clients=10, n_params=1000, layer_shapes=()))
    rng = np.random.default_rng(0)
    for round in range(5):
        rows = torch.from_numpy(rng.standard_normal((10, 1000)) + 1).float()
        rows[:3] *= -1
        view = ServerView(rule.needs, round=round, rng=np.random.default_rng(round), layer_shapes=())
        outcome, state = rule.aggregate(rows, view, state)
        assert outcome.rejected[:3].all()
        assert outcome.selected.any()
        assert torch.equal(state.point, outcome.aggregate)


def test_the_plain_form_has_no_memory():
    assert SignGuard().needs == frozenset()
    assert SignGuard().init_state(ServerSpec(n_clients=3, n_params=2, layer_shapes=())) is None


def test_cells_of_the_plain_form_keep_their_keys():
    assert resolved(SignGuard()) == {"lower": 0.1, "upper": 3.0, "share": 0.1}
    assert resolved(SignGuard(variant="sim"))["variant"] == "sim"
