"""A cell as a Ray task: what runs on the nodes of a cluster. Only there is torch imported."""

from __future__ import annotations

import contextlib
import io
import linecache
import os
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from robustbench_fl.core.cell import Planned
from robustbench_fl.core.provenance import SIMULATION, digest_of_sources
from robustbench_fl.core.record import FINAL
from robustbench_fl.sweep.runner.environment import Environment
from robustbench_fl.sweep.runner.listening import Listener
from robustbench_fl.sweep.runner.policy import RunPolicy
from robustbench_fl.sweep.runner.worker import LONGEST_LOG

if TYPE_CHECKING:
    from robustbench_fl.api import Arrays

_BETWEEN_NOTES = 1.0
"""Seconds between two notes of a cell about its rounds."""


@dataclass(frozen=True)
class Job:
    """What all cells of a run have in common.

    Parameters
    ----------
    environment : Environment
        As it is where the run was started; of its folders those are used that a node has too.
    policy : RunPolicy
        Its timeout is checked between rounds.
    plugins : tuple of bytes
        The content of the environment's plug-ins, in their order.
    sources : str
        A digest of the program's code: nodes with other code are refused.
    """

    environment: Environment
    policy: RunPolicy
    plugins: tuple[bytes, ...]
    sources: str


@dataclass(frozen=True)
class Note:
    """What a task says of its cell while it runs.

    Parameters
    ----------
    key : str
        The cell's.
    token : str
        Names the attempt.
    node : str
        Where it runs.
    pid : int
        The worker process there.
    rounds : int, optional
        Rounds finished, ``None`` if the note is about something else.
    retrying : str, optional
        Why the cell begins anew.
    """

    key: str
    token: str
    node: str
    pid: int
    rounds: int | None = None
    retrying: str | None = None


class Ledger:
    """An actor that keeps notes until they are read."""

    def __init__(self) -> None:
        self._notes: list[Note] = []

    def note(self, note: Note) -> None:
        """Keep a note."""
        self._notes.append(note)

    def read(self) -> list[Note]:
        """Return the notes since the last call."""
        notes, self._notes = self._notes, []
        return notes


@dataclass(frozen=True)
class Answer:
    """What a task returns.

    Parameters
    ----------
    begun : Note
        The attempt that it was.
    record : dict, optional
        The cell's record, not validated; ``None`` if this node has other code.
    log : bytes
        What was printed, if it is to be kept.
    """

    begun: Note
    record: dict[str, Any] | None
    log: bytes = b""


def run_cell(planned: Planned, job: Job, arrays: Arrays | None, ledger: Any) -> Answer:
    """Run one cell on this node.

    Parameters
    ----------
    planned : Planned
        The cell.
    job : Job
        The rest.
    arrays : Arrays, optional
        Its data set, if that is read from files.
    ledger : actor handle
        Of a :class:`Ledger`.
    """
    import ray

    node = ray.get_runtime_context().get_node_id()
    begun = Note(planned.cell.key, uuid.uuid4().hex, node, os.getpid())
    if job.sources != _sources():
        return Answer(begun, None)
    with _captured() as output:
        environment = _ready(job)
        from robustbench_fl.data.shared import give
        from robustbench_fl.sweep.runner.execute import execute

        if arrays is not None:
            give(planned.cell.dataset, arrays)
        voice = _Voice(ledger, begun)
        record = execute(planned, environment, job.policy, voice)
        if record.status not in FINAL:
            print(record.traceback or record.reason, file=sys.stderr)
        output.flush()
        keep = job.policy.keep_logs or record.status not in FINAL
        log = _end_of(output) if keep else b""
    return Answer(begun, record.model_dump(mode="json"), log)


class _Voice(Listener):
    """Tells the run of a cell, through the ledger."""

    def __init__(self, ledger: Any, begun: Note) -> None:
        self._ledger = ledger
        self._begun = begun
        self._told = time.monotonic()
        self._tell(begun)

    def round_finished(self, rounds: int) -> None:
        if time.monotonic() - self._told > _BETWEEN_NOTES:
            self._told = time.monotonic()
            self._tell(replace(self._begun, rounds=rounds))

    def warned(self, message: str) -> None:
        print(message, file=sys.stderr)

    def retrying(self, reason: str) -> None:
        print(f"{reason} The cell begins anew.", file=sys.stderr)
        self._tell(replace(self._begun, rounds=0, retrying=reason))

    def _tell(self, note: Note) -> None:
        # Not waited for: a task that waits gives its processor away, and Ray would start another one.
        self._ledger.note.remote(note)


@lru_cache(maxsize=1)
def _ready(job: Job) -> Environment:
    """Make this process fit to run cells; return the environment as it is on this node."""
    from robustbench_fl.sweep.runner.execute import one_thread

    _held.enter_context(one_thread())
    _let_torch_have_read_only_arrays()
    plugins = tuple(map(_loaded, job.environment.plugins, job.plugins))
    folder = job.environment.folder
    there = folder is not None and folder.is_dir() and os.access(folder, os.W_OK)
    return replace(job.environment, plugins=plugins, folder=folder if there else None)


_held = contextlib.ExitStack()
"""What lasts as long as the process: looking for numerical libraries takes milliseconds a cell."""


def _let_torch_have_read_only_arrays() -> None:
    """Have torch say now, and only now, that it does not heed NumPy's mark on Ray's arrays.

    Nothing writes to a data set's arrays. The warning, given once a process, would go into the record
    of whichever cell came first.
    """
    import warnings

    import numpy as np
    import torch

    array = np.zeros(1)
    array.flags.writeable = False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.from_numpy(array)


def _loaded(path: Path, content: bytes) -> Path:
    """Register a plug-in's methods: from its own file if this node has it, else from what was sent."""
    from robustbench_fl.api import registry

    with contextlib.suppress(OSError):
        if path.read_bytes() == content:
            registry.load_plugin(path)
            return path
    with tempfile.TemporaryDirectory(prefix="robustbench-fl-") as folder:
        sent = Path(folder).resolve() / path.name
        sent.write_bytes(content)
        registry.load_plugin(sent)
        # Tracebacks show its lines though the file goes away, as they do for modules in archives.
        text = content.decode(errors="replace").splitlines(keepends=True)
        linecache.cache[str(sent)] = (len(content), None, text, str(sent))
    return sent


@lru_cache(maxsize=1)
def _sources() -> str:
    return digest_of_program()


def digest_of_program() -> str:
    """Return a digest of everything that decides what a cell gives."""
    return digest_of_sources(*SIMULATION, "sweep/runner")


@contextlib.contextmanager
def _captured() -> Iterator[io.TextIOBase]:
    """Have what Python prints go to a file without a name."""
    with (
        tempfile.TemporaryFile("w+", encoding="utf-8", errors="backslashreplace") as output,
        contextlib.redirect_stdout(output),
        contextlib.redirect_stderr(output),
    ):
        yield output


def _end_of(output: io.TextIOBase) -> bytes:
    size = os.fstat(output.fileno()).st_size
    return os.pread(output.fileno(), LONGEST_LOG, max(0, size - LONGEST_LOG))
