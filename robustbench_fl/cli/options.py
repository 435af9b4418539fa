"""Flags: those that several commands share, and those that describe a sweep and choose its cells."""

from __future__ import annotations

import contextlib
import functools
import inspect
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

import click

from robustbench_fl.api.registry import PACKAGES
from robustbench_fl.api.spec import format_value
from robustbench_fl.core.errors import UsageError
from robustbench_fl.core.settings import AXES, Axis

if TYPE_CHECKING:
    from robustbench_fl.sweep.config import Sweep
    from robustbench_fl.sweep.selection import Choice

F = TypeVar("F", bound=Callable[..., Any])


class Option(Protocol):
    """What adds a flag, or several, to a command."""

    def __call__(self, function: F, /) -> F:
        """Return the command with the flag."""


class GivenPath(click.Path):
    """A path that the system can look up, whether or not there is anything."""

    def __init__(self, *, dir_okay: bool = True) -> None:
        super().__init__(path_type=Path, dir_okay=dir_okay)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """Return the path."""
        try:
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                os.stat(value)
            return cast("Path", super().convert(value, param, ctx))
        except (OSError, ValueError) as error:
            self.fail(f"cannot look up {os.fspath(value)!r:.200}: {_reason(error)}.", param, ctx)


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or "it is no name of a file"


PATH = GivenPath()

_METAVARS = {"assumed_f": "MODE", "seeds": "SEEDS"}
_SHOWN = {"seeds": "0:1"}
"""Defaults that are written in another way than their value."""


def add(*options: Option) -> Option:
    """Return what adds these flags to a command, shown in this order."""

    def added(function: F) -> F:
        for option in reversed(options):
            function = option(function)
        return function

    return added


def add_as(name: str, make: Callable[..., Any], *options: Option) -> Option:
    """Return what adds flags that a command gets as one argument.

    Parameters
    ----------
    name : str
        The argument.
    make : callable
        Returns it; its parameters are what the flags say.
    options
        The flags.
    """
    flags = list(inspect.signature(make).parameters)

    def added(function: F) -> F:
        @functools.wraps(function)
        def command(**arguments: Any) -> Any:
            made = make(**{flag: arguments.pop(flag) for flag in flags})
            return function(**{name: made}, **arguments)

        return cast("F", add(*options)(command))

    return added


def typed(option: str) -> bool:
    """Whether the running command was given an option, by its parameter's name, on its command line."""
    source = click.get_current_context().get_parameter_source(option)
    return source is click.core.ParameterSource.COMMANDLINE


folder_argument = click.argument("folder", metavar="DIR", type=PATH)
take_over_option = click.option(
    "--take-over",
    is_flag=True,
    help="Do not wait for runs of other machines, or of this one before it was started anew: you are sure "
    "that they are gone.",
)
data_dir_option = click.option(
    "--data-dir",
    type=PATH,
    envvar="ROBUSTBENCH_FL_DATA",
    metavar="DIR",
    help="Folder of the data sets.  [default: $ROBUSTBENCH_FL_DATA, else the user's data directory]",
)
plugin_option = click.option(
    "--plugin",
    "plugins",
    multiple=True,
    type=PATH,
    metavar="FILE.py",
    help="Python file that registers further methods.",
)
calibrate_option = click.option(
    "--calibrate",
    is_flag=True,
    help="Estimate the time: run two rounds of each kind of cell that has no finished cell yet.",
)
missing_option = click.option(
    "--missing",
    type=click.Choice(["exclude", "worst", "zero"]),
    default="exclude",
    show_default=True,
    help="Rules with missing cells: leave them unranked, or count those cells as the worst of their world "
    "or as 0.",
)


def by_option(columns: str) -> Option:
    """Return the option ``--by``, whose help names `columns`."""
    return click.option("--by", metavar="COLUMNS", help=f"One table for each value of: {columns}.")


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
    return add(
        click.argument("file", required=False, type=PATH),
        *(_listed(axis) for axis in sorted(AXES.values(), key=lambda axis: not axis.required)),
        click.option(
            "--alpha",
            multiple=True,
            metavar="NUMBER",
            help="Short for --partition balanced_dirichlet(alpha=NUMBER).",
        ),
        click.option("--name", help="The sweep's name.  [default: the file's stem, or sweep]"),
        click.option("-o", "--out", type=PATH, metavar="DIR", help="Folder.  [default: results/NAME]"),
        plugin_option,
    )(function)


def axis_options(*names: str, note: str = "") -> Option:
    """Return what adds a flag for one number on each of these axes, with its range and default.

    Parameters
    ----------
    names : str
        The axes.
    note : str
        Ends the help.
    """

    return add(
        *(
            click.option(
                _flag(axis),
                type=_range(axis),
                default=axis.default,
                show_default=True,
                help=f"{axis.about.help} {note}".rstrip(),
            )
            for axis in (AXES[name] for name in names)
        )
    )


choice_options = add(
    click.option(
        "--only",
        multiple=True,
        metavar="EXPR",
        help="Take only these cells. All terms must hold: "
        "\"aggregator=krum|'nnm > *' attack!=none seed=0..2 malicious>=0.2\". * and ? are wildcards; a name "
        "without parameters means any. Given twice, cells of either are taken.",
    ),
    click.option("--exclude", multiple=True, metavar="EXPR", help="Leave these cells out. May be repeated."),
    click.option(
        "--shard",
        metavar="I/N",
        help="Take the I-th of N equal parts, for job arrays. Together the parts hold each cell once.",
    ),
)
"""Adds the flags that choose cells of a plan."""


def choice_of(flags: dict[str, Any]) -> Choice:
    """Return what the flags of :data:`choice_options` choose.

    Raises
    ------
    UsageError
        If an expression or a shard cannot be read.
    """
    from robustbench_fl.sweep.selection import Choice, Shard
    from robustbench_fl.sweep.selection_text import parse

    return Choice(
        only=tuple(parse(text, "--only") for text in flags["only"]),
        exclude=tuple(parse(text, "--exclude") for text in flags["exclude"]),
        shard=None if flags["shard"] is None else Shard.parse(flags["shard"]),
    )


def sweep_of(file: Path | None, flags: dict[str, Any]) -> Sweep:
    """Return the sweep that a file and flags describe."""
    from robustbench_fl.sweep.config import make_sweep, read_sweep

    table = read_sweep(file) if file else {}
    return make_sweep(table, _overrides(flags), file.name if file else "the flags")


def _listed(axis: Axis) -> Option:
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
    return click.IntRange(**bounds) if axis.kind is int else _Number(**bounds)


class _Number(click.FloatRange):
    """A number within bounds, which "not a number" is not."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the number."""
        number: float = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail(f"{value!r} is no number.", param, ctx)
        return number


def _overrides(flags: dict[str, Any]) -> dict[str, Any]:
    given = {axis.name: _values(axis, flags[axis.name]) for axis in AXES.values() if flags[axis.name]}
    given["plugins"] = [str(path) for path in flags.get("plugins", ())]
    if flags["alpha"]:
        if flags["partition"]:
            raise UsageError(
                "--alpha is short for a balanced_dirichlet partition; give --alpha or --partition, not both."
            )
        given["partition"] = [f"balanced_dirichlet(alpha={item})" for item in _items(flags["alpha"])]
    return {**given, "name": flags["name"]} if isinstance(flags.get("name"), str) else given


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
