"""``robustbench-fl check`` with a plug-in file."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from robustbench_fl.cli import checking
from robustbench_fl.cli.main import cli
from robustbench_fl.conformance import cases
from robustbench_fl.core.errors import UsageError

GOOD = '''
from dataclasses import dataclass
from robustbench_fl.api import Aggregation, Aggregator
from robustbench_fl.api import register


@register("my_median")
@dataclass(frozen=True, kw_only=True)
class MyMedian(Aggregator):
    """Take the median of each coordinate of the updates, Tensor [n, d]."""

    def aggregate(self, updates, view, state):
        return Aggregation(updates.median(0).values), None
'''
BAD = '''
from dataclasses import dataclass
from robustbench_fl.api import Aggregation, Aggregator
from robustbench_fl.api import register


@register("my_mean")
@dataclass(frozen=True, kw_only=True)
class MyMean(Aggregator):
    """Average the updates, Tensor [n, d], and call it robust."""

    def aggregate(self, updates, view, state):
        try:
            f = view.f
        except AttributeError:
            f = 0
        aggregate = updates.mean(0)
        updates -= aggregate
        return Aggregation(aggregate), None
'''

pytestmark = pytest.mark.usefixtures("clean_registry")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["check", *arguments])


def test_a_good_plugin_passes(tmp_path: Path) -> None:
    path = tmp_path / "good.py"
    path.write_text(GOOD)
    result = run("--plugin", str(path), "my_median")
    assert result.exit_code == 0, result.output
    assert "0 failed" in result.output
    assert "my_median" in result.output


def test_a_bad_plugin_fails_with_reasons(tmp_path: Path) -> None:
    path = tmp_path / "bad.py"
    path.write_text(BAD)
    result = run("--plugin", str(path), "my_mean", "--format", "json")
    assert result.exit_code == 1
    rows = {row["check"]: row for row in json.loads(result.stdout)}
    failed = {name: row["why"] for name, row in rows.items() if row["outcome"] == "FAIL"}
    assert "it read view.f without declaring it in `needs`" in failed["needs_declared"]
    assert "changed its input" in failed["inputs_unchanged"]
    assert "it is the plain mean" in failed["outlier"]
    assert "on purpose its class declares: expected_failures" in result.stderr
    assert rows["translation"]["outcome"] == "pass"


@pytest.mark.parametrize("format_", ["table", "md", "csv", "json"])
def test_expected_failures_show_their_reason(format_: str) -> None:
    result = run("bucketing", "--format", format_)
    assert result.exit_code == 0
    assert "expected failure" in result.output
    assert "drawn by row number" in result.output


def test_verbose_gives_a_row_for_every_check() -> None:
    lines = run("median", "--verbose", "--format", "md").stdout.splitlines()
    assert len(lines) == 2 + len(cases("aggregators", ["median"]))


def test_it_says_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checking, "_SECONDS_BETWEEN_LINES", 0)
    result = run("trimmed_mean(trim=0.2)")
    asked = cases(names=["trimmed_mean(trim=0.2)"])
    assert f"3/{len(asked)} checks, now {asked[3]}\n" in result.stderr
    assert "trimmed_mean(trim=0.2)" in result.stdout


def test_the_list_says_what_is_checked() -> None:
    rows = json.loads(run("--list", "--kind", "attacks", "--format", "json").stdout)
    assert {row["of"] for row in rows} == {"attacks"}
    assert all(row["asks"].endswith(".") and "\n" not in row["asks"] for row in rows)
    assert "Leave out 'krum'" in str(run("--list", "krum").exception)


def test_an_unknown_name_is_refused_with_a_suggestion() -> None:
    with pytest.raises(UsageError, match="Did you mean krum"):
        cases(names=["krumm"])
    with pytest.raises(UsageError, match="aggregators"):
        cases("aggregator")


def test_an_alias_is_understood() -> None:
    assert {case.method for case in cases(names=["trmean"])} == {"trimmed_mean"}


def test_a_method_defined_on_the_spot_is_checked_in_this_process_only() -> None:
    exec(GOOD, {"__name__": "notebook"})
    found = cases("aggregators", ["my_median"])
    assert "other_process" not in {case.check.name for case in found}
    assert len(found) > 15
    wrong = [str(case) for case in found if case.result().outcome != "pass"]
    assert wrong == []


def test_the_command_line_imports_no_torch() -> None:
    code = "import sys, robustbench_fl.cli.checking; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
