"""Checks that every registered method must pass, for this package and for plug-ins alike.

May import ``models``, ``api`` and ``core``.

On the command line ``robustbench-fl check --plugin my_rule.py my_rule``; in a test suite::

    import pytest
    from robustbench_fl.conformance import cases


    @pytest.mark.parametrize("case", cases("aggregators", ["my_rule"]), ids=str)
    def test_conformance(case):
        case.run()

A class may declare ``expected_failures = {"scale": "why"}`` where it breaks a check on purpose (a
check that passes in spite of it fails), and ``checked_with = {"budget": 5}`` where its defaults are too slow.
"""

from robustbench_fl.conformance.checks import Check, Violation
from robustbench_fl.conformance.suite import Case, Outcome, Result, cases, checks

__all__ = ["Case", "Check", "Outcome", "Result", "Violation", "cases", "checks"]
