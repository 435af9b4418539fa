"""Worker processes of this machine: spawned, one torch thread each, replaced when they die."""

from __future__ import annotations

import contextlib
import multiprocessing
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

from robustbench_fl.planned import Planned
from robustbench_fl.processes import follow_parent, single_threaded_environment
from robustbench_fl.record import CellRecord
from robustbench_fl.runner.environment import Environment
from robustbench_fl.runner.recording import record


@dataclass
class _Worker:
    process: BaseProcess
    pipe: Connection
    cell: Planned | None = None


class LocalBackend:
    """Runs cells in `jobs` processes of this machine.

    A process that dies (killed, out of memory, a crash in native code) costs its cell one try:
    the cell is run once more, alone in a fresh process, and recorded as failed if that dies too.

    Parameters
    ----------
    jobs : int
        Number of processes.
    environment : Environment
        Handed to every process.
    """

    def __init__(self, jobs: int, environment: Environment) -> None:
        self.jobs = jobs
        self.environment = environment
        self._context = multiprocessing.get_context("spawn")

    def run(self, cells: Sequence[Planned]) -> Iterator[CellRecord]:
        """Yield one record for each cell as it is finished."""
        queue = deque(cells)
        suspects: deque[Planned] = deque()
        workers = [self._start() for _ in range(min(self.jobs, len(queue)))]
        try:
            for worker in workers:
                self._give(worker, queue)
            while any(worker.cell for worker in workers):
                ready = wait([worker.pipe for worker in workers if worker.cell])
                for worker in [w for w in workers if w.pipe in ready]:
                    finished = worker.cell
                    assert finished is not None
                    try:
                        result = worker.pipe.recv()
                    except (EOFError, OSError):
                        self._bury(worker)
                        workers[workers.index(worker)] = worker = self._start()
                        suspects.append(finished)
                    else:
                        worker.cell = None
                        yield result
                    self._give(worker, queue)
            self._stop(workers)
            workers = []
            for planned in suspects:
                yield self._run_alone(planned)
        finally:
            self._stop(workers)

    def _run_alone(self, planned: Planned) -> CellRecord:
        worker = self._start()
        self._give(worker, deque([planned]))
        try:
            result: CellRecord = worker.pipe.recv()
        except (EOFError, OSError):
            return self._lost(planned, self._bury(worker))
        finally:
            self._stop([worker])
        return result

    def _lost(self, planned: Planned, code: int | None) -> CellRecord:
        how = f"killed by signal {-code}" if code is not None and code < 0 else f"ended with exit code {code}"
        return record(
            planned, self.environment, status="failed", reason=f"The worker process was {how}, twice."
        )

    def _start(self) -> _Worker:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=_work, args=(theirs, self.environment), daemon=True)
        with single_threaded_environment():
            process.start()
        theirs.close()
        return _Worker(process, ours)

    @staticmethod
    def _give(worker: _Worker, queue: deque[Planned]) -> None:
        worker.cell = queue.popleft() if queue else None
        if worker.cell:
            with contextlib.suppress(BrokenPipeError):
                worker.pipe.send(worker.cell)

    @staticmethod
    def _bury(worker: _Worker) -> int | None:
        worker.process.join(timeout=10)
        worker.pipe.close()
        return worker.process.exitcode

    @staticmethod
    def _stop(workers: Sequence[_Worker]) -> None:
        for worker in workers:
            worker.pipe.close()
            if worker.process.is_alive():
                worker.process.terminate()
        for worker in workers:
            worker.process.join(timeout=10)


def _work(pipe: Connection, environment: Environment) -> None:
    """Run cells until the pipe closes. Only this process imports torch, not the one that starts it."""
    import torch

    from robustbench_fl import registry
    from robustbench_fl.runner.execute import execute

    follow_parent()
    torch.set_num_threads(1)
    for path in environment.plugins:
        registry.load_plugin(path)
    while True:
        try:
            planned = pipe.recv()
        except EOFError:
            return
        result = execute(planned, environment)
        try:
            pipe.send(result)
        except BrokenPipeError:
            return
