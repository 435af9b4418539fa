"""``aggregate``: one round of a rule on updates that lie in a file."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import click

from robustbench_fl.cli.options import complete_method, plugin_option
from robustbench_fl.cli.saying import say
from robustbench_fl.core.errors import UsageError
from robustbench_fl.core.files import atomic

_MOST_NAMED = 20
"""Rows that are named one by one."""


@click.command("aggregate")
@click.argument("file", type=click.Path(path_type=Path), metavar="FILE.npy")
@click.option(
    "-a", "--aggregator", "rule", required=True, metavar="SPEC", shell_complete=complete_method,
    help='Rule, such as "nnm > trimmed_mean".',
)  # fmt: skip
@click.option(
    "-f", "--malicious", "f", type=click.IntRange(0), help="How many clients are assumed malicious."
)
@click.option(
    "--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the rule's random stream."
)
@click.option(
    "-o", "--out", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE.npy",
    help="Where the aggregate is written, float32 [d].",
)  # fmt: skip
@click.option(
    "--threads",
    type=click.IntRange(1),
    metavar="N",
    help="Threads that the rule may use; one a core by default.",
)
@plugin_option
def aggregate(
    file: Path,
    rule: str,
    f: int | None,
    seed: int,
    out: Path | None,
    threads: int | None,
    plugins: tuple[Path, ...],
) -> None:
    """Aggregate one round of updates from FILE.npy: a float32 matrix [n, d], one row a client.

    The matrix may be larger than the memory: rules read it in blocks of columns.

    \b
    robustbench-fl aggregate updates.npy -a "nnm > trimmed_mean" -f 200 -o step.npy
    """
    import numpy as np

    from robustbench_fl.api import registry
    from robustbench_fl.integrations.once import aggregate_once

    for path in plugins:
        registry.load_plugin(path)
    if out is not None and out.exists() and file.exists() and out.samefile(file):
        raise UsageError(f"{str(out)!r} holds the updates. Write the aggregate to another file.")
    begun = time.perf_counter()
    outcome = aggregate_once(rule, file, f=f, seed=seed, threads=threads)
    seconds = time.perf_counter() - begun
    step = outcome.aggregate
    say(f"{len(outcome.dropped):,} clients x {len(step):,} parameters in {seconds:.1f} s")
    say(f"Length of the aggregate: {np.linalg.norm(step):.6g}")
    for name in ("dropped", "rejected", "selected"):
        if (flags := getattr(outcome, name)) is not None:
            say(f"{name.capitalize()}: {_rows_text(flags.tolist())}")
    if out is not None:
        with atomic(out) as stream:
            np.save(stream, step)
        say(f"Wrote {out}")


def _rows_text(flags: Sequence[bool]) -> str:
    rows = [str(row) for row, flag in enumerate(flags) if flag]
    if not rows:
        return "none"
    named = ", ".join(rows[:_MOST_NAMED]) + (" …" if len(rows) > _MOST_NAMED else "")
    return f"{len(rows)} of {len(flags)} (rows {named})"
