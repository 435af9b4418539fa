"""Every registered method passes every check that is asked of it."""

from __future__ import annotations

from robustbench_fl.api import registry
from robustbench_fl.conformance import Case, cases, parametrize_with_checks
from robustbench_fl.conformance.declared import EXPECTED, SMALL, UNVARIED


@parametrize_with_checks()
def test_conformance(case: Case) -> None:
    case.run()


def test_every_registered_method_is_checked() -> None:
    checked = {(case.kind, case.method) for case in cases()}
    assert checked == {(kind, name) for kind in registry.PACKAGES for name in registry.names(kind)}


def test_declarations_name_methods_and_checks_that_exist() -> None:
    known = {(case.method, case.check.name) for case in cases()}
    declared = {(form.split("(")[0], check) for form, found in EXPECTED.items() for check in found}
    assert declared <= known
    assert {*SMALL, *UNVARIED} <= {method for method, _ in known}
