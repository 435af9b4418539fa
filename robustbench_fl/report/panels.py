"""The blocks that get a matrix and figures of their own."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

import pandas as pd

from robustbench_fl.analysis.frame import varying
from robustbench_fl.report.naming import safe

_PATH = re.compile(r"\bpath=(?P<quote>['\"]?)(?P<path>[^'\",)]+)(?P=quote)")
_MAIN = ["dataset", "partition", "malicious"]


@dataclass(frozen=True)
class Panel:
    """All cells of one block.

    Attributes
    ----------
    name : str
        Part of the file names: data set, partition, fraction, then what else varies.
    title, setting : str
        The same for people, with and without the data set.
    cells : pandas.DataFrame
    """

    name: str
    title: str
    setting: str
    cells: pd.DataFrame


def panels(frame: pd.DataFrame) -> Iterator[Panel]:
    """Yield the blocks with malicious clients in order, one for each assumed f if several are tried.

    Rules that need no f stand in the panels of every assumed f.
    """
    frame = frame[frame["malicious"] > 0]
    short = short_names(frame["dataset"].unique())
    further = [name for name in varying(frame) if name not in _MAIN]
    for labels, cells in frame.groupby([*_MAIN, *further], dropna=False):
        assumed = sorted(cells["assumed_f"].dropna().unique()) or [None]
        for f in assumed:
            chosen = cells[cells["assumed_f"].isna() | (cells["assumed_f"] == f)]
            extra = dict(zip(further, labels[len(_MAIN) :], strict=True))
            if frame["assumed_f"].nunique() > 1:
                extra["assumed_f"] = f or "none"
            yield _panel(short, labels, extra, chosen)


def short_names(datasets: Iterable[object]) -> dict[str, str]:
    """Return what data sets are called in titles and file names: a user's own after its file.

    Where two would share a name, they keep the texts that cells are stored under.

    Examples
    --------
    >>> short_names(["digits", "npz(path=mine/images.npz, train=600, digest=0a1b)"]).values()
    dict_values(['digits', 'images'])
    """
    names = {str(text): _short(str(text)) for text in datasets}
    taken = list(names.values())
    return {text: name if taken.count(name) == 1 else text for text, name in names.items()}


def _short(dataset: str) -> str:
    found = _PATH.search(dataset)
    return (PurePosixPath(found["path"]).stem or dataset) if found else dataset


def _panel(
    short: dict[str, str], labels: tuple[object, ...], extra: dict[str, object], cells: pd.DataFrame
) -> Panel:
    dataset, partition, malicious = short[str(labels[0])], str(labels[1]), float(str(labels[2]))
    parts = [dataset, partition, f"{malicious:g}", *(f"{name}={value}" for name, value in extra.items())]
    setting = f"{partition}, {100 * malicious:.3g} % malicious"
    setting += "".join(f", {name.replace('_', ' ')} {value}" for name, value in extra.items())
    return Panel("-".join(map(safe, parts)), f"{dataset}, {setting}", setting, cells)
