"""Rules and pre-aggregators: the grid of parameters that they declare for tuning."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields, replace
from itertools import product
from typing import Any

from robustbench_fl.api import Aggregator, PreAggregator
from robustbench_fl.api.build import make, text_of
from robustbench_fl.conformance.checks import check, listing, require
from robustbench_fl.core.errors import UsageError


@check("aggregators")
def check_tuning(rule: Aggregator) -> None:
    """Every form of its tuning grid can be made and must know the same; the defaults are among them."""
    _require_grid(type(rule))


@check("pre-aggregators")
def check_tuning_grid(stage: PreAggregator) -> None:
    """Every form of its tuning grid can be made and must know the same; the defaults are among them."""
    _require_grid(type(stage))


def _require_grid(cls: Any) -> None:
    grid = cls.tuning
    if not grid:
        return
    defaults = {field.name: field.default for field in fields(cls)}
    for name, values in grid.items():
        require(name in defaults, f"it has no parameter {name!r} to tune")
        default = defaults[name]
        require(default in tuple(values), f"the default {default!r} of {name} is not in {_shown(values)}")
        require(len(set(values)) == len(values), f"a value of {name} is named twice: {_shown(values)}")
    rule = cls()
    for point in product(*grid.values()):
        form = replace(rule, **dict(zip(grid, point, strict=True)))
        text = text_of(form)
        try:
            make("aggregators", text if isinstance(form, Aggregator) else f"{text} > mean")
        except UsageError as error:
            require(False, f"the form {text!r} cannot be made: {error}")
        require(form.needs == rule.needs, f"the form {text!r} must know other things than the default")


def _shown(values: Iterable[object]) -> str:
    return listing([repr(value) for value in values])
