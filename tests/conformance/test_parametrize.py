"""The checks as pytest parameters, as an author uses them, and methods with parameters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from robustbench_fl.api import make, registry
from robustbench_fl.conformance import Case, Outcome, cases, parametrize_with_checks
from robustbench_fl.core.errors import UsageError

PLUGIN = '''
from dataclasses import dataclass
from robustbench_fl.api import Aggregation, Aggregator, register


@register("nearly_median")
@dataclass(frozen=True, kw_only=True)
class NearlyMedian(Aggregator):
    """Median of the updates, Tensor [n, d], longer by a factor.

    Parameters
    ----------
    factor : float
        It is a median at 1.
    """

    factor: float = 1.0

    def aggregate(self, updates, view, state):
        """Return the median times the factor."""
        return Aggregation(self.factor * updates.quantile(0.5, dim=0)), None
'''
SUITE = """
from robustbench_fl.conformance import parametrize_with_checks


@parametrize_with_checks(["nearly_median", "nearly_median(factor=2.0)"], plugins=["nearly_median.py"])
def test_conformance(case):
    case.run()
"""

pytestmark = pytest.mark.usefixtures("clean_registry")


class Outcomes:
    """Listens to a run of pytest."""

    def __init__(self) -> None:
        self.of: dict[str, str] = {}
        self.why: dict[str, str] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call":
            name = report.nodeid.split("[")[1].removesuffix("]")
            self.of[name], self.why[name] = report.outcome, report.longreprtext


def test_an_authors_suite_has_one_test_for_each_method_and_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "nearly_median.py").write_text(PLUGIN)
    (tmp_path / "test_mine.py").write_text(SUITE)
    monkeypatch.chdir(tmp_path)
    found = Outcomes()
    arguments = ["-q", "-p", "no:cacheprovider", "--rootdir=.", "-c", "/dev/null", "test_mine.py"]
    assert pytest.main(arguments, plugins=[found]) == pytest.ExitCode.TESTS_FAILED
    asked = {case.check.name for case in cases(names=["nearly_median"])}
    assert len(asked) > 15
    specs = "nearly_median", "nearly_median(factor=2.0)"
    assert set(found.of) == {f"{spec}-{check}" for spec in specs for check in asked}
    failed = {name for name, outcome in found.of.items() if outcome != "passed"}
    doubled = {"translation", "identical_updates"}  # what a median times two is not
    assert failed == {f"nearly_median(factor=2.0)-{check}" for check in doubled}
    assert (
        "nearly_median(factor=2.0), identical_updates"
        in found.why["nearly_median(factor=2.0)-identical_updates"]
    )


def parametrized(*methods: Any) -> list[Case]:
    mark = parametrize_with_checks(methods)
    return list(mark.mark.args[1])


def test_names_aliases_classes_and_instances_are_understood() -> None:
    krum = registry.entry("aggregators", "krum").cls
    by_class, by_name = parametrized(krum), parametrized("krum")
    assert by_class == by_name
    assert {case.subject for case in parametrized(make("aggregators", "trimmed_mean(trim=0.2)"))} == {
        "trimmed_mean(trim=0.2)"
    }
    assert {case.method for case in parametrized("trmean(trim=0.2)")} == {"trimmed_mean"}
    assert {case.kind for case in parametrized("krum", "sign_flip")} == {"aggregators", "attacks"}


def test_what_is_no_method_is_refused_when_tests_are_collected() -> None:
    for wrong, says in (
        ("krumm", "Did you mean krum"),
        ("trimmed_mean(trimm=0.1)", "no parameter"),
        ("nnm > median", "pipeline"),
        (dict, "no registered method"),
    ):
        with pytest.raises(UsageError, match=says):
            parametrized(wrong)


def test_parameters_stay_and_a_pre_aggregator_takes_them_too() -> None:
    for spec in ("trimmed_mean(trim=0.2)", "clip(c=3.0)", "ipm(epsilon=0.3)"):
        results = {str(case): case.result() for case in cases(names=[spec])}
        assert [name for name, result in results.items() if result.outcome is Outcome.FAIL] == []
        assert f"{spec}-text_round_trip" in results


def test_a_declared_failure_need_not_be_one_at_other_parameters() -> None:
    (case,) = (case for case in cases(names=["flame(noise=0.0)"]) if case.check.name == "identical_updates")
    assert case.result().outcome is Outcome.PASS
