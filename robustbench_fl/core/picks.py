"""The file ``picks.json``: which strengths of each attack a pilot found worst, on which cells, by how much.

It is data that anybody may have written: read strictly, bounded in size, never run.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from annotated_types import Ge, Lt
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from robustbench_fl.core.errors import UsageError
from robustbench_fl.core.files import open_regular, write_atomically
from robustbench_fl.core.settings import LARGEST_SEED, SETTINGS

FILE = "picks.json"
FEWEST_SEEDS = 4
"""Under it a standard error over pilot seeds says too little."""
LARGEST_FILE = 32 * 2**20
"""Bytes that are read at most."""


_END = b"\n}\n"
_T = TypeVar("_T", bound=BaseModel)


class Strict(BaseModel):
    """Data of a file that anybody may have written."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class Block(Strict):
    """Where rules were attacked: everything that they meet alike."""

    dataset: str
    model: str
    partition: str
    malicious: float
    settings: dict[str, int | float | str | None]
    """All settings by name (:class:`robustbench_fl.core.settings.Settings`)."""

    @model_validator(mode="after")
    def _known_settings(self) -> Self:
        if unknown := set(self.settings) - set(SETTINGS):
            raise ValueError(f"unknown settings {', '.join(sorted(unknown))}")
        return self


class Member(Strict):
    """One strength that is to be run."""

    attack: str
    """Canonical text."""
    accuracy: float
    """Mean over the pilot seeds, a fraction."""
    above: float
    """How far it lies above that of the worst member; 0 for that itself."""
    error: float
    """Standard error of this difference, paired over seeds."""
    edge: bool
    """Whether it is the first or last strength of its scale: a still worse one may lie beyond."""


class Pick(Strict):
    """The worst members of one family against one rule in one block."""

    block: Annotated[int, Ge(0)]
    """Place in :attr:`Picks.blocks`."""
    aggregator: str
    assumed_f: str | None
    """``None`` for rules that need no f."""
    family: str
    members: list[Member]
    """The worst, then those within two standard errors of it; none where no member can be run."""
    tried: Annotated[int, Ge(0)]
    """Members that could be run."""
    default: str | None
    """The worst of the family's members that the sweep names at their default strength, if there is one."""
    default_accuracy: float | None

    @model_validator(mode="after")
    def _somebody_is_picked(self) -> Self:
        if not min(1, self.tried) <= len(self.members) <= self.tried:
            raise ValueError("a pick holds between one member and all that were tried")
        return self


class OfPilot(Strict):
    """What a pilot found, and on which cells."""

    schema_version: Literal[1] = 1
    version: str
    """Of this package, when the picks were made."""
    engine: int
    """Version of the simulation's numbers, :data:`robustbench_fl.core.cell.ENGINE_VERSION`."""
    sweep: str
    """Name of the sweep, or of the suite, that it was a pilot of."""
    seeds: list[Annotated[int, Ge(0), Lt(LARGEST_SEED)]]
    """The pilot seeds, of which no result may be reported."""
    cells: str
    """First 12 hex digits of the SHA-256 of the pilot cells' sorted keys, a line each."""
    code: dict[str, str] = {}
    """Digests of the code of plug-in methods that the pilot ran, by name; left out of a file without any."""

    @model_validator(mode="after")
    def _enough_seeds(self) -> Self:
        if len(set(self.seeds)) < FEWEST_SEEDS:
            raise ValueError(f"fewer than {FEWEST_SEEDS} pilot seeds")
        return self


class Picks(OfPilot):
    """Everything that a pilot picked."""

    blocks: list[Block]
    picks: list[Pick]

    @model_validator(mode="after")
    def _one_pick_each(self) -> Self:
        if any(pick.block >= len(self.blocks) for pick in self.picks):
            raise ValueError("a pick names a block that is not there")
        named = {(pick.block, pick.aggregator, pick.assumed_f, pick.family) for pick in self.picks}
        if len(named) < len(self.picks):
            raise ValueError("a family is picked twice for one rule and block")
        return self


def write_picks(path: Path, picks: OfPilot) -> None:
    """Write `picks`, of strengths or of tuned rules, to `path` at once or not at all, with their digest.

    Raises
    ------
    WriteError
        If the folder cannot be written.
    """
    body = picks.model_dump_json(indent=1, exclude=None if picks.code else {"code"})
    write_atomically(path, _with_digest(body.encode() + b"\n"))


def _with_digest(body: bytes) -> bytes:
    """Return the text of a JSON object with the SHA-256 of that text as its last member."""
    return body.removesuffix(_END) + b',\n "digest": "%s"' % hashlib.sha256(body).hexdigest().encode() + _END


def _without_digest(content: bytes) -> bytes:
    """Return what :func:`_with_digest` was given; a text without a digest is an older one, or edited.

    Raises
    ------
    ValueError
        If it was changed since.
    """
    body, named, digest = content.rpartition(b',\n "digest": "')
    body += _END
    if named and digest != hashlib.sha256(body).hexdigest().encode() + b'"' + _END:
        raise ValueError('it was changed after it was written; if on purpose, remove its line "digest"')
    return body if named else content


def read_picks(path: Path) -> Picks:
    """Return the picks that a file holds.

    Raises
    ------
    UsageError
        If it cannot be read, is too large, or holds anything else.
    """
    return read_data(path, Picks, "picks of a pilot", "pilot", "robustbench-fl pilot FILE.toml")


def read_data(path: Path, model: type[_T], what: str, key: str, command: str) -> _T:
    """Return what a file of data holds.

    Parameters
    ----------
    path : Path
        Of at most :data:`LARGEST_FILE` bytes.
    model : type
        What it should hold.
    what, key, command : str
        What that is called, the key of a sweep file that names it, and what makes it anew.

    Raises
    ------
    UsageError
        If it cannot be read, is too large, or holds anything else.
    """
    try:
        with open(open_regular(path), "rb") as file:
            size = os.fstat(file.fileno()).st_size
            content = file.read(LARGEST_FILE + 1) if size <= LARGEST_FILE else b""
    except OSError as error:
        raise UsageError(
            f"Cannot read the {what} {str(path)!r}: {error.strerror or error}. "
            f"Make them with {command}, or correct the key {key} of the sweep file."
        ) from None
    if size > LARGEST_FILE or len(content) > LARGEST_FILE:
        raise UsageError(f"{str(path)!r} is too large for {what}: more than {LARGEST_FILE >> 20} MiB.")
    try:
        return model.model_validate_json(_without_digest(content))
    except ValueError as error:
        why = _first(error) if isinstance(error, ValidationError) else str(error)
        raise UsageError(f"{str(path)!r} holds no {what}: {why}. Make them anew with {command}.") from None


def _first(error: ValidationError) -> str:
    found: Any = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(map(str, found["loc"]))
    said = found["msg"].removeprefix("Value error, ")
    return f"{where}: {said}" if where else said
