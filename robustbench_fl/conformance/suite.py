"""One check of one method: what comes of it."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import torch

from robustbench_fl.api import registry
from robustbench_fl.conformance.checks import Check, Violation
from robustbench_fl.conformance.declared import expected_failures
from robustbench_fl.conformance.variants import given_in, label, variants


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
    spec : str, optional
        The method with parameters that stay as they are, such as ``"krum(f=2)"``. By default it is
        checked as it is without any.
    """

    method: str
    kind: str
    check: Check
    spec: str = ""

    def __str__(self) -> str:
        """Return ``method-check``, the id in a test suite."""
        return f"{self.subject}-{self.check.name}"

    @property
    def subject(self) -> str:
        """The method as it was asked for."""
        return self.spec or self.method

    def run(self) -> None:
        """Raise unless the check passes, or fails as declared.

        Raises
        ------
        Violation
            Naming the variant that fails and how.
        """
        result = self.result()
        if result.outcome is Outcome.FAIL:
            raise Violation(f"{self.subject}, {self.check.name}: {result.why}")

    def result(self) -> Result:
        """Return what comes of the case, whatever the method raises."""
        try:
            cls = registry.entry(self.kind, self.method).cls
            forms = variants(cls, given_in(self.kind, self.spec)) if self.spec else variants(cls)
        except Exception as error:
            return Result(Outcome.FAIL, f"it cannot be made: {type(error).__name__}: {error}")
        with _one_thread():
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
            if self.spec:  # what is declared of all its forms need not hold for this one
                break
            if form not in failures and not (form == self.method and failures):
                return Result(
                    Outcome.FAIL,
                    f"{form} passes, but is declared to fail: {reason}. Take the declaration away.",
                )
        if declared and (failures or not self.spec):
            return Result(
                Outcome.EXPECTED, "; ".join(_with_form(self.method, *pair) for pair in declared.items())
            )
        return Result(Outcome.PASS)

    def _expected(self, form: str, cls: type) -> str | None:
        return expected_failures(cls, form).get(self.check.name)

    def _failures(self, forms: tuple[Any, ...]) -> Iterator[tuple[str, str | None]]:
        """Yield every form with how it fails; all of them at once stand under the method's name."""
        if self.check.across:
            # What a method denies of itself, some form of it must break: all of them are there.
            others = [form for form in variants(type(forms[0])) if form not in forms] if self.spec else []
            yield self.method, _failure_of(self.check, (*forms, *others))
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


@contextmanager
def _one_thread() -> Iterator[None]:
    """Keep torch on one thread: the scenes are tiny, and threads would mostly wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
