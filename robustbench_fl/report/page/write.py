"""One HTML file that holds a whole sweep and loads nothing."""

from __future__ import annotations

import base64
import hashlib
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import pandas as pd

from robustbench_fl.analysis.coverage import Missing
from robustbench_fl.analysis.frame import frame, settings
from robustbench_fl.core.files import write_atomically
from robustbench_fl.core.version import __version__
from robustbench_fl.report.page.details import commits
from robustbench_fl.report.page.packing import packed
from robustbench_fl.report.page.payload import Command, payload

NAME = "report.html"
_SCRIPTS = (*("data", "drawing", "table", "heatmap", "curves", "dialog", "main"),)


def write_page(
    records: Sequence[Mapping[str, Any]],
    path: str | os.PathLike[str],
    title: str,
    command: Command,
    missing: Missing = "exclude",
) -> int:
    """Write the page of a sweep.

    Parameters
    ----------
    records : sequence of mappings
        One record for every planned cell, as for :func:`robustbench_fl.analysis.frame.frame`.
    path : path
        The file; it appears whole or not at all.
    title : str
        The sweep's name.
    command : callable
        Returns the command line that makes the cell of a record again.
    missing : {"exclude", "worst", "zero"}, optional
        Policy for rules that lack cells.

    Returns
    -------
    int
        Size of the file in bytes. The same records give the same bytes.

    Raises
    ------
    UsageError
        If there is no cell, or two cells agree in every setting.
    WriteError
        If the file cannot be written.
    """
    content = page(records, title, command, missing).encode()
    write_atomically(Path(path), content)
    return len(content)


def page(
    records: Sequence[Mapping[str, Any]], title: str, command: Command, missing: Missing = "exclude"
) -> str:
    """Return the page as text; parameters and errors as for :func:`write_page`."""
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=PackageLoader(__package__, "assets"), autoescape=True, undefined=StrictUndefined,
        keep_trailing_newline=True,
    )  # fmt: skip
    style, script = _asset("style.css"), _script()
    return environment.get_template("page.html.j2").render(
        title=title,
        version=__version__,
        policy=_policy(style, script),
        summary=_summary(records),
        same=_same(records),
        origin=commits(records),
        cells=len(records),
        data=packed(payload(records, missing, command)),
        style=Markup(style),  # ours, not from records
        script=Markup(script),
    )


def _asset(name: str) -> str:
    return files(__package__).joinpath("assets", name).read_text(encoding="utf-8")


def _script() -> str:
    """Return all scripts as one, which leaves nothing behind in the page's global scope."""
    parts = "\n".join(_asset(f"{name}.js") for name in _SCRIPTS)
    return f'"use strict";\n(() => {{\n{parts}}})();\n'


def _policy(style: str, script: str) -> str:
    """Return the content security policy: this style, this script, and nothing else at all."""
    rules = {
        "default-src": "'none'",
        "script-src": _digest(script),
        "style-src": _digest(style),
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    return "; ".join(f"{name} {value}" for name, value in rules.items())


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _summary(records: Sequence[Mapping[str, Any]]) -> str:
    """Return what there is: rules, attacks, seeds, cells by status."""
    counts = {name: len({record["labels"][name] for record in records}) for name in ("aggregator", "attack")}
    seeds = len({record["cell"]["seed"] for record in records})
    statuses = sorted(Counter(record["status"] for record in records).items())
    cells = ", ".join(f"{n} {status}" for status, n in statuses)
    parts = [_counted(counts["aggregator"], "rule"), _counted(counts["attack"], "attack")]
    return f"{', '.join([*parts, _counted(seeds, 'seed')])}; {_counted(len(records), 'cell')}: {cells}."


def _counted(n: int, noun: str) -> str:
    return f"{n} {noun}{'' if n == 1 else 's'}"


def _same(records: Sequence[Mapping[str, Any]]) -> str:
    """Return the settings that all cells share, in words."""
    table = frame(records)
    names = [name for name in settings(table) if name not in ("schema", "engine")]
    shared = {name: table[name].iloc[0] for name in names if table[name].nunique(dropna=False) == 1}
    texts = [f"{name.replace('_', ' ')} {_said(value)}" for name, value in shared.items() if pd.notna(value)]
    return f"Everywhere the same: {', '.join(texts)}." if texts else ""


def _said(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
