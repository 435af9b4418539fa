"""The server's step: screening, the assumed f, the view, the baseline, the simulated defence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytest
import torch

from robustbench_fl.api import Aggregation, Aggregator, Need, ServerView
from robustbench_fl.api.build import make
from robustbench_fl.core.errors import UndeclaredAccess
from robustbench_fl.core.seeding import stream
from robustbench_fl.engine.defence import SimulatedDefence
from robustbench_fl.engine.server import ServerRound, finite_rows, serve
from robustbench_fl.models.zoo.mlp import Mlp

MODEL = Mlp(hidden=()).build((1, 2, 2), 3)


def context(n: int, assumed_f: int | None = 1) -> ServerRound:
    return ServerRound(
        round=3,
        assumed_f=assumed_f,
        client_ids=tuple(range(10, 10 + n)),
        sample_counts=torch.arange(1.0, n + 1),
        model=MODEL,
        params=torch.zeros(2),
        last_step=None,
        root=None,
    )


def rng() -> np.random.Generator:
    return stream("server", "test", 0, 3)


@dataclass(frozen=True, kw_only=True)
class Spy(Aggregator):
    """Returns the first row and keeps what it saw."""

    declared: frozenset[Need] = frozenset()
    bears: int = 99
    saw: ClassVar[list[Any]] = []

    @property
    def needs(self) -> frozenset[Need]:
        return self.declared

    def infeasible(self, n_clients: int, f: int) -> str | None:
        return f"{f} > {self.bears}" if f > self.bears else None

    def aggregate(self, updates: torch.Tensor, view: ServerView, state: Any) -> tuple[Aggregation, Any]:
        self.saw.append((updates, view))
        return Aggregation(updates[0] if len(updates) else updates.sum(0)), state


@pytest.fixture(autouse=True)
def _forget() -> None:
    Spy.saw.clear()


def test_rows_with_nan_or_inf_are_dropped_each_on_its_own() -> None:
    rows = torch.tensor([[1.0, torch.nan], [2.0, 2.0], [torch.inf, -torch.inf], [1e30, 1e30]])
    verdict, _ = serve(Spy(declared=frozenset({Need.CLIENT_IDS})), None, rows, context(4), rng)
    seen, view = Spy.saw[0]
    assert verdict.seen.tolist() == [False, True, False, True]
    assert seen.tolist() == [[2.0, 2.0], [torch.tensor(1e30).item()] * 2]
    assert view.client_ids == (11, 13)


def test_a_rule_that_declares_raw_gets_every_row() -> None:
    rows = torch.tensor([[torch.nan, 0.0], [1.0, 1.0]])
    verdict, _ = serve(Spy(declared=frozenset({Need.RAW})), None, rows, context(2), rng)
    assert verdict.seen.all()
    assert len(Spy.saw[0][0]) == 2


def test_a_huge_finite_row_counts_as_finite() -> None:
    rows = torch.full((2, 100_000), 3e38)
    assert finite_rows(rows).all()


def test_f_is_lowered_to_what_the_rule_can_bear_and_said_so() -> None:
    rule = Spy(declared=frozenset({Need.F}), bears=2)
    verdict, _ = serve(rule, None, torch.ones(5, 2), context(5, assumed_f=4), rng)
    assert (verdict.f, verdict.capped) == (2, True)
    assert Spy.saw[0][1].f == 2


def test_f_that_fits_is_not_touched() -> None:
    verdict, _ = serve(Spy(declared=frozenset({Need.F}), bears=2), None, torch.ones(5, 2), context(5, 2), rng)
    assert (verdict.f, verdict.capped) == (2, False)


def test_a_rule_that_cannot_work_even_with_f_0_is_not_asked_and_keeps_its_state() -> None:
    verdict, state = serve(make("aggregators", "krum"), "state", torch.ones(2, 2), context(2), rng)  # type: ignore[arg-type]
    assert verdict.aggregation is None
    assert state == "state"


def test_without_any_row_left_the_rule_is_not_asked() -> None:
    verdict, _ = serve(Spy(), None, torch.full((3, 2), torch.nan), context(3), rng)
    assert verdict.aggregation is None
    assert not verdict.seen.any()


def test_the_baseline_gets_the_honest_rows_only() -> None:
    rows = torch.tensor([[1.0, 1.0], [100.0, 100.0], [3.0, 3.0]])
    hidden = np.array([False, True, False])
    verdict, _ = serve(make("aggregators", "oracle_mean"), None, rows, context(3), rng, hidden)
    assert verdict.aggregation is not None
    assert verdict.aggregation.aggregate.tolist() == [2.0, 2.0]


@pytest.mark.parametrize(
    "name", ["f", "root", "model", "params", "client_ids", "last_step", "sample_counts", "recipe"]
)
def test_touching_what_was_not_declared_is_stopped(name: str) -> None:
    serve(Spy(), None, torch.ones(3, 2), context(3), rng)
    with pytest.raises(UndeclaredAccess, match="without declaring it"):
        getattr(Spy.saw[0][1], name)


def test_simulated_defence_answers_alike_for_alike_and_leaves_everything_as_it_was() -> None:
    rule = make("aggregators", "bucketing(s=2) > centered_clipping")
    from robustbench_fl.api import ServerSpec

    state = rule.init_state(ServerSpec(n_clients=6, n_params=2, layer_shapes=(("w", (2,)),)))
    before = {name: tensor.clone() for name, tensor in state.to_tensors().items()}
    updates = torch.arange(12.0).reshape(6, 2)
    kept = updates.clone()
    defence = SimulatedDefence(
        rule=rule,
        state=state,
        updates=updates,
        malicious=torch.tensor([1, 4]),
        context=context(6),
        make_rng=rng,
    )
    crafted = torch.tensor([[50.0, 0.0], [0.0, 50.0]])
    first, again = defence.aggregate(crafted).aggregate, defence.aggregate(crafted).aggregate
    other = defence.aggregate(-crafted).aggregate
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(updates, kept)
    assert all(torch.equal(before[name], tensor) for name, tensor in state.to_tensors().items())


def test_simulated_defence_equals_the_server_on_the_same_stream() -> None:
    updates, crafted = torch.randn(7, 2, generator=torch.Generator().manual_seed(0)), torch.full((2, 2), 5.0)
    attacked = updates.clone()
    attacked[[2, 5]] = crafted
    rule = make("aggregators", "trimmed_mean")
    real, _ = serve(rule, None, attacked, context(7, 2), rng)
    defence = SimulatedDefence(
        rule=rule,
        state=None,
        updates=updates,
        malicious=torch.tensor([2, 5]),
        context=context(7, 2),
        make_rng=rng,
    )
    assert real.aggregation is not None
    assert torch.equal(real.aggregation.aggregate, defence.aggregate(crafted).aggregate)
