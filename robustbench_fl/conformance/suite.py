"""Methods × checks: which cases there are, and what comes of each."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import Any

from robustbench_fl.api import PreAggregator, registry
from robustbench_fl.conformance import (  # noqa: F401  importing them declares their checks
    attack_rows,
    attack_strengths,
    attack_training,
    datasets,
    models,
    partitions,
    pre_aggregators,
    replay,
    rule_contract,
    rule_facts,
    rule_memory,
    rule_needs,
    rule_outliers,
    rule_tuning,
    texts,
)
from robustbench_fl.conformance.checks import FAMILIES, REGISTERED, Check, Family, Violation
from robustbench_fl.conformance.declared import expected_failures
from robustbench_fl.conformance.variants import label, variants
from robustbench_fl.core.errors import UsageError, did_you_mean


class Outcome(StrEnum):
    """What came of a case."""

    PASS = "pass"
    EXPECTED = "expected failure"
    FAIL = "FAIL"


@dataclass(frozen=True)
class Result:
    """The outcome of a case, with the reason of an expected failure or the message of a failure."""

    outcome: Outcome
    why: str = ""


@dataclass(frozen=True)
class Case:
    """One check of one method.

    Parameters
    ----------
    method : str
        Registered name.
    kind : str
        Its kind in the registry.
    check : Check
        What is asked of it.
    """

    method: str
    kind: str
    check: Check

    def __str__(self) -> str:
        """Return ``method-check``, the id in a test suite."""
        return f"{self.method}-{self.check.name}"

    def run(self) -> None:
        """Raise unless the check passes, or fails as declared.

        Raises
        ------
        Violation
            Naming the variant that fails and how.
        """
        result = self.result()
        if result.outcome is Outcome.FAIL:
            raise Violation(f"{self.method}, {self.check.name}: {result.why}")

    def result(self) -> Result:
        """Return what comes of the case, whatever the method raises."""
        try:
            forms = variants(registry.entry(self.kind, self.method).cls)
        except Exception as error:
            return Result(Outcome.FAIL, f"it cannot be made: {type(error).__name__}: {error}")
        failures = {name: why for name, why in self._failures(forms) if why is not None}
        return self._judged(failures, forms)

    def _judged(self, failures: Mapping[str, str], forms: tuple[Any, ...]) -> Result:
        """Hold the failures, by form, against those declared for the method and its forms."""
        expected = {form: self._expected(form, type(forms[0])) for form in (self.method, *map(label, forms))}
        declared = {form: reason for form, reason in expected.items() if reason is not None}
        for form, why in failures.items():
            if form not in declared and self.method not in declared:
                return Result(Outcome.FAIL, why if why.startswith(form) else f"{form}: {why}")
        for form, reason in declared.items():
            if form not in failures and not (form == self.method and failures):
                return Result(
                    Outcome.FAIL,
                    f"{form} passes, but is declared to fail: {reason}. Take the declaration away.",
                )
        if declared:
            return Result(
                Outcome.EXPECTED, "; ".join(_with_form(self.method, *pair) for pair in declared.items())
            )
        return Result(Outcome.PASS)

    def _expected(self, form: str, cls: type) -> str | None:
        return expected_failures(cls, form).get(self.check.name)

    def _failures(self, forms: tuple[Any, ...]) -> Iterator[tuple[str, str | None]]:
        """Yield every form with how it fails; all of them at once stand under the method's name."""
        if self.check.across:
            yield self.method, _failure_of(self.check, forms)
            return
        for form in forms:
            if self.check.applies(form):
                yield label(form), _failure_of(self.check, form)


def _failure_of(check: Check, subject: Any) -> str | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            check.function(subject)
    except Violation as error:
        return str(error)
    except Exception as error:
        return f"it raised {type(error).__name__}: {error}"
    return None


def _with_form(method: str, form: str, reason: str) -> str:
    return reason if form == method else f"{form}: {reason}"


def cases(kind: str | None = None, names: Iterable[str] | None = None) -> list[Case]:
    """Return every case of the methods asked for.

    Parameters
    ----------
    kind : str, optional
        ``"aggregators"`` (pre-aggregators among them), ``"attacks"``, ``"partitions"``,
        ``"datasets"`` or ``"models"``; all by default.
    names : iterable of str, optional
        Methods, by name or alias; all by default.

    Returns
    -------
    list of Case
        By kind, method and check; checks that mean nothing for a method are left out.

    Raises
    ------
    UsageError
        If there is no such kind or method.
    """
    if kind is not None and kind not in registry.PACKAGES:
        raise UsageError(
            f"Unknown kind of method {kind!r}. {did_you_mean(kind, registry.PACKAGES)}".rstrip()
            + f"\nThere are: {', '.join(registry.PACKAGES)}."
        )
    kinds = [kind] if kind else list(registry.PACKAGES)
    entries = (
        _named(kinds, list(names)) if names is not None else [e for k in kinds for e in registry.load_all(k)]
    )
    return [Case(entry.name, entry.kind, check) for entry in entries for check in _asked_of(entry.cls)]


def checks(family: Family | None = None) -> list[Check]:
    """Return the checks of a family of methods, or all."""
    families = [family] if family else list(FAMILIES)
    return [check for check in REGISTERED if set(check.families) & set(families)]


def _named(kinds: list[str], names: list[str]) -> Iterator[registry.Entry]:
    for name in names:
        homes = [kind for kind in kinds if name in registry.names(kind)]
        if not homes:  # an alias, or a mistake: only loading everything tells
            homes = [kind for kind in kinds if _is_known(kind, name)]
        if not homes:
            known = [known for kind in kinds for known in registry.names(kind)]
            raise UsageError(
                f"Unknown method {name!r}.\n"
                f"{did_you_mean(name, known)}   All of them: robustbench-fl list --names"
            )
        yield from (registry.entry(kind, name) for kind in homes)


def _is_known(kind: str, name: str) -> bool:
    try:
        registry.entry(kind, name)
    except UsageError:
        return False
    return True


@cache
def _asked_of(cls: type) -> list[Check]:
    family = _family(cls)
    return [check for check in REGISTERED if family in check.families and _applies(check, cls)]


def _applies(check: Check, cls: type) -> bool:
    """Ask of any variant; a method that cannot even be made is asked everything, and fails."""
    try:
        forms: tuple[Any, ...] = variants(cls)
        return any(check.applies(form) for form in forms)
    except Exception:
        return True


def _family(cls: type) -> Family:
    if issubclass(cls, PreAggregator):
        return "pre-aggregators"
    family: Family = cls.kind  # type: ignore[attr-defined]
    return family
