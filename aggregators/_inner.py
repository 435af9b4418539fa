"""A rule that is the parameter of another rule."""

from __future__ import annotations

from functools import cache

from robustbench_fl.api import Aggregator


@cache
def inner_rule(text: str, parameter: str) -> Aggregator:
    """Return the rule that `text` describes.

    Parameters
    ----------
    text : str
        A registered rule, maybe after pre-aggregators, as ``"nnm > trimmed_mean"``.
    parameter : str
        Name of the parameter that holds it, for the error message.

    Raises
    ------
    UsageError
        If there is no such rule.
    """
    # Only here: building methods stands above their files.
    from robustbench_fl.api import make

    rule: Aggregator = make("aggregators", text, parameter)
    return rule
