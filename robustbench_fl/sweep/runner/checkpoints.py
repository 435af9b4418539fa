"""Checkpoints of long cells: ``checkpoints/<key>.pt`` in the sweep's folder, until the cell has a result.

A checkpoint holds tensors and one JSON text, and is read with ``weights_only``: nothing in it is run. One
that is damaged, of another cell or of other code is left alone, and the cell begins anew.
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

from robustbench_fl.core.errors import RobustbenchError
from robustbench_fl.core.files import WriteError, read_regular, write_atomically
from robustbench_fl.core.provenance import SIMULATION, digest_of_sources
from robustbench_fl.sweep.runner.observers import checkpoint_path

if TYPE_CHECKING:
    from robustbench_fl.engine.simulation import Simulation

LONG = 600.0
"""Seconds that a cell must be expected to take, for checkpoints without being asked for."""
APART = 60.0
"""Seconds between the checkpoints of such a cell."""
_FORMAT = 1


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
        write_atomically(self.path, content.getvalue())
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
        """Return what a checkpoint must agree in: the cell, and the code that began it."""
        from robustbench_fl.core.provenance import provenance

        return {
            "format": _FORMAT,
            "key": self._simulation.cell.key,
            "sources": _sources(),
            "versions": provenance()["versions"],
            "engine": self._simulation.training.engine,
            "device": self._simulation.params.device.type,
        }

    def _restore(self) -> None:
        import torch

        from robustbench_fl.engine.snapshot import restore

        try:
            content, _ = read_regular(self.path)
            saved = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
            facts = json.loads(saved["facts"])
            origin = {name: facts.get(name) for name in self._origin()}
        except Exception as error:  # whatever a damaged file makes the reader say
            self._left_alone(f"is damaged ({type(error).__name__})")
            return
        if origin != self._origin():
            self._left_alone("was made by another version, engine or device")
            return
        try:
            restore(self._simulation, saved["tensors"], facts)
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise RobustbenchError(
                f"Checkpoint {self.path.name} does not hold what it should ({error}). Delete it, run again."
            ) from None

    def _left_alone(self, why: str) -> None:
        warnings.warn(f"Checkpoint {self.path.name} {why}; the cell begins anew.", stacklevel=2)


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
