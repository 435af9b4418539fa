"""Checks that every registered method must pass, for this package and for plug-ins alike.

May import ``models``, ``api`` and ``core``.

On the command line ``robustbench-fl check --plugin my_rule.py my_rule``; in a test suite::

    from robustbench_fl.conformance import parametrize_with_checks


    @parametrize_with_checks(["my_rule", "my_rule(k=3)"])
    def test_conformance(case):
        case.run()

A class may declare ``expected_failures = {"scale": "why"}`` where it breaks a check on purpose (a
check that passes in spite of it fails), and ``checked_with = {"budget": 5}`` where its defaults are too slow.
"""

from robustbench_fl.conformance.checks import Check, Violation
from robustbench_fl.conformance.parametrize import parametrize_with_checks
from robustbench_fl.conformance.picking import cases, checks
from robustbench_fl.conformance.suite import Case, Outcome, Result

__all__ = ["Case", "Check", "Outcome", "Result", "Violation", "cases", "checks", "parametrize_with_checks"]
