"""The figures of a folder's reconstructions: errors, iterations, ROC curves, clients lost."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from robustbench_fl.analysis.frame import frame
from robustbench_fl.analysis.reconstruction import client_rounds, decisions, suspicion
from robustbench_fl.report.lost import lost_clients
from robustbench_fl.report.naming import safe
from robustbench_fl.report.panels import Panel, panels
from robustbench_fl.report.roc import roc_curves
from robustbench_fl.report.strips import error_strips, iteration_strips

KINDS = ("errors", "iterations", "roc", "lost")


def diagnostics(
    records: Iterable[Mapping[str, Any]], shown: Sequence[Panel] | None = None
) -> Iterator[tuple[str, bytes]]:
    """Draw what detectors found of the clients.

    Parameters
    ----------
    records : iterable of mappings
        Cell records as plain data.
    shown : sequence of Panel, optional
        The blocks; by default all of them.

    Yields
    ------
    name, data : str, bytes
        ``errors-*``, ``iterations-*``, ``roc-*`` and ``lost-*``, without a suffix; nothing if no
        detector's cell is finished.
    """
    kept = list(records)
    table = frame(kept)
    if table.empty:
        return
    found, decided = client_rounds(kept), decisions(kept)
    scored = suspicion(found, decided)
    for panel in panels(table) if shown is None else shown:
        yield from _strips(panel, found, decided)
        if data := roc_curves(panel.title, panel.cells, scored):
            yield f"roc-{panel.name}", data
        if data := lost_clients(panel.title, panel.cells):
            yield f"lost-{panel.name}", data


def _strips(panel: Panel, found: Any, decided: Any) -> Iterator[tuple[str, bytes]]:
    for rule, cells in panel.cells.groupby("aggregator"):
        here = found[found["key"].isin(cells["key"])]
        if here.empty:
            continue
        name, title = f"{panel.name}-{safe(str(rule))}", f"{rule}: {panel.title}"
        threshold = float(decided.loc[here["key"].iloc[0], "threshold"])
        yield f"errors-{name}", error_strips(title, cells, here, threshold)
        yield f"iterations-{name}", iteration_strips(title, cells, here)
