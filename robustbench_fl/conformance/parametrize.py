"""The checks as parameters of a pytest function."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from robustbench_fl.api import registry
from robustbench_fl.conformance.picking import Method, cases

if TYPE_CHECKING:
    import pytest


def parametrize_with_checks(
    methods: Iterable[Method] | None = None,
    *,
    kind: str | None = None,
    plugins: Iterable[str | Path] = (),
) -> pytest.MarkDecorator:
    """Return a decorator that runs a test once for every check of every method.

    The test takes one argument, ``case``, and calls ``case.run()``, which raises
    :class:`~robustbench_fl.conformance.Violation` with what is wrong. The ids are ``method-check``.
    pytest is needed only here.

    Parameters
    ----------
    methods : iterable of str, type or object, optional
        Names, aliases, specs (whose parameters stay as they are), registered classes or instances
        of them; every registered method by default.
    kind : str, optional
        Only methods of this kind: ``"aggregators"``, ``"attacks"``, ``"partitions"``, ``"datasets"``
        or ``"models"``.
    plugins : iterable of str or Path, optional
        Plug-in files to load before, for methods that no installed package offers.

    Returns
    -------
    pytest.MarkDecorator
        For a test function or class.

    Raises
    ------
    UsageError
        If there is no such kind, method or file.

    Examples
    --------
    >>> @parametrize_with_checks(["median", "trimmed_mean(trim=0.1)"])
    ... def test_conformance(case):
    ...     case.run()
    >>> [str(case) for case in test_conformance.pytestmark[0].args[1]][:2]
    ['median-output', 'median-verdicts_agree']
    """
    import pytest

    for path in plugins:
        registry.load_plugin(Path(path))
    return pytest.mark.parametrize("case", cases(kind, methods), ids=str)
