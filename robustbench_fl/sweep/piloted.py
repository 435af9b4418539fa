"""What both pilots ask of a sweep: rules that are not baselines, and seeds that are not its own."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

from robustbench_fl.api import build
from robustbench_fl.core.errors import UsageError
from robustbench_fl.core.tuned import untuned
from robustbench_fl.sweep.config import Sweep


@cache
def is_baseline(rule: str) -> bool:
    """Whether a rule is shown for comparison only."""
    return build.make("aggregators", untuned(rule)).baseline is not None


def refuse_shared(sweep: Sweep, seeds: Iterable[int], what: str) -> None:
    """Refuse seeds of a pilot that the sweep has itself.

    Raises
    ------
    UsageError
        If it has one of `seeds`, which the message calls `what`.
    """
    shared = sorted({seed for grid in sweep.grids for seed in grid.seeds} & set(seeds))
    if shared:
        some = ", ".join(map(str, shared[:5])) + " …" * (len(shared) > 5)
        raise UsageError(
            f"The sweep {sweep.name!r} has the {what} {some} "
            "among its own: what is picked on a seed must not be reported on it. Choose other seeds."
        )
