"""The Python interface."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import robustbench_fl as rb
from robustbench_fl.core.errors import InfeasibleError, UsageError

ROWS = np.array([[0.0, 1.0], [1.0, 2.0], [2.0, 3.0], [50.0, -50.0], [1.0, 2.0], [2.0, 1.0], [0.0, 3.0]])


def test_numpy_in_numpy_out_torch_in_torch_out() -> None:
    array = rb.aggregate("median", ROWS)
    tensor = rb.aggregate("median", torch.from_numpy(ROWS).float())
    assert isinstance(array, np.ndarray)
    assert array.dtype == np.float64
    assert array.tolist() == [1.0, 2.0]
    assert isinstance(tensor, torch.Tensor)
    assert tensor.tolist() == [1.0, 2.0]


def test_pipelines_take_f_and_a_seed() -> None:
    one, again, other = (rb.aggregate("bucketing(s=2) > median", ROWS, seed=seed) for seed in (0, 0, 3))
    assert (one == again).all()
    assert (one != other).any()
    assert np.abs(rb.aggregate("nnm > krum", ROWS, f=1)).max() < 4


def test_rows_with_nan_are_dropped() -> None:
    rows = np.vstack([ROWS, [np.nan, 0.0]])
    assert rb.aggregate("median", rows).tolist() == [1.0, 2.0]


@pytest.mark.parametrize(
    ("rule", "rows", "f", "said"),
    [
        ("krum", ROWS, None, "needs f"),
        ("fltrust", ROWS, None, "needs root_data"),
        ("alignins", ROWS, None, "needs model"),
        ("fedredefense", ROWS, None, "rb.Server"),
        ("centered_clipping", ROWS, None, "remembers earlier rounds"),
        ("oracle_mean", ROWS, None, "clients that train"),
        ("median", ROWS[0], None, "matrix"),
        ("median", ROWS.astype(int), None, "floating-point"),
        ("median", np.full((2, 2), np.nan), None, "nothing is left"),
        ("medain", ROWS, None, "Did you mean median"),
    ],
)
def test_what_cannot_be_aggregated_is_said(rule: str, rows: Any, f: int | None, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        rb.aggregate(rule, rows, f=f)


def test_rules_that_look_at_parameter_tensors_want_their_shapes() -> None:
    rows = np.random.default_rng(0).standard_normal((6, 12))
    with pytest.raises(UsageError, match="the shapes of these are not known here"):
        rb.aggregate("lasa(sparsity=0.9)", rows)
    shapes = (("a.weight", (2, 4)), ("a.bias", (4,)))
    with pytest.raises(UsageError, match="hold 4 of 12 parameters"):
        rb.aggregate("lasa", rows, layer_shapes=shapes[1:])
    sparse = rb.aggregate("lasa(sparsity=0.9)", rows, layer_shapes=shapes)
    assert (sparse != rb.aggregate("lasa(sparsity=0)", rows, layer_shapes=shapes)).any()


def test_an_infeasible_f_is_refused_with_numbers() -> None:
    with pytest.raises(InfeasibleError, match=r"n = 7, f = 3"):
        rb.aggregate("krum", ROWS, f=3)


def test_run_cell_refuses_more_than_one_cell_and_unknown_settings() -> None:
    with pytest.raises(UsageError, match="Unknown key 'round'"):
        rb.run_cell(aggregator="mean", round=3)
    with pytest.raises(ValueError, match="describe 2"):
        rb.run_cell(aggregator="mean", attack="none", lr=[0.1, 0.2])


def test_an_infeasible_cell_is_a_result_with_its_reason() -> None:
    result = rb.run_cell(aggregator="krum", attack="alie", malicious=0.45)
    assert result.status == "infeasible"
    assert result.accuracy is None
    assert "n = 20, f = 9" in str(result.record.reason)


def test_loading_no_sweep_says_so(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no sweep"):
        rb.load_results(tmp_path)


def test_results_a_row_a_round_and_a_result_in_five_lines() -> None:
    result = rb.run_cell(aggregator="krum", attack="alie", rounds=2, clients=5, malicious=0.2)
    lines = repr(result).splitlines()
    assert len(lines) == 5
    assert lines[0] == f"CellResult {result.key}, done"
    assert "krum under alie, 20 % of 5 clients malicious" in lines[2]
    folder = Path(__file__).parents[1] / "results" / "quickstart"
    rounds = rb.load_results(folder, curves=True)
    cells = rb.load_results(folder)
    assert len(rounds) == 20 * len(cells)
    last = rounds[rounds["key"] == cells["key"][0]].tail(5)
    assert list(last["round"]) == [16, 17, 18, 19, 20]
    assert last["accuracy"].mean() == pytest.approx(cells["accuracy"][0])
