"""Updates in a file: the same answers as of a matrix, in little memory."""

from __future__ import annotations

import os
import runpy
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner

import robustbench_fl as rb
from robustbench_fl.cli.aggregating import aggregate
from robustbench_fl.core.errors import InfeasibleError, UsageError
from robustbench_fl.integrations import mapped

ROWS = np.random.default_rng(0).standard_normal((12, 40_000), np.float32)
RULES = (
    "mean", "median", "trimmed_mean", "krum", "multi_krum", "geometric_median", "norm_bound",
    "nnm > trimmed_mean",
)  # fmt: skip


@pytest.fixture
def file(tmp_path: Path) -> Path:
    np.save(tmp_path / "updates.npy", ROWS)
    return tmp_path / "updates.npy"


@pytest.mark.parametrize("rule", RULES)
def test_a_file_gives_what_its_matrix_gives_to_the_bit(rule: str, file: Path) -> None:
    found = rb.aggregate(rule, file, f=2)
    assert found.tobytes() == rb.aggregate(rule, ROWS, f=2).tobytes()


@pytest.mark.parametrize("rule", ["mean", "median", "trimmed_mean", "norm_bound"])
def test_blocks_are_read_and_nothing_is_mapped(
    rule: str, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rules with distances map single rows: that in the middle, and that which krum takes."""
    begin = mapped.MappedRows.__init__

    def spoilt(self: mapped.MappedRows, rows: torch.Tensor, *more: Any) -> None:
        rows.fill_(torch.nan)  # in the memory of this process; the file stays as it is
        begin(self, rows, *more)

    monkeypatch.setattr(mapped.MappedRows, "__init__", spoilt)
    assert rb.aggregate(rule, file, f=2).tobytes() == rb.aggregate(rule, ROWS, f=2).tobytes()
    assert (np.load(file) == ROWS).all()


def test_a_server_reads_files_round_by_round(file: Path) -> None:
    by_file, by_matrix = (rb.Server("centered_clipping(tau=1)") for _ in range(2))
    for _ in range(2):
        one, other = by_file.aggregate(str(file)), by_matrix.aggregate(ROWS)
        assert one.aggregate.tobytes() == other.aggregate.tobytes()
        assert (one.weights == other.weights).all()


def test_read_only_maps_are_matrices_too(file: Path) -> None:
    rows = np.load(file, mmap_mode="r")
    assert (rb.aggregate("median", rows) == rb.aggregate("median", ROWS)).all()


def test_rows_that_are_not_finite_are_left_out(tmp_path: Path) -> None:
    rows = np.vstack([ROWS, ROWS[:2]])
    rows[3, 7], rows[13, 0] = np.nan, np.inf
    np.save(tmp_path / "updates.npy", rows)
    outcome = rb.Server("multi_krum", f=2).aggregate(tmp_path / "updates.npy")
    others = np.delete(rows, [3, 13], axis=0)
    assert np.flatnonzero(outcome.dropped).tolist() == [3, 13]
    assert outcome.aggregate.tobytes() == rb.aggregate("multi_krum", others, f=2).tobytes()
    assert list(tmp_path.iterdir()) == [tmp_path / "updates.npy"]
    with pytest.raises(InfeasibleError, match="2 rows hold NaN or Inf, and the 12 others"):
        rb.aggregate("krum", tmp_path / "updates.npy", f=5)
    rows[:] = np.nan
    np.save(tmp_path / "updates.npy", rows)
    with pytest.raises(UsageError, match="nothing is left"):
        rb.aggregate("mean", tmp_path / "updates.npy")


def test_a_full_disk_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(**_: object) -> None:
        raise OSError(28, "No space left on device")

    rows = ROWS.copy()
    rows[0, 0] = np.nan
    np.save(tmp_path / "updates.npy", rows)
    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    with pytest.raises(UsageError, match="No space left on device"):
        rb.aggregate("mean", tmp_path / "updates.npy")


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (ROWS.astype(np.float64), "holds float64"),
        (ROWS[0], r"float32 \[40000\]"),
        (np.asfortranarray(ROWS), "Fortran"),
        (np.array([[None]]), "object"),
        (b"no array", "no .npy file"),
        (b"\x93NUMPY\x09\x00", "no .npy file"),
        (None, "Cannot read"),
    ],
)
def test_other_files_are_refused(values: object, said: str, tmp_path: Path) -> None:
    path = tmp_path / "updates.npy"
    if isinstance(values, bytes):
        path.write_bytes(values)
    elif values is not None:
        np.save(path, values, allow_pickle=True)
    with pytest.raises(UsageError, match=said):
        rb.aggregate("mean", path)


def test_a_file_that_was_cut_short_is_refused(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-4])
    with pytest.raises(UsageError, match="cut short"):
        rb.aggregate("mean", file)


def test_the_command_writes_the_aggregate_and_names_the_rows(file: Path) -> None:
    out = file.parent / "step.npy"
    told = CliRunner().invoke(aggregate, [str(file), "-a", "krum", "-f", "2", "-o", str(out)])
    assert told.exit_code == 0, told.output
    step = np.load(out)
    assert (step == rb.aggregate("krum", ROWS, f=2)).all()
    chosen = int(np.flatnonzero((step == ROWS).all(axis=1))[0])
    assert f"Selected: 1 of 12 (rows {chosen})" in told.output
    assert "Dropped: none" in told.output
    assert "12 clients x 40,000 parameters" in told.output
    onto = CliRunner().invoke(aggregate, [str(file), "-a", "mean", "-o", str(file)])
    assert "Write the aggregate to another file" in str(onto.exception)
    absent = CliRunner().invoke(aggregate, [str(file) + "x", "-a", "mean", "-o", str(file)])
    assert "No such file" in str(absent.exception)
    assert isinstance(absent.exception, UsageError)


@pytest.mark.skipif(not os.environ.get("ROBUSTBENCH_FL_SOAK"), reason="4.4 GB on disk, minutes: make soak")
def test_gigabytes_pass_through_little_memory(tmp_path: Path) -> None:
    larger = runpy.run_path(str(Path(__file__).parents[2] / "benchmarks" / "larger.py"))
    path = tmp_path / "updates.npy"
    larger["write_updates"](path, 1_000, 1_100_000)
    for rule in larger["RULES"]:
        found = larger["aggregated"](rule, path, 200)
        print(f"{rule}: {found['peak']:.0f} MB, {found['cpu']:.0f} s")
        assert found["peak"] < 2_000
