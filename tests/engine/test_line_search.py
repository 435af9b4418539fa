"""An attacker's line search without rows gives what asking the rule about all rows gives."""

from __future__ import annotations

import dataclasses
from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor

from robustbench_fl.api import Aggregator
from robustbench_fl.api.build import make
from robustbench_fl.attacks.optimal import line_search
from robustbench_fl.engine.defence import SimulatedDefence
from robustbench_fl.engine.line_search import Columns, Line, Trial
from robustbench_fl.engine.server import ServerRound
from robustbench_fl.models.zoo.logistic import Logistic

RULES = [
    "krum", "krum(neighbours=n-f-1)", "multi_krum", "multi_krum(k=3)", "mda", "median", "trimmed_mean",
    "trimmed_mean(trim=0.1)", "meamed", "geometric_median", "geometric_median(preset=paper)",
    "geometric_median(start=zero, nu=0.1, steps=3)", "geometric_median(start=mean, steps=1)", "gas(chunks=3)",
    "caf", "multi_krum(iterative=true, k=2)",
]  # fmt: skip
WITHOUT_ROWS = [text for text in RULES if not text.startswith(("gas", "caf", "multi_krum(iter"))]
N, M, D = 15, 4, 23


def defence_of(rule: Aggregator, updates: Tensor, malicious: Tensor, f: int = M) -> SimulatedDefence:
    n, d = updates.shape
    return SimulatedDefence(
        rule=rule, state=None, updates=updates, malicious=malicious,
        context=ServerRound(
            round=0, assumed_f=f, client_ids=tuple(range(n)), sample_counts=torch.arange(1, n + 1),
            model=Logistic().build((1, 1, 1), 2), params=torch.zeros(d), last_step=None, root=None,
        ),
        make_rng=lambda: np.random.default_rng(0),
    )  # fmt: skip


def world(seed: int, n: int = N, m: int = M, d: int = D, common: float = 0.0) -> tuple[Tensor, Tensor]:
    rng = np.random.default_rng(seed)
    rows = torch.from_numpy(rng.standard_normal((n, d)) + 0.3 + common).float()
    malicious = torch.from_numpy(np.sort(rng.permutation(n)[:m]))
    return rows, malicious


def lines(rows: Tensor, malicious: Tensor) -> list[tuple[Tensor, Tensor, Tensor]]:
    honest = np.delete(rows.double().numpy(), malicious.numpy(), 0)
    mean, std = torch.from_numpy(honest.mean(0)), torch.from_numpy(honest.std(0, ddof=1))
    return [(mean, -std, mean), (torch.zeros_like(mean), -mean, mean)]


def slowly(defence: SimulatedDefence, start: Tensor, direction: Tensor, origin: Tensor, x: float) -> float:
    row = (start + x * direction).float()
    aggregate = defence.aggregate(row.repeat(len(defence.malicious), 1)).aggregate
    return float((aggregate.double() - origin).norm())


class Blind(SimulatedDefence):
    """Fails where a rule is shown rows."""

    def aggregate(self, crafted: Tensor) -> None:  # type: ignore[override]
        raise AssertionError("rows were looked at")


@pytest.mark.parametrize("text", RULES)
def test_the_same_distances(text: str) -> None:
    for seed in range(6):
        rows, malicious = world(seed, common=[0.0, 50.0][seed % 2])
        defence = defence_of(make("aggregators", text), rows, malicious)
        for line in lines(rows, malicious):
            distance = defence.distance_along(*line, M)
            for x in (0.0, 0.1, 0.7, 1.5, 4.0, 10.0, 310.0):
                expected = slowly(defence, *line, x)
                assert distance(x) == pytest.approx(expected, rel=2e-4, abs=2e-5), (seed, x)


@pytest.mark.parametrize("text", WITHOUT_ROWS)
def test_no_rows_are_looked_at(text: str) -> None:
    rows, malicious = world(0)
    defence = defence_of(make("aggregators", text), rows, malicious)
    blind = Blind(**{field.name: getattr(defence, field.name) for field in dataclasses.fields(defence)})
    for line in lines(rows, malicious):
        assert blind.distance_along(*line, M)(1.0) > 0


@pytest.mark.parametrize("text", RULES)
def test_the_search_ends_at_the_same_point(text: str) -> None:
    for seed in range(10):
        rows, malicious = world(100 + seed)
        defence = defence_of(make("aggregators", text), rows, malicious)
        for line in lines(rows, malicious):
            found, value = line_search(defence.distance_along(*line, M), 20)
            expected, best = line_search(partial(slowly, defence, *line), 20)
            # Values that differ by rounding alone may be told apart the other way round.
            assert found == expected or value == pytest.approx(best, rel=1e-6), (seed, found, expected)


def test_by_hand() -> None:
    # Honest −1, 0, 1 and two who send x: the median of five is x between 0 and 1, and 1 from there on.
    rows = torch.tensor([[9.0], [-1.0], [0.0], [9.0], [1.0]])
    zero, one = torch.zeros(1).double(), torch.ones(1).double()
    defence = defence_of(make("aggregators", "median"), rows, torch.tensor([0, 3]))
    distance = defence.distance_along(zero, one, zero, 2)
    assert [distance(x) for x in (0.0, 0.25, 1.0, 7.0)] == [0, 0.25, 1, 1]
    # The mean without the extremes: (−1 + 0 + x) / 3, once x is out of 0, x, x it is (0 + 1 + x) / 3.
    defence = defence_of(make("aggregators", "trimmed_mean"), rows, torch.tensor([0, 3]), f=1)
    distance = defence.distance_along(zero, one, zero, 2)
    assert distance(0.5) == pytest.approx((0 + 0.5 + 0.5) / 3)
    assert distance(7.0) == pytest.approx((0 + 1 + 7) / 3)


def test_the_geometry_of_a_trial() -> None:
    rows, malicious = world(3)
    ((start, direction, origin), _) = lines(rows, malicious)
    line = Line(updates=rows, malicious=malicious, start=start, direction=direction, origin=origin)
    trial = Trial(line, 2.5)
    whole = rows.double()
    whole[malicious] = start + 2.5 * direction
    weights = torch.linspace(0, 1, N).double()
    weights /= weights.sum()
    torch.testing.assert_close(trial.distances, torch.cdist(whole, whole).square(), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(trial.norms(), whole.norm(dim=1), rtol=1e-6, atol=1e-6)
    expected = (whole - weights @ whole).norm(dim=1)
    torch.testing.assert_close(trial.distances_from(weights), expected, rtol=1e-6, atol=1e-6)
    expected = (whole - torch.from_numpy(np.median(whole.numpy(), 0))).norm(dim=1)
    torch.testing.assert_close(trial.distances_from_median(), expected, rtol=1e-6, atol=1e-6)
    for scale in (1.0, 0.3):  # weights need not sum to one
        expected = float((scale * weights @ whole - origin).norm())
        assert trial.length(scale * weights) == pytest.approx(expected, rel=1e-6)
    for _, columns in trial._columns():
        torch.testing.assert_close(columns[:].double(), whole.sort(dim=0).values, rtol=1e-6, atol=1e-6)
        assert torch.equal(columns[3:5][1], columns[4])


def test_columns_by_hand() -> None:
    padded = torch.tensor([-torch.inf, -torch.inf, 1.0, 2.0, 5.0, torch.inf, torch.inf])[:, None]
    for sent, expected in [(0.0, [0, 0, 1, 2, 5]), (2.0, [1, 2, 2, 2, 5]), (9.0, [1, 2, 5, 9, 9])]:
        columns = Columns(padded, torch.tensor([sent]), 2)
        assert len(columns) == 5
        assert columns[:][:, 0].tolist() == expected


@pytest.mark.parametrize("text", ["krum", "median", "geometric_median"])
def test_what_is_left_out_or_remembered_is_asked_of_the_rule(text: str) -> None:
    rows, malicious = world(1)
    first = lines(rows, malicious)[0]
    broken = rows.clone()
    broken[next(i for i in range(N) if i not in malicious.tolist())] = torch.nan
    defence = defence_of(make("aggregators", text), broken, malicious)
    assert defence.distance_along(*first, M)(1.0) == pytest.approx(slowly(defence, *first, 1.0))
    defence = defence_of(make("aggregators", text), rows, malicious)
    beyond = 1e39  # no float32: the crafted rows are dropped
    assert defence.distance_along(*first, M)(beyond) == pytest.approx(slowly(defence, *first, beyond))


def test_honest_twins_keep_their_digits() -> None:
    # Two honest clients a thousandth apart, all far from the origin of the coordinates.
    rows, malicious = world(2, common=1e3)
    honest = [i for i in range(N) if i not in malicious.tolist()]
    rows[honest[0]] = rows[honest[1]] + 1e-3
    start, direction, origin = lines(rows, malicious)[0]
    line = Line(updates=rows, malicious=malicious, start=start, direction=direction, origin=origin)
    apart = float((rows[honest[0]].double() - rows[honest[1]].double()).square().sum())
    assert Trial(line, 1.0).distances[honest[0], honest[1]].item() == pytest.approx(apart, rel=1e-6)


def test_huge_honest_rows() -> None:
    rows, malicious = world(4)
    rows[next(i for i in range(N) if i not in malicious.tolist())] = 1e30
    defence = defence_of(make("aggregators", "krum"), rows, malicious)
    assert all(np.isfinite(defence.distance_along(*line, M)(1.0)) for line in lines(rows, malicious))
