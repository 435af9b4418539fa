import numpy as np
import pytest
import torch

from robustbench_fl.aggregators import gas as module
from robustbench_fl.aggregators.gas import gas
from robustbench_fl.aggregators.median import median
from robustbench_fl.aggregators.multi_krum import multi_krum
from robustbench_fl.api.build import make
from robustbench_fl.core.errors import InfeasibleError, UsageError


def test_by_hand(line, aggregate):
    # One chunk, distances from the median 3: 3 2 0 4 17.
    outcome = aggregate("gas(inner=median)", line, f=1)
    assert outcome.scores.tolist() == pytest.approx([3, 2, 0, 4, 17])
    assert outcome.aggregate.item() == pytest.approx(11 / 4)
    outcome = aggregate("gas(inner=median)", line, f=2)
    assert outcome.selected.tolist() == [True, True, True, False, False]
    # Multi-Krum of four answers 11/4; 3 is nearest, then 1, 0, 7.
    assert aggregate("gas", line, f=1).scores.tolist() == pytest.approx([2.75, 1.75, 0.25, 4.25, 17.25])


def test_chunks_add_up_their_distances_not_their_squares(aggregate):
    rows = torch.tensor([[3.0, 4.0], [0.0, 0.0], [0.0, 0.0]])
    assert aggregate("gas(inner=median)", rows, f=1).scores[0].item() == pytest.approx(7)
    assert aggregate("gas(inner=median, chunks=1)", rows, f=1).scores[0].item() == pytest.approx(5)


@pytest.mark.parametrize("chunks", [1, 3, 7, 100])
def test_against_a_loop_over_chunks(chunks, monkeypatch):
    rows = np.random.default_rng(chunks).standard_normal((9, 50)).astype(np.float32)
    rows[:2] += 0.5
    monkeypatch.setattr(module, "_BATCH_VALUES", 9 * 40)
    order, width = np.random.default_rng(5).permutation(50), -(-50 // chunks)
    scores = np.zeros(9)
    for start in range(0, 50, width):
        part = rows[:, order[start : start + width]]
        answer = multi_krum(torch.from_numpy(part), 2).numpy()
        scores += np.linalg.norm(part.astype(np.float64) - answer, axis=1)
    expected = rows[np.argsort(scores)[:7]].mean(0)
    found = gas(
        torch.from_numpy(rows), 2, lambda r: multi_krum(r, 2), np.random.default_rng(5), chunks=chunks
    )
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5, atol=1e-6)


def test_registered_rule_and_function_agree(aggregate):
    rows = torch.randn(9, 40, generator=torch.Generator().manual_seed(0))
    expected = gas(rows, 2, median, np.random.default_rng(0), chunks=6)
    assert torch.equal(aggregate("gas(inner=median, chunks=6)", rows, f=2).aggregate, expected)


@pytest.mark.parametrize("inner", ["bulyan", '"nnm > trimmed_mean"', '"bucketing(s=2) > median"', "dnc"])
def test_any_rule_without_memory_inside(inner, aggregate):
    rows = torch.randn(11, 60, generator=torch.Generator().manual_seed(0))
    rows[:2] = torch.tensor([1e30, -1e30])[:, None]
    outcome = aggregate(f"gas(inner={inner}, chunks=5)", rows, f=2)
    assert outcome.selected.tolist() == [False] * 2 + [True] * 9


def test_rules_that_cannot_be_asked_about_a_chunk():
    for inner, what in [
        ("centered_clipping", "history"),
        ("fltrust", "root_data"),
        ("oracle_mean", "baseline"),
    ]:
        with pytest.raises(UsageError, match=what):
            make("aggregators", f"gas(inner={inner})")
    with pytest.raises(UsageError, match="Did you mean krum"):
        make("aggregators", "gas(inner=krumm)")


def test_identical_and_single_rows(aggregate):
    assert aggregate("gas", torch.full((7, 5), 0.7), f=2).aggregate.tolist() == pytest.approx([0.7] * 5)
    assert aggregate("gas(inner=median)", [[5.0]], f=0).aggregate.item() == 5


def test_infeasible_with_numbers():
    rule = make("aggregators", "gas")
    assert rule.infeasible(11, 4) is None
    assert rule.infeasible(10, 4).startswith("multi_krum: ")
    assert "n = 10, f = 4 asks for 11" in rule.infeasible(10, 4)
    assert "n = 4, f = 4" in make("aggregators", "gas(inner=median)").infeasible(4, 4)
    with pytest.raises(InfeasibleError, match="n = 3, f = 3"):
        gas(torch.zeros(3, 1), 3, median, np.random.default_rng(0))
