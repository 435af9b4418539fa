"""Composition: what reaches the rule, and what its verdict means for the clients."""

from dataclasses import dataclass, field

import numpy as np
import pytest
import torch

from robustbench_fl.aggregators.mean import Mean
from robustbench_fl.aggregators.median import Median
from robustbench_fl.aggregators.nnm import NNM
from robustbench_fl.api import (
    Aggregation,
    Aggregator,
    Need,
    PreAggregator,
    ServerSpec,
    ServerView,
    State,
    pipeline,
)
from robustbench_fl.api.build import make
from robustbench_fl.api.pipeline import Pipeline
from robustbench_fl.core.errors import UndeclaredAccess

PAIRS = torch.tensor([[0.5, 0.5, 0, 0], [0, 0, 0.5, 0.5]])


@dataclass(frozen=True)
class Fixed(PreAggregator):
    """Weights as given; groups if there are fewer rows than columns."""

    weights: torch.Tensor
    wants: frozenset = frozenset()
    keeps: bool = True

    @property
    def needs(self):
        return self.wants

    @property
    def keeps_clients(self):
        return self.keeps

    def n_rows(self, n_clients):
        return n_clients if self.weights.ndim == 1 else len(self.weights)

    def mixing(self, updates, view, state):
        for need in self.wants:
            getattr(view, str(need))
        return self.weights, state


@dataclass(frozen=True, kw_only=True)
class Count(State):
    rounds: int


@dataclass(frozen=True)
class Counting(PreAggregator):
    """Doubles the rows in each round."""

    def init_state(self, spec):
        return Count(rounds=1)

    def mixing(self, updates, view, state):
        return torch.full((len(updates),), float(2**state.rounds)), Count(rounds=state.rounds + 1)


@dataclass(frozen=True)
class Judge(Aggregator):
    """Takes the first row, accuses the last, and remembers how often it was asked."""

    seen: list = field(default_factory=list)
    wants: frozenset = frozenset()
    coordinatewise: bool = False
    detector = True

    @property
    def needs(self):
        return self.wants

    def init_state(self, spec):
        return Count(rounds=0)

    def aggregate(self, updates, view, state):
        self.seen.append(updates)
        n = len(updates)
        first, last = torch.arange(n) == 0, torch.arange(n) == n - 1
        outcome = Aggregation(
            updates[0],
            weights=first.double(),
            selected=first,
            rejected=last,
            scores=torch.arange(n, dtype=torch.float32),
            diagnostics={"place": torch.arange(n)},
        )
        return outcome, Count(rounds=state.rounds + 1)


def run(pipeline, rows, state=None, **gated):
    view = ServerView(pipeline.needs, round=0, rng=np.random.default_rng(0), layer_shapes=(), **gated)
    spec = ServerSpec(n_clients=len(rows), n_params=rows.shape[1], layer_shapes=())
    return pipeline.aggregate(rows, view, pipeline.init_state(spec) if state is None else state)


ROWS = torch.tensor([[1.0, 10.0], [3.0, 30.0], [5.0, 50.0], [7.0, 70.0]])


def test_the_rule_sees_the_mixed_rows():
    judge = Judge()
    run(Pipeline(stages=(Fixed(PAIRS, keeps=False),), rule=judge), ROWS)
    assert judge.seen[0].tolist() == [[2, 20], [6, 60]]


def test_a_group_shares_its_verdict():
    outcome, _ = run(Pipeline(stages=(Fixed(PAIRS, keeps=False),), rule=Judge()), ROWS)
    assert outcome.weights.tolist() == [0.5, 0.5, 0, 0]
    assert outcome.selected.tolist() == [True, True, False, False]
    assert outcome.rejected.tolist() == [False, False, True, True]
    assert outcome.scores.tolist() == [0, 0, 1, 1]
    assert not outcome.diagnostics


def test_mixing_changes_weights_but_not_for_whom_a_row_stands():
    swap_in = torch.tensor([[0.5, 0.5, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0.5, 0, 0, 0.5]])
    outcome, _ = run(Pipeline(stages=(Fixed(swap_in),), rule=Judge()), ROWS)
    assert outcome.weights.tolist() == [0.5, 0.5, 0, 0]
    assert outcome.selected.tolist() == [True, False, False, False]
    assert outcome.rejected.tolist() == [False, False, False, True]
    assert outcome.diagnostics["place"].tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("neighbours_first", [True, False])
def test_neighbours_of_a_group_are_not_accused_with_it(neighbours_first):
    pairs = Fixed(PAIRS, keeps=False)
    everyone = Fixed(torch.full((4, 4), 0.25) if neighbours_first else torch.full((2, 2), 0.5))
    stages = (everyone, pairs) if neighbours_first else (pairs, everyone)
    outcome, _ = run(Pipeline(stages=stages, rule=Judge()), ROWS)
    assert outcome.weights.tolist() == [0.25] * 4
    assert outcome.rejected.tolist() == [False, False, True, True]
    assert outcome.selected.tolist() == [True, True, False, False]


def test_a_diagonal_map():
    factors = Fixed(torch.tensor([1.0, 0.5, 0.0, 2.0]))
    judge = Judge()
    outcome, _ = run(Pipeline(stages=(factors,), rule=judge), ROWS)
    assert judge.seen[0][:, 0].tolist() == [1, 1.5, 0, 14]
    assert outcome.selected.tolist() == [True, False, False, False]
    assert run(Pipeline(stages=(factors,), rule=Mean()), ROWS)[0].weights.tolist() == [0.25, 0.125, 0, 0.5]


@pytest.mark.parametrize("kind", [torch.float64, torch.float32])
def test_weights_in_float64_mix_float32_rows(kind):
    outcome, _ = run(Pipeline(stages=(Fixed(PAIRS.to(kind), keeps=False),), rule=Median()), ROWS)
    assert outcome.aggregate.dtype == torch.float32
    assert outcome.aggregate.tolist() == [4, 40]
    outcome, _ = run(Pipeline(stages=(Fixed(PAIRS.to(kind), keeps=False),), rule=Judge()), ROWS)
    assert outcome.weights.tolist() == [0.5, 0.5, 0, 0]


def test_blocks_of_columns_equal_one_matrix():
    rows = torch.from_numpy(np.random.default_rng(0).standard_normal((9, 9001)).astype(np.float32))
    found, _ = run(Pipeline(stages=(NNM(),), rule=Median()), rows, f=2)
    judge = Judge()
    run(Pipeline(stages=(NNM(),), rule=judge), rows, f=2)
    np.testing.assert_allclose(found.aggregate.numpy(), np.median(judge.seen[0].numpy(), axis=0), atol=1e-6)


@pytest.mark.parametrize("rule", ["mean", "trimmed_mean"])
def test_few_values_mixed_at_once_equal_blocks(aggregate, rule, monkeypatch):
    rows = torch.from_numpy(np.random.default_rng(0).standard_normal((20, 10_345)).astype(np.float32))
    at_once = aggregate(f"arc > {rule}", rows, f=4)
    monkeypatch.setattr(pipeline, "_FEW_VALUES", 0)
    in_blocks = aggregate(f"arc > {rule}", rows, f=4)
    assert torch.equal(at_once.aggregate, in_blocks.aggregate)


def test_blocks_keep_the_weights_of_the_mean():
    rows = torch.ones(4, 9001)
    outcome, _ = run(Pipeline(stages=(Fixed(PAIRS, keeps=False),), rule=Mean()), rows)
    assert outcome.weights.tolist() == [0.25] * 4
    assert outcome.aggregate.shape == (9001,)


def test_a_rule_with_a_memory_is_not_cut_into_blocks():
    judge = Judge(coordinatewise=True, wants=frozenset({Need.HISTORY}))
    pipeline = Pipeline(stages=(Fixed(PAIRS, keeps=False),), rule=judge)
    _, state = run(pipeline, torch.ones(4, 9001))
    assert judge.seen[0].shape == (2, 9001)
    assert state.stages[-1].rounds == 1


def test_every_stage_has_its_own_state():
    pipeline = Pipeline(stages=(Counting(), NNM(), Counting()), rule=Judge())
    first, state = run(pipeline, ROWS, f=0)
    assert [None if s is None else s.rounds for s in state.stages] == [2, None, 2, 1]
    second, state = run(pipeline, ROWS, state=state, f=0)
    assert first.aggregate.tolist() == [16, 160]
    assert second.aggregate.tolist() == [64, 640]
    assert [None if s is None else s.rounds for s in state.stages] == [3, None, 3, 2]


def test_each_stage_sees_only_what_it_declared():
    greedy = Fixed(PAIRS, keeps=False, wants=frozenset({Need.CLIENT_IDS}))
    pipeline = Pipeline(stages=(greedy,), rule=Judge())
    run(pipeline, ROWS, client_ids=(4, 5, 6, 7))
    late = Pipeline(stages=(Fixed(PAIRS, keeps=False), Fixed(torch.eye(2), wants=greedy.wants)), rule=Judge())
    with pytest.raises(UndeclaredAccess, match="client_ids"):
        run(late, ROWS, client_ids=(4, 5, 6, 7))


def test_a_rule_that_needs_clients_refuses_groups():
    rule = Judge(wants=frozenset({Need.CLIENT_IDS}))
    assert "client_ids" in Pipeline(stages=(Fixed(PAIRS, keeps=False),), rule=rule).infeasible(4, 0)
    assert Pipeline(stages=(NNM(),), rule=rule).infeasible(4, 0) is None
    weighted = make("aggregators", "bucketing > mean(weighted=true)")
    assert "sample_counts" in weighted.infeasible(10, 0)


def test_a_baseline_takes_no_pre_aggregator():
    assert "baseline" in make("aggregators", "nnm > oracle_mean").infeasible(10, 1)


def test_raw_rows_are_never_mixed():
    rule = Judge(wants=frozenset({Need.RAW, Need.F}))
    assert Pipeline(stages=(NNM(),), rule=rule).needs == {Need.F}


def test_1e30_times_zero_is_zero(aggregate):
    rows = torch.cat((torch.full((1, 5000), 1e30), torch.ones(8, 5000)))
    for text in ("nnm > median", "nnm > krum", "nnm > geometric_median"):
        torch.testing.assert_close(aggregate(text, rows, f=1).aggregate, torch.ones(5000))
    assert aggregate("bucketing > median", rows).aggregate.tolist() == [1] * 5000


def test_three_stages_as_text(aggregate):
    rows = torch.arange(12.0)[:, None].expand(12, 3).contiguous()
    outcome = aggregate("bucketing(s=2) > nnm > krum", rows, f=1)
    assert outcome.weights.sum() == pytest.approx(1)
    assert outcome.selected.sum() == 2, "the members of one group"
    assert outcome.aggregate[0] == pytest.approx(float(outcome.weights @ rows[:, 0]), rel=1e-5)
