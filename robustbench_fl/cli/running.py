"""The flags that say how a sweep is run, and who watches it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from robustbench_fl.cli.options import add_as, take_over_option
from robustbench_fl.core.errors import UsageError
from robustbench_fl.core.files import WriteError

if TYPE_CHECKING:
    from robustbench_fl.core.record import CellRecord
    from robustbench_fl.store import Store
    from robustbench_fl.sweep.run import Prepared
    from robustbench_fl.sweep.runner.backend import Event
    from robustbench_fl.sweep.runner.observers import Logs, Observer
    from robustbench_fl.sweep.runner.policy import Existing, RunPolicy
    from robustbench_fl.sweep.runner.stopping import Stop


@dataclass(frozen=True)
class Running:
    """How a sweep is run.

    Parameters
    ----------
    policy : RunPolicy
        Timeouts, retries, limits.
    existing : {"missing", "always", "never"}
        What becomes of cells that have a record.
    retry_failed : bool
        Whether failed cells are missing ones too.
    keep_stale : bool
        Whether results of plug-ins that have been edited since are kept.
    take_over : bool
        Whether cells are taken from runs that nothing on this machine proves alive.
    events : str, optional
        Where events go.
    tensorboard : str, optional
        Where curves go for TensorBoard; empty for a folder within the sweep's.
    loggers : tuple of {"wandb", "mlflow"}
        Experiment trackers that get every cell.
    """

    policy: RunPolicy
    existing: Existing
    retry_failed: bool
    keep_stale: bool
    take_over: bool
    events: str | None
    tensorboard: str | None
    loggers: tuple[str, ...] = ()


def _running(
    *,
    timeout: str | None,
    retry_timeouts: int,
    fail_fast: bool,
    max_failures: int | None,
    existing: Existing,
    retry_failed: bool,
    keep_stale: bool,
    take_over: bool,
    keep_logs: bool,
    checkpoint_every: int | None,
    events: str | None,
    tensorboard: str | None,
    wandb: bool,
    mlflow: bool,
) -> Running:
    from robustbench_fl.cli.durations import seconds_of
    from robustbench_fl.report.loggers import require
    from robustbench_fl.report.tensorboard import require_tensorboard
    from robustbench_fl.sweep.runner.policy import RunPolicy

    if retry_timeouts and timeout is None:
        raise UsageError("--retry-timeouts has nothing to retry without a --timeout.")
    if fail_fast and max_failures not in (None, 1):
        raise UsageError(
            f"--fail-fast stops at the first failure, --max-failures at {max_failures}: give one."
        )
    if retry_failed and existing == "never":
        raise UsageError(
            "--existing never leaves failed cells alone, --retry-failed runs them again: give one."
        )
    policy = RunPolicy(
        timeout=None if timeout is None else seconds_of(timeout, "--timeout"),
        retry_timeouts=retry_timeouts,
        max_failures=1 if fail_fast else max_failures,
        keep_logs=keep_logs,
        checkpoint_every=checkpoint_every,
    )
    if tensorboard is not None:
        require_tensorboard()
        if Path(tensorboard).is_file():
            raise UsageError(
                f"--tensorboard takes a folder, and {tensorboard!r} is a file. If it is the sweep file, "
                "put it before --tensorboard."
            )
    loggers = tuple(name for name, wanted in (("wandb", wandb), ("mlflow", mlflow)) if wanted)
    for name in loggers:
        require(name)
    return Running(policy, existing, retry_failed, keep_stale, take_over, events, tensorboard, loggers)


def _removed(cells_per_batch: str | None) -> None:
    if cells_per_batch is not None:
        raise UsageError(
            "--cells-per-batch was removed: cells trained as one batch were slower. Leave the flag out; "
            "the numbers are the same."
        )


run_options = add_as(
    "running",
    _running,
    click.option("--timeout", metavar="TIME", help="Time limit for a cell: 90s, 30m, 2h.  [default: none]"),
    click.option(
        "--retry-timeouts",
        type=click.IntRange(0, 100),
        default=0,
        show_default=True,
        metavar="N",
        help="Run a cell that timed out again, alone, at most N times.",
    ),
    click.option("--fail-fast", is_flag=True, help="Stop at the first cell that fails."),
    click.option(
        "--max-failures", type=click.IntRange(1), metavar="N", help="Stop when N cells have failed."
    ),
    click.option(
        "--existing",
        type=click.Choice(["missing", "always", "never"]),
        default="missing",
        show_default=True,
        help="Which cells with a record run again: those without a result (missing), all (always), "
        "or none, failed ones neither (never).",
    ),
    click.option("--retry-failed", is_flag=True, help="Run failed cells and timeouts again too."),
    click.option(
        "--keep-logs", is_flag=True, help="Keep the output of all cells, not only of those that failed."
    ),
    click.option(
        "--keep-stale",
        is_flag=True,
        help="Keep results of plug-ins that have been edited since, marked, instead of running them again.",
    ),
    take_over_option,
    click.option(
        "--checkpoint-every",
        type=click.IntRange(0),
        metavar="N",
        help="Save a checkpoint of a cell every N rounds; 0 is never.  "
        "[default: once a minute in cells of over 10 minutes]",
    ),
    click.option(
        "--cells-per-batch", hidden=True, expose_value=False, callback=lambda *given: _removed(given[2])
    ),
    click.option("--events", metavar="FILE", help="Append events as JSON lines; - is standard error."),
    click.option(
        "--tensorboard",
        is_flag=False,
        flag_value="",
        metavar="[DIR]",
        help="Write curves of every cell for TensorBoard.  [default DIR: tensorboard/ in the sweep's folder]",
    ),
    click.option(
        "--wandb",
        is_flag=True,
        help="Write every cell as an offline run of Weights & Biases, to wandb/ in the sweep's folder.",
    ),
    click.option(
        "--mlflow",
        is_flag=True,
        help="Write every cell as a run of MLflow, to mlflow/mlflow.db in the sweep's folder.",
    ),
)
"""Adds the flags that say how a sweep is run; a command gets them as one argument, ``running``."""


class Watch:
    """Everything that watches one run.

    Parameters
    ----------
    running : Running
        As the user wants it.
    prepared : Prepared
        What is to be run.
    store : Store
        Where to.
    jobs : int
        Number of workers.
    weights : mapping of str to float
        How long each cell to run takes, as for :class:`robustbench_fl.sweep.runner.observers.Pace`.
    """

    def __init__(
        self, running: Running, prepared: Prepared, store: Store, jobs: int, weights: Mapping[str, float]
    ) -> None:
        from robustbench_fl.cli.curves import Curves, Logger
        from robustbench_fl.cli.progress import Progress
        from robustbench_fl.sweep.runner.events import EventLog
        from robustbench_fl.sweep.runner.observers import FailureLimit, Logs, Pace, SpentCheckpoints
        from robustbench_fl.sweep.runner.stopping import Stop

        pace = Pace(weights)
        self.stop: Stop = Stop()
        self.logs: Logs = Logs(store.folder, keep_all=running.policy.keep_logs)
        self.events = EventLog(running.events, pace) if running.events else None
        self.progress = Progress(pace, store.folder) if running.events != "-" and prepared.pending else None
        self._observers: list[Observer] = [pace, self.logs, SpentCheckpoints(store.folder)]
        self._observers += [observer for observer in (self.events, self.progress) if observer]
        if running.tensorboard is not None:
            folder = Path(running.tensorboard) if running.tensorboard else store.folder / "tensorboard"
            self._observers.append(Curves(store, folder))
        for name in running.loggers:
            self._observers.append(Logger(name, store, prepared.sweep.name))
        if limit := running.policy.max_failures:
            self._observers.append(FailureLimit(limit, self.stop))
        if self.events:
            self.events.started(prepared.sweep.name, jobs)

    def tell(self, event: Event) -> None:
        """Show everybody what happened."""
        for observer in self._observers:
            observer.happened(event)

    def finished(self, record: CellRecord) -> None:
        """Show everybody a record."""
        for observer in self._observers:
            observer.finished(record)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Let signals stop the run within; say in the end how it ended.

        Raises
        ------
        KeyboardInterrupt
            If a signal stopped the run.
        """
        try:
            with self.stop.on_signals():
                yield
        except BaseException as error:
            with suppress(WriteError):  # what stopped the run matters more
                self._end("interrupted" if isinstance(error, KeyboardInterrupt) else type(error).__name__)
            raise
        self._end(self.stop.reason)
        if self.stop.signal:
            raise KeyboardInterrupt

    def _end(self, stopped: str | None) -> None:
        if self.progress:
            self.progress.close(stopped)
        if self.events:
            self.events.ended(stopped or "completed")
