"""One round of a rule that needs nothing but a matrix and remembers nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from robustbench_fl.api import InfeasibleError, LayerShapes, Need, UsageError, make
from robustbench_fl.engine.server import finite_rows
from robustbench_fl.integrations.forms import as_tensor
from robustbench_fl.integrations.outcome import Outcome
from robustbench_fl.integrations.server import Server

_BEYOND = {Need.MODEL, Need.ROOT_DATA, Need.SAMPLE_COUNTS, Need.CLIENT_IDS, Need.RECIPE}


def aggregate_once(
    rule: str,
    updates: Any,
    *,
    f: int | None = None,
    seed: int = 0,
    layer_shapes: LayerShapes = (),
    threads: int | None = None,
) -> Outcome:
    """Return what a rule says of one round.

    Parameters
    ----------
    rule, updates, f, seed, layer_shapes, threads
        As for :func:`robustbench_fl.aggregate`.

    Returns
    -------
    Outcome
        Its ``aggregate`` is of the kind and type of `updates`. Everything per client is in the order of the
        rows of a file, and of the finite rows of a matrix.

    Raises
    ------
    UsageError, InfeasibleError
        As for :func:`robustbench_fl.aggregate`.
    """
    _require_plain(rule, f)
    if isinstance(updates, str | Path):
        outcome = Server(rule, f=f, seed=seed, layer_shapes=layer_shapes, threads=threads).aggregate(updates)
        if outcome.dropped.all():
            raise UsageError(_NOTHING_LEFT)
        if outcome.capped:
            raise InfeasibleError(
                f"{rule}: {int(outcome.dropped.sum())} rows hold NaN or Inf, and the "
                f"{int((~outcome.dropped).sum())} others are too few for f = {f}."
            )
        return outcome
    rows = as_tensor(updates)
    server = Server(rule, f=f, seed=seed, layer_shapes=layer_shapes, device=str(rows.device), threads=threads)
    if rows.ndim == 2 and rows.is_floating_point() and len(rows):
        finite = finite_rows(rows.float())
        if not finite.any():
            raise UsageError(_NOTHING_LEFT)
        if not finite.all():  # a copy, where only some are
            rows = rows[torch.from_numpy(finite).to(rows.device)]
    return server.aggregate(rows if isinstance(updates, torch.Tensor) else rows.numpy())


_NOTHING_LEFT = "Every row of updates holds NaN or Inf; nothing is left to aggregate."


def _require_plain(rule: str, f: int | None) -> None:
    """Refuse rules that need more than a matrix and f."""
    method = make("aggregators", rule)
    if Need.HISTORY in method.needs:
        raise UsageError(
            f"{rule} remembers earlier rounds, which a single call would lose. Keep a server: "
            f"rb.Server({rule!r}, …).aggregate(updates) in every round."
        )
    beyond = method.needs & _BEYOND
    if beyond or method.baseline:
        needed = ", ".join(sorted(beyond)) or "clients that train"
        raise UsageError(
            f"{rule} needs {needed}, which a matrix does not hold. Use rb.Server, run_cell or a sweep."
        )
    if Need.F in method.needs and f is None:
        raise UsageError(
            f"{rule} needs f, the number of clients assumed malicious: aggregate({rule!r}, updates, f=2), or "
            "robustbench-fl aggregate with -f 2."
        )
