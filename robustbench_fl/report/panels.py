"""The blocks that get a matrix and figures of their own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd

from robustbench_fl.analysis.frame import varying
from robustbench_fl.report.naming import safe

_MAIN = ["dataset", "partition", "malicious"]


@dataclass(frozen=True)
class Panel:
    """All cells of one block.

    Attributes
    ----------
    name : str
        Part of the file names: data set, partition, fraction, then what else varies.
    title : str
        The same for people.
    cells : pandas.DataFrame
    """

    name: str
    title: str
    cells: pd.DataFrame


def panels(frame: pd.DataFrame) -> Iterator[Panel]:
    """Yield the blocks with malicious clients in order, one for each assumed f if several are tried.

    Rules that need no f stand in the panels of every assumed f.
    """
    frame = frame[frame["malicious"] > 0]
    further = [name for name in varying(frame) if name not in _MAIN]
    for labels, cells in frame.groupby([*_MAIN, *further], dropna=False):
        assumed = sorted(cells["assumed_f"].dropna().unique()) or [None]
        for f in assumed:
            chosen = cells[cells["assumed_f"].isna() | (cells["assumed_f"] == f)]
            extra = dict(zip(further, labels[len(_MAIN) :], strict=True))
            if frame["assumed_f"].nunique() > 1:
                extra["assumed_f"] = f or "none"
            yield _panel(labels, extra, chosen)


def _panel(labels: tuple[object, ...], extra: dict[str, object], cells: pd.DataFrame) -> Panel:
    dataset, partition, malicious = str(labels[0]), str(labels[1]), float(str(labels[2]))
    parts = [dataset, partition, f"{malicious:g}", *(f"{name}={value}" for name, value in extra.items())]
    title = f"{dataset}, {partition}, {100 * malicious:.3g} % malicious"
    title += "".join(f", {name.replace('_', ' ')} {value}" for name, value in extra.items())
    return Panel("-".join(map(safe, parts)), title, cells)
