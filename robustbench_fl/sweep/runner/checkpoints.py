"""Checkpoints of long cells: ``checkpoints/<key>.pt`` in the sweep's folder, until the cell has a result.

A checkpoint is sealed. It holds tensors and one JSON text, and is read with ``weights_only``: nothing in it
is run. One that is damaged, of another cell or other code, or that says what the planned cell cannot be in,
is not used, and the cell begins anew.
"""

from __future__ import annotations

import io
import json
import math
import time
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from robustbench_fl.core.code import code_in
from robustbench_fl.core.files import WriteError
from robustbench_fl.core.provenance import SIMULATION, digest_of_sources
from robustbench_fl.core.sealed import Damaged, read_sealed, write_sealed
from robustbench_fl.sweep.runner.observers import checkpoint_path

if TYPE_CHECKING:
    from robustbench_fl.engine.simulation import Simulation

LONG = 600.0
"""Seconds that a cell must be expected to take, for checkpoints without being asked for."""
APART = 60.0
"""Seconds between the checkpoints of such a cell."""
_FORMAT = 2
_KIND = "checkpoint"


class Checkpoint:
    """The checkpoint of one cell that is run.

    Parameters
    ----------
    folder : Path
        The sweep's folder.
    simulation : Simulation
        The cell, before its first round.
    every : int, optional
        Rounds between checkpoints, 0 for none. By default a cell that will take more than :data:`LONG`
        seconds gets one about every :data:`APART` seconds.
    """

    def __init__(self, folder: Path, simulation: Simulation, every: int | None = None) -> None:
        self.path = checkpoint_path(folder, simulation.cell.key)
        self.every = every
        self._simulation = simulation
        self._began = time.monotonic()
        self._first = 0
        self._saved = 0

    def resume(self) -> int:
        """Put the simulation where it was saved, if it was; return the rounds finished by then."""
        if self.every != 0 and self.path.is_file():
            self._restore()
        self._first = self._saved = self._simulation.round
        return self._first

    def after_round(self, finished: int) -> None:
        """Save the simulation if it is time to; where that is impossible, say so and try no more."""
        if finished < self._simulation.settings.rounds and finished - self._saved >= self._apart(finished):
            try:
                self.save()
            except WriteError as error:
                self.every = 0
                warnings.warn(f"No more checkpoints of this cell: {error}", stacklevel=2)

    def save(self) -> None:
        """Write the simulation as it is.

        Raises
        ------
        WriteError
            If the folder cannot be written.
        """
        import torch

        from robustbench_fl.engine.snapshot import snapshot

        tensors, facts = snapshot(self._simulation)
        content = io.BytesIO()
        torch.save({"facts": json.dumps({**facts, **self._origin()}), "tensors": tensors}, content)
        write_sealed(self.path, _KIND, content.getvalue())
        self._saved = self._simulation.round

    def _apart(self, finished: int) -> float:
        """Return the rounds between two checkpoints."""
        if self.every is not None:
            return self.every or math.inf
        each = (time.monotonic() - self._began) / (finished - self._first)
        if each * self._simulation.settings.rounds < LONG:
            return math.inf
        return max(1.0, APART / each)

    def _origin(self) -> dict[str, Any]:
        """Return what a checkpoint must agree in: the cell, its data, and all code that runs in it."""
        from robustbench_fl.api import build
        from robustbench_fl.core.provenance import provenance

        cell = self._simulation.cell
        methods = {
            axis: build.identity_of(build.make(f"{axis}s", text)) for axis, text in cell.labels.items()
        }
        return {
            "format": _FORMAT,
            "key": cell.key,
            "data": self._simulation.federation.arrays.digest,
            "sources": _sources(),
            "plugins": code_in(methods),
            "versions": provenance()["versions"],
            "engine": self._simulation.training.engine,
            "device": self._simulation.params.device.type,
        }

    def _restore(self) -> None:
        from robustbench_fl.engine.saved_facts import Misfit
        from robustbench_fl.engine.snapshot import restore

        try:
            tensors, facts = _opened(read_sealed(self.path, _KIND))
        except (Damaged, FileNotFoundError) as why:
            self._left_alone(str(why))
            return
        origin = self._origin()
        apart = sorted(name for name in origin if facts.get(name) != origin[name])
        if apart:
            self._left_alone(f"was made with other data, code or devices ({', '.join(apart)} differ)")
            return
        try:
            restore(self._simulation, tensors, facts)
        except Misfit as why:
            self._left_alone(f"does not fit its cell: {why}")

    def _left_alone(self, why: str) -> None:
        warnings.warn(f"Checkpoint {self.path.name} {why}; the cell begins anew.", stacklevel=2)


def _opened(content: bytes) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return tensors and facts of a checkpoint whose seal is whole."""
    import torch

    try:
        saved = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        tensors, facts = saved["tensors"], json.loads(saved["facts"])
    except Exception as error:  # sealed by whom? whatever a strange file makes the reader say
        raise Damaged(f"cannot be read ({type(error).__name__})") from None
    if not isinstance(tensors, dict) or not isinstance(facts, dict):
        raise Damaged("is no checkpoint")
    return tensors, facts


@cache
def _sources() -> str:
    """Return a digest of the code that numbers come from."""
    return digest_of_sources(*SIMULATION)


def both(*calls: Callable[[int], None]) -> Callable[[int], None]:
    """Return a function that makes all `calls`, in their order."""

    def call(finished: int) -> None:
        for one in calls:
            one(finished)

    return call
