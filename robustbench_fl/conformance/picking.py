"""Which checks are asked of which methods."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any

from robustbench_fl.api import PreAggregator, registry
from robustbench_fl.api.build import text_of
from robustbench_fl.api.spec import parse_chain
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
from robustbench_fl.conformance.checks import FAMILIES, REGISTERED, Check, Family
from robustbench_fl.conformance.suite import Case
from robustbench_fl.conformance.variants import made, variants
from robustbench_fl.core.errors import UsageError, did_you_mean, nearest_or_own

Method = str | type | Any
"""A name or a spec such as ``"krum"`` or ``"trimmed_mean(trim=0.1)"``, a registered class, or an instance."""


def cases(kind: str | None = None, names: Iterable[Method] | None = None) -> list[Case]:
    """Return every case of the methods asked for.

    Parameters
    ----------
    kind : str, optional
        ``"aggregators"`` (pre-aggregators among them), ``"attacks"``, ``"partitions"``,
        ``"datasets"`` or ``"models"``; all by default.
    names : iterable of str, type or object, optional
        Names, aliases, specs (whose parameters stay as they are), registered classes or instances
        of them; every registered method by default.

    Returns
    -------
    list of Case
        By method, in the given order or by kind and name, and by check; checks that mean nothing for
        a method are left out.

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
    if names is None:
        found = [(entry, "") for k in kinds for entry in registry.load_all(k)]
    else:
        found = [pair for name in names for pair in _named(kinds, name)]
    return [
        Case(entry.name, entry.kind, check, spec) for entry, spec in found for check in _asked_of(entry.cls)
    ]


def checks(family: Family | None = None) -> list[Check]:
    """Return the checks of a family of methods, or all."""
    families = [family] if family else list(FAMILIES)
    return [check for check in REGISTERED if set(check.families) & set(families)]


def _named(kinds: list[str], method: Method) -> Iterator[tuple[registry.Entry, str]]:
    """Yield the entries that `method` means, with the spec where it has parameters."""
    if not isinstance(method, str):
        entry = _entry_of(method)
        text = entry.name if isinstance(method, type) else text_of(method)
        yield entry, "" if text == entry.name else text
        return
    chain = parse_chain(method)
    name, colon, _ = chain[0].name.partition(":")
    special = bool(chain[0].params or colon or len(chain) > 1)
    homes = [kind for kind in kinds if name in registry.names(kind)]
    if not homes:  # an alias, or a mistake: only loading everything tells
        homes = [kind for kind in kinds if registry.is_known(kind, name)]
    if not homes:
        known = [known for kind in kinds for known in registry.names(kind)]
        raise UsageError(
            f"Unknown method {name!r}.\n"
            f"{nearest_or_own(name, known)}   All of them: robustbench-fl list --names"
        )
    for kind in homes:
        if special:
            made(kind, method)
        yield registry.entry(kind, name), method if special else ""


def _entry_of(method: Any) -> registry.Entry:
    cls = method if isinstance(method, type) else type(method)
    entry: registry.Entry | None = cls.__dict__.get("registered")
    if entry is None:
        raise UsageError(f"{cls.__qualname__} is no registered method: put @register(name) on its class.")
    return entry


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
