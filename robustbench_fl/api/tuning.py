"""The small grid of its own parameters that every rule declares, among which tuning picks.

Rules and pre-aggregators declare it on their class, ``tuning``: a mapping from a parameter to its values.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any

from robustbench_fl.api.build import make, text_of
from robustbench_fl.api.params import canonical_call
from robustbench_fl.api.pipeline import Pipeline
from robustbench_fl.api.registry import name_of


def candidates(text: str) -> tuple[str, ...]:
    """Return the forms of a rule among which tuning picks, the rule as it is named first.

    Parameters
    ----------
    text : str
        A rule, or a chain: then every stage is varied. A stage that is named with a parameter was chosen
        by whoever named it and stays as it is.

    Returns
    -------
    tuple of str
        Canonical texts.

    Examples
    --------
    >>> candidates("bucketing > median"), candidates("bucketing(s=4) > median")
    (('bucketing > median', 'bucketing(s=3) > median'), ('bucketing(s=4) > median',))
    """
    stages = [[text_of(form) for form in _forms(stage)] for stage in _stages(text)]
    found = [" > ".join(point) for point in product(*stages)]
    return tuple(dict.fromkeys((text, *found)))


def at_edge(text: str, picked: str) -> list[str]:
    """Return the parameters whose value in `picked` is the first or last number of the grid of `text`.

    Grids of fewer than three numbers have no inside.

    Examples
    --------
    >>> at_edge("foolsgold", "foolsgold(kappa=2)"), at_edge("foolsgold", "foolsgold")
    (['kappa'], [])
    """
    found = []
    for stage, form in zip(_stages(text), _stages(picked), strict=True):
        for name, values in grid_of(stage).items():
            numbers = [v for v in values if isinstance(v, int | float) and not isinstance(v, bool)]
            value = getattr(form, name)
            if len(numbers) > 2 and value is not None and value in (min(numbers), max(numbers)):
                found.append(name)
    return found


def grid_of(stage: Any) -> dict[str, tuple[Any, ...]]:
    """Return the grid of a rule or pre-aggregator, empty where it was named with parameters."""
    return {} if canonical_call(name_of(stage), stage).params else dict(type(stage).tuning)


def _forms(stage: Any) -> list[Any]:
    grid = grid_of(stage)
    return [replace(stage, **dict(zip(grid, point, strict=True))) for point in product(*grid.values())]


def _stages(text: str) -> tuple[Any, ...]:
    rule = make("aggregators", text)
    return (*rule.stages, rule.rule) if isinstance(rule, Pipeline) else (rule,)
