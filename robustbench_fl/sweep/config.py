"""The sweep: a TOML file and command-line flags become one validated object.

Keys of the file are the names of the flags (``--local-epochs`` is ``local_epochs``). Every key but
``name`` may be a list and is then an axis; ``[[grid]]`` tables, each with axes of its own, are united.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Container, Iterable, Mapping
from pathlib import Path
from types import GenericAlias
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, ValidationError, create_model, field_validator, model_validator

from robustbench_fl.api.recipes import CHOICES, canonical_choice
from robustbench_fl.api.spec import Value, format_chain, format_value, parse_chains
from robustbench_fl.core.cell import ASSUMED_F
from robustbench_fl.core.code import shown_file
from robustbench_fl.core.errors import UsageError, did_you_mean
from robustbench_fl.core.files import read_given
from robustbench_fl.core.picks import LARGEST_FILE
from robustbench_fl.core.settings import AXES, LARGEST_SEED
from robustbench_fl.core.tuned import COMMAND, Tuned

METHOD_AXES = ("dataset", "model", "partition", "aggregator", "attack")
"""Axes whose entries are texts of the spec language."""
GROWABLE = ("aggregator", "attack", "partition", "malicious", "assumed_f", "seeds")
"""Axes along which an existing folder may grow; everything else must agree."""

MANY_SEEDS = 100_000
_HEAD = ("name", "grid", "plugins", "pilot", "tuned")
"""Keys of a sweep file that are no axes."""
_DIGITS = "[0-9]{1,99}"


class Grid(BaseModel):
    """One product of axes: all of :data:`~robustbench_fl.core.settings.AXES`, with ranges and defaults.

    Every entry is a list; a single value is a list of one.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)

    if TYPE_CHECKING:

        def __getattr__(self, axis: str) -> list[Any]: ...

    @field_validator("*")
    @classmethod
    def _each_once(cls, values: list[Any]) -> list[Any]:
        if not values:
            raise ValueError("give at least one value")
        # Equal numbers have one spelling: -0.0 is 0.0.
        return list(dict.fromkeys(one + 0.0 if isinstance(one, float) else one for one in values))

    @field_validator("assumed_f", check_fields=False)
    @classmethod
    def _known_mode(cls, modes: list[str]) -> list[str]:
        for mode in modes:
            if mode not in ASSUMED_F:
                raise ValueError(f"expected one of {', '.join(ASSUMED_F)}, got {mode!r}")
        return modes

    @model_validator(mode="after")
    def _one_unit_of_local_work(self) -> Grid:
        if (self.local_epochs == [None]) == (self.local_steps == [None]):
            raise ValueError("give local_epochs or local_steps, one of them")
        if None in self.local_epochs and None in self.local_steps:
            raise ValueError("local_epochs and local_steps must be numbers")
        return self


_WholeGrid: type[Grid] = create_model(  # type: ignore[call-overload]
    "_WholeGrid",
    __base__=Grid,
    __module__=__name__,
    **{
        name: (GenericAlias(list, axis.hint), ... if axis.required else [axis.default])
        for name, axis in AXES.items()
    },
)


class Sweep(BaseModel):
    """A named union of grids."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    grids: tuple[Grid, ...]
    plugins: tuple[str, ...] = ()
    """Python files whose methods it uses, as paths that are known to whoever starts it."""
    pilot: Path | None = None
    """The picks of a pilot: each rule then meets these members of a family only, and its default."""
    tuned_rules: Path | None = None
    """What tuning found: each rule then has a tuned form beside it."""
    tuned: tuple[Tuned, ...] = ()
    """What the tuned rules of its grids stand for."""


def read_sweep(path: Path) -> dict[str, Any]:
    """Return the raw table of a sweep file; the path of its key ``pilot`` counts from the file's folder.

    Raises
    ------
    UsageError
        If the file is missing or no TOML.
    """
    try:
        text = read_given(path, LARGEST_FILE).decode("utf-8-sig")  # some editors begin with a mark
        table = tomllib.loads(text.replace("\r\n", "\n"))
    except OSError as error:
        raise UsageError(f"Cannot read the sweep file {str(path)!r}: {error.strerror}.") from None
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path.name} is not valid TOML: {error}.") from None
    table.setdefault("name", path.stem)
    if "plugins" in table:
        table["plugins"] = [str(_beside(path, name)) for name in _plugin_names(table["plugins"], path.name)]
    if "pilot" in table:
        if not isinstance(table["pilot"], str) or not table["pilot"]:
            raise UsageError(
                f"pilot in {path.name} must be the path of a pilot's picks, got {table['pilot']!r}."
            )
        table["pilot"] = path.parent / table["pilot"]
    if isinstance(table.get("tuned"), str):
        table["tuned"] = path.parent / table["tuned"]
    return table


def make_sweep(table: Mapping[str, Any], overrides: Mapping[str, Any], where: str = "the flags") -> Sweep:
    """Return the validated sweep of a file's `table` with `overrides` from flags.

    Parameters
    ----------
    table : mapping
        What :func:`read_sweep` gave, or ``{}``.
    overrides : mapping
        Values given on the command line; each replaces the file's in every grid.
    where : str
        The file's name, for error messages.

    Raises
    ------
    UsageError
        On unknown keys, wrong types and values out of range.
    """
    base = {key: value for key, value in table.items() if key not in _HEAD}
    pilot = table.get("pilot")
    if not isinstance(pilot, Path | None):
        raise UsageError(f"pilot in {where}: only a sweep file that the user names may name picks.")
    held = table.get("tuned", [])
    try:
        tuned = () if isinstance(held, Path) else tuple(map(Tuned.model_validate, held))
    except (ValidationError, TypeError):
        raise UsageError(
            f"tuned in {where} must be the path of what {COMMAND} writes, "
            "or the [[tuned]] tables of a folder."
        ) from None
    grids = table.get("grid", [])
    if not isinstance(grids, list) or not all(isinstance(grid, dict) for grid in grids):
        raise UsageError(f"'grid' in {where} must be [[grid]] tables.")
    if misplaced := next((key for grid in grids for key in grid if key in _HEAD), None):
        raise UsageError(
            f"{misplaced!r} is in a [[grid]] of {where} and is of the whole sweep: put it before the first."
        )
    name = str(overrides.get("name", table.get("name", "sweep")))
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", name):
        raise UsageError(
            f"The sweep's name {name!r} must be letters, digits, '_', '-' and '.' (it names a folder). "
            "Give another with --name or as the file's key name."
        )
    flags = {key: value for key, value in overrides.items() if key not in ("name", "plugins")}
    made = [
        _grid(
            _merged(_merged(base, grid), flags),
            f"{where}, [[grid]] #{number}" if len(grids) > 1 else where,
            flags if table else (),
        )
        for number, grid in enumerate(grids or [{}], 1)
    ]
    named = _plugin_names(table.get("plugins", []), where)
    plugins = dict.fromkeys([*named, *overrides.get("plugins", ())])
    return Sweep(
        name=name,
        grids=_unique(made),
        plugins=tuple(plugins),
        pilot=pilot,
        tuned_rules=held if isinstance(held, Path) else None,
        tuned=tuned,
    )


def parse_seeds(value: Any, what: str = "seeds") -> list[int]:
    """Return the seeds meant by ``5`` (0 … 4), ``"1000:1020"``, ``"3,7,11"`` or a list; errors name `what`.

    Examples
    --------
    >>> parse_seeds("2"), parse_seeds("7:9"), parse_seeds("3,7,11"), parse_seeds([4])
    ([0, 1], [7, 8], [3, 7, 11], [4])
    """
    if isinstance(value, list):
        return [seed for item in value for seed in (_range(item, what) if isinstance(item, str) else [item])]
    text = str(value).strip()
    if text == "0":
        raise UsageError(f"{what}: 0 seeds were asked for. 5 means seeds 0 to 4; seed 0 alone is 0:1.")
    if re.fullmatch(_DIGITS, text):
        return _range(f"0:{text}", what)
    return [seed for part in text.split(",") for seed in _range(part, what)]


def to_toml(sweep: Sweep) -> dict[str, Any]:
    """Return the sweep as a TOML table that :func:`make_sweep` reads back to the same sweep."""
    tables = [{name: _toml_value(name, values) for name, values in grid} for grid in sweep.grids]
    tables = [{name: value for name, value in table.items() if value is not None} for table in tables]
    head: dict[str, Any] = {"name": sweep.name}
    if sweep.plugins:
        head["plugins"] = list(dict.fromkeys(shown_file(Path(name)) for name in sweep.plugins))
    tuned = {"tuned": [one.model_dump() for one in sweep.tuned]} if sweep.tuned else {}
    if len(tables) == 1:
        return {**head, **tables[0], **tuned}
    shared = {k: v for k, v in tables[0].items() if all(table.get(k) == v for table in tables)}
    own = [{k: v for k, v in table.items() if k not in shared} for table in tables]
    return {**head, **shared, "grid": own, **tuned}


def united(old: Sweep, new: Sweep) -> Sweep:
    """Return `old` grown by the grids of `new`.

    Raises
    ------
    UsageError
        If anything but the growable axes differs, with the difference.
    """
    if differences := settings_apart(old, new, "in the folder", "now"):
        raise UsageError(
            f"The folder holds the sweep {old.name!r} with other settings:\n"
            + "\n".join(differences)
            + f"\nOnly {', '.join(GROWABLE)} may grow. Choose another folder with --out."
        )
    plugins = dict.fromkeys([*old.plugins, *map(shown_file, map(Path, new.plugins))])
    grids = _unique([*old.grids, *new.grids])
    return Sweep(name=old.name, grids=grids, plugins=tuple(plugins), tuned=_all_tuned(old, new))


def _all_tuned(old: Sweep, new: Sweep) -> tuple[Tuned, ...]:
    found = {one.place: one for one in old.tuned}
    for one in new.tuned:
        if (before := found.setdefault(one.place, one)) != one:
            raise UsageError(
                f"The folder holds the sweep {old.name!r}, in which the tuned {one.aggregator} is "
                f"{before.picked} at lr = {before.picked_lr:g}; now it is {one.picked} at "
                f"{one.picked_lr:g}. Choose another folder with --out."
            )
    return tuple(found.values())


def settings_apart(old: Sweep, new: Sweep, here: str, there: str) -> list[str]:
    """Return a line for each setting in which two sweeps differ so that they cannot be united.

    Parameters
    ----------
    old, new : Sweep
        Two sweeps.
    here, there : str
        What to call them.
    """
    for grid in new.grids:
        differences = min((_differences(before, grid, here, there) for before in old.grids), key=len)
        if differences:
            return differences
    return []


def _differences(before: Grid, after: Grid, here: str, there: str) -> list[str]:
    return [
        f"  {name}: {_shown(values)} {here}, {_shown(getattr(after, name))} {there}"
        for name, values in before
        if name not in GROWABLE and set(values) != set(getattr(after, name))
    ]


def _plugin_names(value: Any, where: str) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(name, str) and name for name in value):
        raise UsageError(f"plugins in {where} must be a list of Python files, such as ['my_rule.py'].")
    return value


def _beside(file: Path, name: str) -> Path:
    """Return where a plug-in lies that a sweep file names: beside it, or packed with its folder."""
    packed = file.parent / "plugins" / Path(name).name
    return packed if not (file.parent / name).is_file() and packed.is_file() else file.parent / name


def _range(text: str, what: str) -> list[int]:
    """Return the seeds of ``7`` or ``1000:1020``, the end not included."""
    match = re.fullmatch(rf"\s*({_DIGITS})(?::({_DIGITS}))?\s*", text)
    if not match:
        raise UsageError(
            f"{what}: cannot read {text.strip()!r}. Give a count (5), a range (1000:1020) or a list (3,7,11)."
        )
    first, end = int(match[1]), int(match[2]) if match[2] else int(match[1]) + 1
    if first >= end:
        raise UsageError(f"{what}: {text.strip()!r} names no seed. The end is not included: 7:8 is seed 7.")
    if end - first > MANY_SEEDS:
        raise UsageError(f"{what}: {end - first} seeds were asked for; at most {MANY_SEEDS} are allowed.")
    if end > LARGEST_SEED:
        raise UsageError(f"{what}: {text.strip()!r} names a seed of 10^18 or more. Seeds are less.")
    return list(range(first, end))


def _unique(grids: Iterable[Grid]) -> tuple[Grid, ...]:
    found: list[Grid] = []
    for grid in grids:
        if grid not in found:
            found.append(grid)
    return tuple(found)


def _merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Later values win; local epochs and local steps replace each other."""
    over = {key: value for key, value in over.items() if value is not None}
    merged = {**base, **over}
    for unit, other in (("local_steps", "local_epochs"), ("local_epochs", "local_steps")):
        if unit in over and other not in over:
            merged.pop(other, None)
    return merged


def _grid(table: Mapping[str, Any], where: str, flags: Container[str]) -> Grid:
    """Return the grid of a table from `where`, of which some keys came from `flags`."""

    def place(key: str) -> str:
        return "the flags" if key in flags else where

    for key in table:
        if key not in AXES:
            raise UsageError(
                f"Unknown key {key!r} in {where}. {did_you_mean(key, AXES)}".rstrip()
                + f"\nKeys: {', '.join(_HEAD)}, {', '.join(AXES)}."
            )
    if "local_steps" in table and "local_epochs" in table:
        raise UsageError(f"local_epochs and local_steps are both in {place('local_steps')}; give one.")
    values: dict[str, Any] = {key: _listed(key, value, place(key)) for key, value in table.items()}
    if "local_steps" in values:
        values["local_epochs"] = [None]
    for axis, flag, example in (("aggregator", "-a", "krum,median"), ("attack", "-t", "none,alie")):
        if axis not in values:
            raise UsageError(f"No {axis} is given. Name some with {flag} {example}, or give a sweep file.")
    try:
        return _WholeGrid(**values)
    except ValidationError as error:
        raise UsageError(_sentence(error, values, place)) from None


def _listed(key: str, value: Any, where: str) -> list[Any]:
    if key == "seeds":
        return parse_seeds(value)
    items = value if isinstance(value, list) else [value]
    if key not in METHOD_AXES and key not in CHOICES:
        return items
    texts: list[str] = []
    for number, item in enumerate(items, 1):
        place = f"{where}, {key}" + (f" #{number}" if len(items) > 1 else "")
        if not isinstance(item, str):
            example = next(iter(CHOICES.get(key, ("krum",))))
            what = "a choice" if key in CHOICES else "a method"
            raise UsageError(f"{place}: {what} is given as text, such as {example!r}, got {item!r}.")
        for chain in parse_chains(item, place):
            texts.append(canonical_choice(key, chain, place) if key in CHOICES else format_chain(chain))
    return texts


def _sentence(error: ValidationError, values: Mapping[str, Any], place: Callable[[str], str]) -> str:
    first = error.errors()[0]
    message = first["msg"].removeprefix("Value error, ")
    message = message[0].lower() + message[1:]
    if not first["loc"]:
        return f"{place('local_steps')}: {message}."
    key = str(first["loc"][0])
    index = first["loc"][1] if len(first["loc"]) > 1 else None
    found = f", got {values[key][index]!r}" if isinstance(index, int) else ""
    return f"{key} in {place(key)}: {message}{found}."


def _toml_value(name: str, values: list[Any]) -> Any:
    if values == [None]:
        return None
    if name in ("seeds", *METHOD_AXES):
        return values
    return values[0] if len(values) == 1 else values


def _shown(values: list[Value]) -> str:
    return ", ".join(format_value(value) for value in values)
