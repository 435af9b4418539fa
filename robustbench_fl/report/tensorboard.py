"""Scalars for TensorBoard, from finished records: one run a cell, one step a round.

TensorBoard's own protocol buffers and record format are used, which need neither torch nor
TensorFlow. The file is made whole in memory, so that it can appear at once and under a name that
holds no host name (TensorBoard's writer would put one in).
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from robustbench_fl.core.errors import UsageError
from robustbench_fl.report.naming import safe

FILE_NAME = "events.out.tfevents.cell"
"""TensorBoard reads every file whose name holds ``tfevents``."""


def require_tensorboard() -> None:
    """Raise unless TensorBoard is installed.

    Raises
    ------
    UsageError
        With the command that installs it.
    """
    try:
        import tensorboard  # noqa: F401
    except ImportError:
        raise UsageError(
            "--tensorboard needs TensorBoard, which is not installed. "
            "Install it with: pip install 'robustbench-fl[tensorboard]'"
        ) from None


def run_name(record: Mapping[str, Any]) -> PurePosixPath:
    """Return the name of a cell's run, parts of which TensorBoard can filter by.

    Parameters
    ----------
    record : mapping
        A stored record.
    """
    labels, cell = record["labels"], record["cell"]
    world = [labels[name] for name in ("dataset", "model", "partition", "attack", "aggregator")]
    point = f"f={cell['malicious']:g} seed={cell['seed']}"
    return PurePosixPath(*map(safe, [*world, point]), record["key"])


def event_file(record: Mapping[str, Any], wall_time: float) -> bytes:
    """Return the content of a cell's event file.

    Parameters
    ----------
    record : mapping
        A stored record with curves.
    wall_time : float
        Seconds since the epoch, shown as the time of all points.
    """
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.record_writer import RecordWriter

    content = io.BytesIO()
    writer = RecordWriter(content)
    writer.write(Event(wall_time=wall_time, file_version="brain.Event:2").SerializeToString())
    for tag, step, value in scalars(record):
        summary = Summary(value=[Summary.Value(tag=tag, simple_value=value)])
        writer.write(Event(wall_time=wall_time, step=step, summary=summary).SerializeToString())
    return content.getvalue()


def scalars(record: Mapping[str, Any]) -> Iterator[tuple[str, int, float]]:
    """Yield tag, rounds finished and value of every number there is."""
    curves = record.get("curves") or {"round": []}
    for tag in ("accuracy", "loss", "attack_success"):
        yield from _curve(tag, curves["round"], curves.get(tag) or [])
    detection = record.get("detection") or {}
    for tag in ("tpr", "fpr", "dacc"):
        values = detection.get(tag) or []
        yield from _curve(f"detection/{tag}", range(1, len(values) + 1), values)


def _curve(
    tag: str, steps: Sequence[int], values: Sequence[float | None]
) -> Iterator[tuple[str, int, float]]:
    for step, value in zip(steps, values, strict=False):
        if value is not None:
            yield tag, step, value
