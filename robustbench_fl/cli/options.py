"""The flags that describe a sweep, shared by ``sweep`` and ``plan``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from robustbench_fl.api.registry import PACKAGES
from robustbench_fl.api.spec import format_value
from robustbench_fl.core.errors import UsageError
from robustbench_fl.core.settings import AXES, Axis

if TYPE_CHECKING:
    from robustbench_fl.sweep.config import Sweep

F = TypeVar("F", bound=Callable[..., Any])

_METAVARS = {"assumed_f": "MODE", "seeds": "SEEDS"}
_SHOWN = {"seeds": "0:1"}
"""Defaults that are written in another way than their value."""


def complete_method(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """Complete the last name of a spec, after commas and '>' too, or of a group."""
    from robustbench_fl.api.groups import groups
    from robustbench_fl.api.registry import names

    axis = f"{parameter.name}s"
    kinds = [axis] if axis in PACKAGES else list(PACKAGES)
    start = max(incomplete.rfind(mark) for mark in ",> ") + 1
    known = sorted({name for kind in kinds for name in names(kind)})
    known += list(groups(axis)) if axis in PACKAGES else []
    return [incomplete[:start] + name for name in known if name.startswith(incomplete[start:])]


def sweep_options(function: F) -> F:
    """Add the sweep's file argument and one flag for each axis and setting."""
    path = click.Path(path_type=Path)
    options = [
        click.argument("file", required=False, type=path),
        *(_listed(axis) for axis in sorted(AXES.values(), key=lambda axis: not axis.required)),
        click.option(
            "--alpha", multiple=True, metavar="NUMBER", help="Short for -p balanced_dirichlet(alpha=NUMBER)."
        ),
        click.option("--name", help="The sweep's name.  [default: the file's stem, or sweep]"),
        click.option("-o", "--out", type=path, metavar="DIR", help="Folder.  [default: results/NAME]"),
        click.option(
            "--plugin",
            "plugins",
            multiple=True,
            type=path,
            metavar="FILE.py",
            help="Python file that registers further methods.",
        ),
    ]
    for option in reversed(options):
        function = option(function)
    return function


def axis_options(*names: str, note: str = "") -> Callable[[F], F]:
    """Return what adds a flag for one number on each of these axes, with its range and default.

    Parameters
    ----------
    names : str
        The axes.
    note : str
        Ends the help.
    """

    def add(function: F) -> F:
        for axis in [AXES[name] for name in reversed(names)]:
            option = click.option(
                _flag(axis), type=_range(axis), default=axis.default, show_default=True,
                help=f"{axis.about.help} {note}".rstrip(),
            )  # fmt: skip
            function = option(function)
        return function

    return add


def data_dir_option(function: F) -> F:
    """Add ``--data-dir``, which the environment may give too."""
    decorated: F = click.option(
        "--data-dir",
        type=click.Path(path_type=Path),
        envvar="ROBUSTBENCH_FL_DATA",
        metavar="DIR",
        help="Where data sets lie.  [default: $ROBUSTBENCH_FL_DATA, else the user's data directory]",
    )(function)
    return decorated


def sweep_of(file: Path | None, flags: dict[str, Any]) -> Sweep:
    """Return the sweep that a file and flags describe."""
    from robustbench_fl.sweep.config import make_sweep, read_sweep

    table = read_sweep(file) if file else {}
    return make_sweep(table, _overrides(flags), file.name if file else "the flags")


def _listed(axis: Axis) -> Callable[[F], F]:
    """Return the flag for values on an axis, which may be repeated."""
    default = _SHOWN.get(axis.name) or ("" if axis.default is None else _text(axis.default))
    return click.option(
        *filter(None, (_flag(axis), axis.about.flag)),
        axis.name,
        multiple=True,
        metavar=_METAVARS.get(axis.name) or ("SPEC" if axis.kind is str else "NUMBER"),
        help=axis.about.help + (f"  [default: {default}]" if default else ""),
        shell_complete=complete_method if f"{axis.name}s" in PACKAGES else None,
    )


def _flag(axis: Axis) -> str:
    return f"--{axis.name.replace('_', '-')}"


def _text(default: Any) -> str:
    return default if isinstance(default, str) else format_value(default)


def _range(axis: Axis) -> click.IntRange | click.FloatRange:
    bounds: dict[str, Any] = {}
    for mark in axis.bounds:
        for name, side in (("ge", "min"), ("gt", "min"), ("le", "max"), ("lt", "max")):
            if hasattr(mark, name):
                bounds |= {side: getattr(mark, name), f"{side}_open": name in ("gt", "lt")}
    return click.IntRange(**bounds) if axis.kind is int else click.FloatRange(**bounds)


def _overrides(flags: dict[str, Any]) -> dict[str, Any]:
    given = {axis.name: _values(axis, flags[axis.name]) for axis in AXES.values() if flags[axis.name]}
    if flags["alpha"]:
        if flags["partition"]:
            raise UsageError(
                "--alpha is short for a balanced_dirichlet partition; give --alpha or --partition, not both."
            )
        given["partition"] = [f"balanced_dirichlet(alpha={item})" for item in _items(flags["alpha"])]
    return {**given, "name": flags["name"]} if flags.get("name") else given


def _values(axis: Axis, given: tuple[str, ...]) -> Any:
    """Return what was given on an axis, for :func:`robustbench_fl.sweep.config.make_sweep`."""
    if axis.name == "seeds":
        return ",".join(given)
    if axis.name == "assumed_f":
        return _items(given)
    if axis.kind is str:
        return list(given)
    return [_number(axis, item) for item in _items(given)]


def _items(values: tuple[str, ...]) -> list[str]:
    return [item.strip() for value in values for item in value.split(",")]


def _number(axis: Axis, text: str) -> Any:
    try:
        return axis.kind(text)
    except ValueError:
        wanted = "a whole number" if axis.kind is int else "a number"
        raise UsageError(f"{_flag(axis)} must be {wanted}, got {text!r}.") from None
