import numpy as np
import pytest
import torch

from robustbench_fl.aggregators._krum import krum_picks
from robustbench_fl.aggregators.krum import krum
from robustbench_fl.aggregators.multi_krum import multi_krum
from robustbench_fl.api.build import make
from robustbench_fl.core.errors import InfeasibleError, UsageError


def slow_scores(rows: torch.Tensor, neighbours: int) -> list[float]:
    values = rows.numpy().astype(np.float64)
    scores = []
    for i, own in enumerate(values):
        others = sorted(((own - other) ** 2).sum() for j, other in enumerate(values) if j != i)
        scores.append(sum(others[:neighbours]))
    return scores


def random_rows(n: int, d: int, seed: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal((n, d)).astype(np.float32))


def test_scores_and_choice_by_hand(line, aggregate):
    # n = 5, f = 1: two nearest others. 0: 1+9, 1: 1+4, 3: 4+9, 7: 16+36, 20: 169+289.
    outcome = aggregate("krum", line, f=1)
    assert outcome.scores.tolist() == pytest.approx([10, 5, 13, 52, 458])
    assert outcome.aggregate.tolist() == [1]
    assert outcome.selected.tolist() == [False, True, False, False, False]
    assert outcome.weights.tolist() == [0, 1, 0, 0, 0]
    assert outcome.rejected is None


def test_one_neighbour_more_chooses_another(line, aggregate):
    # Three nearest others. 0: 59, 1: 41, 3: 4+9+16 = 29, 7: 101.
    outcome = aggregate("krum(neighbours=n-f-1)", line, f=1)
    assert outcome.scores.tolist()[:4] == pytest.approx([59, 41, 29, 101])
    assert outcome.aggregate.tolist() == [3]
    assert krum(line, 1, neighbours="n-f-1").tolist() == [3]


@pytest.mark.parametrize("seed", range(10))
def test_against_sorting_all_pairs(seed, aggregate):
    rows = random_rows(11, 300, seed)
    outcome = aggregate("krum", rows, f=3)
    expected = slow_scores(rows, 6)
    np.testing.assert_allclose(outcome.scores.numpy(), expected, rtol=1e-6)
    assert torch.equal(outcome.aggregate, rows[int(np.argmin(expected))])


@pytest.mark.parametrize("seed", range(10))
def test_clients_that_differ_by_a_thousandth_of_their_common_part(seed):
    common = 50 * random_rows(1, 10_000, 100 + seed)
    rows = common + 0.05 * random_rows(20, 10_000, seed)
    expected = int(np.argmin(slow_scores(rows, 20 - 4 - 2)))
    assert torch.equal(krum(rows, 4), rows[expected])


def test_a_client_is_not_its_own_neighbour_and_equals_are():
    # Three equal clients: with one neighbour each of them scores 0, the others 1 or more.
    rows = torch.tensor([[5.0], [0.0], [9.0], [0.0], [10.0]])
    assert krum(rows, 2).tolist() == [0]


def test_infeasible_with_numbers():
    rule = make("aggregators", "krum")
    assert rule.infeasible(11, 4) is None
    reason = rule.infeasible(10, 4)
    assert "n >= 2f + 3" in reason
    assert "n = 10, f = 4 asks for 11" in reason
    with pytest.raises(InfeasibleError, match="0 distances"):
        krum(torch.zeros(2, 1), 0)


def test_mean_of_the_lowest_scores_by_hand(line, aggregate):
    assert aggregate("multi_krum", line, f=1).aggregate.item() == pytest.approx(11 / 4)
    outcome = aggregate("multi_krum(k=2)", line, f=1)
    assert outcome.aggregate.item() == pytest.approx(0.5)
    assert outcome.selected.tolist() == [True, True, False, False, False]
    assert outcome.weights.tolist() == [0.5, 0.5, 0, 0, 0]
    assert multi_krum(line, 1, k=3).item() == pytest.approx(4 / 3)


def test_scoring_anew_picks_others(aggregate):
    # n = 6, f = 1, three nearest: 3 scores 29, 1 scores 41. With 3 gone, two nearest count:
    # 0: 50, 1: 37, 7: 36.25, so that 7 is next.
    rows = torch.tensor([[0.0], [1.0], [3.0], [7.0], [7.5], [20.0]])
    assert multi_krum(rows, 1, k=2).item() == 2
    assert multi_krum(rows, 1, k=2, iterative=True).item() == 5
    outcome = aggregate("multi_krum(k=2, iterative=true)", rows, f=1)
    assert outcome.selected.tolist() == [False, False, True, True, False, False]


def test_picking_everyone_takes_each_once():
    rows = random_rows(9, 4, 0)
    distances = torch.cdist(rows.double(), rows.double()) ** 2
    assert sorted(krum_picks(distances, 2, 9).tolist()) == list(range(9))


def test_as_many_as_there_are_at_most():
    rule = make("aggregators", "multi_krum(k=9)")
    assert "k = 9" in rule.infeasible(8, 1)
    assert "n = 8" in rule.infeasible(8, 1)
    assert rule.infeasible(9, 1) is None


def test_a_choice_that_would_be_ignored_is_refused():
    with pytest.raises(UsageError, match="no effect with iterative"):
        make("aggregators", "multi_krum(iterative=true, neighbours=n-f-1)")


def test_picks_beyond_the_guarantee_reach_equal_malicious_rows():
    # n = 13, f = 3. Up to k = n - 2f - 2 = 5 picks leave 2f + 3 rows to choose from; later ones
    # count fewer neighbours than the malicious are, who are at distance zero from each other.
    rows = torch.cat((torch.full((3, 40), 1e6), random_rows(10, 40, 0)))
    assert multi_krum(rows, 3, k=5, iterative=True).abs().max() < 5
    assert multi_krum(rows, 3, iterative=True).abs().max() > 1e4
