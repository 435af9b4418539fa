"""The strategy for Flower: its replies, and a real simulation of ten nodes of which three lie."""

from __future__ import annotations

import runpy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from robustbench_fl import Server
from robustbench_fl.core.errors import InfeasibleError, UsageError

pytest.importorskip("flwr", reason="Flower is not installed: pip install 'robustbench-fl[flower]'")

from flwr.app import Array, ArrayRecord, ConfigRecord, Error, Message, MetricRecord, RecordDict

from robustbench_fl.flower import RobustStrategy

APP = Path(__file__).parents[2] / "docs" / "deploy" / "flower_app.py"
HUGE = 2**63 + 5
"""Ids of nodes are unsigned 64-bit integers."""
NODES = (HUGE, HUGE + 1, 12, 7)


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is reported anywhere, and messages can be made outside of an app."""
    from flwr.supercore.task_identity import TaskIdentity

    monkeypatch.setenv("FLWR_TELEMETRY_ENABLED", "0")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    for name in ("_run_id", "_node_id", "_task_id"):
        monkeypatch.setattr(TaskIdentity, name, 1)


class Grid:
    """As much of Flower's grid as a strategy asks for."""

    def __init__(self, nodes: Sequence[int]) -> None:
        self.nodes = nodes

    def get_node_ids(self) -> list[int]:
        return list(self.nodes)


def sent(strategy: RobustStrategy, arrays: ArrayRecord, round: int = 1) -> list[Message]:
    messages = strategy.configure_train(round, arrays, ConfigRecord(), Grid(NODES))  # type: ignore[arg-type]
    return sorted(messages, key=lambda message: NODES.index(message.metadata.dst_node_id))


def reply(to: Message, arrays: Any, **metrics: Any) -> Message:
    record = arrays if isinstance(arrays, ArrayRecord) else ArrayRecord(arrays)
    content = RecordDict({"arrays": record, "metrics": MetricRecord({"num-examples": 10, **metrics})})
    return Message(content, reply_to=to)


def strategy(rule: Any = "median", **given: Any) -> RobustStrategy:
    return RobustStrategy(rule, **{"fraction_evaluate": 0.0, "min_train_nodes": 4, **given})


START = {"w": np.array([[1.0, 2.0]], np.float32), "n": np.array(3)}


def of(*rows: Sequence[float], n: int = 4) -> list[dict[str, np.ndarray]]:
    return [{"w": np.array([row], np.float32), "n": np.array(n)} for row in rows]


def record(arrays: dict[str, np.ndarray]) -> ArrayRecord:
    return ArrayRecord({name: Array(array) for name, array in arrays.items()})


def test_it_aggregates_what_was_sent_back_and_keeps_names_and_types() -> None:
    at = strategy()
    messages = sent(at, record(START))
    rows = of((2, 2), (3, 2), (4, 2), (90, -90))
    replies = [reply(m, record(r), loss=k) for k, (m, r) in enumerate(zip(messages, rows, strict=True))]
    arrays, metrics = at.aggregate_train(1, replies)
    assert arrays is not None
    assert arrays["w"].numpy().tolist() == [[3.5, 2]]
    assert (arrays["n"].numpy().dtype, int(arrays["n"].numpy())) == (np.int64, 4)
    assert metrics is not None
    assert metrics["loss"] == pytest.approx(1.5)
    assert metrics["nodes"] == list(NODES)
    assert metrics["dropped-nodes"] == []


def test_bad_replies_are_dropped_one_by_one() -> None:
    at = strategy("mean")
    messages = sent(at, record(START))
    good, lost = of((2, 2), (np.nan, 2))
    replies = [
        reply(messages[0], record(good), loss=1.0),
        reply(messages[1], record(lost), loss=100.0),
        reply(messages[2], record({"w": good["w"]}), loss=100.0, other=3),
        Message(Error(0, "out of memory"), reply_to=messages[3]),
    ]
    arrays, metrics = at.aggregate_train(1, replies)
    assert arrays is not None
    assert arrays["w"].numpy().tolist() == [[2, 2]]
    assert metrics is not None
    assert (metrics["loss"], metrics["dropped-nodes"]) == (1.0, [NODES[1], NODES[2]])
    assert "other" not in metrics
    assert at.outcome is not None
    assert at.aggregate_train(2, [Message(Error(0, "gone"), reply_to=messages[3])]) == (None, None)
    assert at.outcome is None
    broken = reply(messages[0], ArrayRecord({"w": Array("float32", (1, 2), "numpy.ndarray", b"junk")}))
    assert at.aggregate_train(2, [broken])[0] is None


def test_lists_of_arrays_stay_lists() -> None:
    at = strategy()
    messages = sent(at, ArrayRecord([START["w"], START["n"]]))
    rows = [[r["w"], r["n"]] for r in of((2, 2), (3, 2), (4, 2), (5, 2))]
    arrays, _ = at.aggregate_train(1, [reply(m, r) for m, r in zip(messages, rows, strict=True)])
    assert arrays is not None
    assert [array.tolist() for array in arrays.to_numpy_ndarrays()] == [[[3.5, 2]], 4]


def test_it_gives_what_a_server_gives_and_remembers_nodes(tmp_path: Path) -> None:
    """Three rounds of a rule with a memory by client, the last two after it was saved."""
    torch.manual_seed(0)
    rows = torch.randn(3, 4, 6)
    ours, theirs = strategy("foolsgold"), Server("foolsgold", params=np.zeros(6, np.float32))
    arrays: Any = ArrayRecord([np.zeros(6, np.float32)])
    for round, updates in enumerate(rows):
        if round == 1:
            assert ours.server is not None
            ours.server.save(tmp_path / "memory")
            ours = strategy(Server.load(tmp_path / "memory"))
        messages = sent(ours, arrays, round + 1)
        start = arrays["0"].numpy()
        order = np.roll(np.arange(4), round)
        replies = [reply(messages[k], [start + updates[k].numpy()]) for k in order]
        arrays, metrics = ours.aggregate_train(round + 1, replies)
        outcome = theirs.aggregate(updates, client_ids=NODES)
        np.testing.assert_allclose(arrays["0"].numpy(), theirs.params, atol=1e-6)
        assert metrics is not None
        np.testing.assert_allclose(
            np.array(metrics["weights"])[np.argsort(order)], outcome.weights, atol=1e-5
        )


def test_what_is_missing_is_said_before_anything_is_sent() -> None:
    with pytest.raises(UsageError, match=r"krum needs the number of clients assumed malicious"):
        strategy("krum")
    with pytest.raises(UsageError, match=r"fltrust needs clean data"):
        strategy("fltrust")
    with pytest.raises(InfeasibleError, match="n = 4, f = 1"):
        sent(strategy("krum", f=1), record(START))


def test_ten_nodes_learn_digits_while_three_lie() -> None:
    pytest.importorskip("ray", reason="Flower simulates with Ray: pip install 'flwr[simulation]'")
    result = runpy.run_path(str(APP))["simulate"]("fltrust")
    reached = [metrics["accuracy"] for metrics in result.evaluate_metrics_serverapp.values()]
    assert reached[0] < 0.3
    assert reached[-1] > 0.85
    last = result.train_metrics_clientapp[5]
    assert len(last["nodes"]) == 10
    assert sum(weight == 0 for weight in last["weights"]) == 3
