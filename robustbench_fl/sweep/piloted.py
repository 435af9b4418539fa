"""What both pilots ask of a sweep: rules that are no baselines, other seeds, methods of the same code."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache

from robustbench_fl.api import build
from robustbench_fl.core.code import code_in
from robustbench_fl.core.errors import UsageError
from robustbench_fl.core.picks import OfPilot
from robustbench_fl.core.tuned import untuned
from robustbench_fl.sweep.config import METHOD_AXES, Sweep


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


def code_of(sweep: Sweep) -> dict[str, str]:
    """Return the digests of the code of all plug-in methods that a canonical sweep names, by name."""
    named = {(axis, text) for grid in sweep.grids for axis in METHOD_AXES for text in getattr(grid, axis)}
    return dict(sorted(found for axis, text in named for found in _code(axis, text).items()))


def same_code(found: OfPilot, source: str, command: str) -> Callable[..., None]:
    """Return what refuses a method of a plug-in, by axis and text, if the pilot ran it with other code.

    It refuses one that the pilot did not run as well, unless it is told ``if_run=True``.

    Parameters
    ----------
    found : OfPilot
        What the pilot found.
    source, command : str
        The file that says it, and what makes it anew.
    """

    @cache
    def check(axis: str, text: str, if_run: bool = False) -> None:
        now = _code(axis, text)
        changed = [name for name in now if found.code.get(name, now[name] if if_run else "") != now[name]]
        if changed:
            raise UsageError(
                f"{source!r} was made with other code of {', '.join(changed)}: run {command} again, which "
                "runs what the edit changed (with --keep-stale nothing, if it changed no number)."
            )

    return check


def _code(axis: str, text: str) -> dict[str, str]:
    return code_in({axis: build.identity_of(build.make(f"{axis}s", untuned(text)))})
