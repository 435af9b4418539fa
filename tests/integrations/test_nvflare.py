"""The aggregator for NVFlare: a round's contributions, and its simulator in which three of ten lie."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from robustbench_fl import Server
from robustbench_fl.core.errors import UsageError

pytest.importorskip("nvflare", reason="NVFlare is not installed: pip install nvflare")

from nvflare.apis.dxo import DXO, DataKind, MetaKey, from_shareable
from nvflare.apis.fl_constant import ReservedKey
from nvflare.apis.fl_context import FLContext
from nvflare.apis.shareable import ReservedHeaderKey, Shareable
from nvflare.app_common.abstract.model import make_model_learnable
from nvflare.app_common.app_constant import AppConstants

from robustbench_fl.integrations.nvflare import RobustAggregator

JOB = Path(__file__).parents[2] / "docs" / "deploy" / "nvflare_job.py"
START = {"w": np.array([[1.0, 2.0]], np.float32), "n": np.array(3)}


def context(round: int = 0, start: dict[str, Any] = START) -> FLContext:
    made = FLContext()
    made.set_prop(AppConstants.CURRENT_ROUND, round)
    made.set_prop(AppConstants.GLOBAL_MODEL, make_model_learnable(dict(start), {}))
    return made


def sent(name: str, data: dict[str, Any], kind: str = DataKind.WEIGHT_DIFF, round: int = 0) -> Shareable:
    dxo = DXO(kind, data=data)
    dxo.set_meta_prop(MetaKey.NUM_STEPS_CURRENT_ROUND, 10)
    shareable = dxo.to_shareable()
    shareable.set_header(ReservedHeaderKey.PEER_PROPS, {ReservedKey.IDENTITY_NAME: name})
    shareable.add_cookie(AppConstants.CONTRIBUTION_ROUND, round)
    return shareable


def row(*values: float) -> dict[str, Any]:
    return {"w": np.array([values], np.float32), "n": np.array(1)}


def test_differences_and_weights_are_aggregated_alike() -> None:
    at, now = RobustAggregator("median"), context()
    assert at.accept(sent("a", row(1, 0)), now)
    assert at.accept(sent("b", row(2, 0)), now)
    assert at.accept(sent("c", {"w": np.array([[4.0, 92.0]]), "n": np.array(4)}, DataKind.WEIGHTS), now)
    found = from_shareable(at.aggregate(now))
    assert found.data_kind == DataKind.WEIGHT_DIFF
    assert (found.data["w"].tolist(), int(found.data["n"])) == ([[2, 0]], 1)
    assert found.data["n"].dtype == np.int64


def test_bad_contributions_are_dropped_one_by_one() -> None:
    at, now = RobustAggregator("mean"), context(round=1)
    assert at.accept(sent("a", row(1, 1), round=1), now)
    assert not at.accept(sent("a", row(50, 50), round=1), now)
    assert not at.accept(sent("b", row(50, 50), round=0), now)
    assert not at.accept(sent("c", {"x": 1.0}, DataKind.METRICS, round=1), now)
    assert not at.accept(Shareable(), now)
    assert at.accept(sent("d", row(np.inf, 0), round=1), now)
    assert at.accept(
        sent("e", {"w": np.ones(1, np.float32), "n": np.array(4)}, DataKind.WEIGHTS, round=1), now
    )
    words = {"w": np.array([["no", "numbers"]]), "n": np.array(4)}
    assert at.accept(sent("f", words, DataKind.WEIGHTS, round=1), now)
    found = from_shareable(at.aggregate(now))
    assert found.data["w"].tolist() == [[1, 1]]
    assert found.get_meta_prop("dropped_clients") == ["d", "e", "f"]
    at.reset(now)
    assert from_shareable(at.aggregate(now)).data == {}


def test_it_remembers_clients_by_name_as_a_server_does() -> None:
    rows = np.random.default_rng(0).standard_normal((3, 4, 6)).astype(np.float32)
    at, theirs, params = RobustAggregator("foolsgold"), Server("foolsgold"), np.zeros(6, np.float32)
    for round, updates in enumerate(rows):
        now = context(round, {"w": params})
        for k in np.roll(np.arange(4), round):
            assert at.accept(sent(f"site-{k}", {"w": updates[k]}, round=round), now)
        step = from_shareable(at.aggregate(now)).data["w"]
        np.testing.assert_allclose(step, theirs.aggregate(updates, client_ids=range(4)).aggregate, atol=1e-6)
        at.reset(now)
        params = params + step


def test_what_is_missing_is_said() -> None:
    with pytest.raises(UsageError, match="krum needs the number of clients"):
        RobustAggregator("krum")
    at, now = RobustAggregator("fltrust"), context()
    at.accept(sent("a", row(1, 1)), now)
    with pytest.raises(UsageError, match="fltrust needs clean data"):
        at.aggregate(now)


def test_ten_clients_learn_digits_while_three_lie(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(JOB), "nnm > trimmed_mean", str(tmp_path / "job")],
        capture_output=True,
        text=True,
        timeout=600,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    last = done.stdout.splitlines()[-1] if done.stdout else done.stderr[-2000:]
    assert last.startswith("accuracy "), last
    assert float(last.split()[1]) > 0.85
