"""Elements of a page: tables that can be sorted and filtered, with links; everything from claims escaped."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any

import pandas as pd

from robustbench_fl.analysis.columns import column
from robustbench_fl.analysis.matrix import Matrix
from robustbench_fl.analysis.table import Table
from robustbench_fl.core.foreign import in_one_line
from robustbench_fl.report.tables import readable, visible
from robustbench_fl.report.text import Text

Link = Callable[[str], str | None]
"""From what stands in an entry to an address, if it has one."""
NOTHING = "nothing"


def text(value: object) -> str:
    """Return `value` for HTML, in one line."""
    return escape(in_one_line(str(value)))


def tag(name: str, content: str, **attributes: str) -> str:
    """Return an element; `content` is HTML, attributes are texts, ``class_`` for ``class``."""
    said = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{text(value)}"' for key, value in attributes.items()
    )
    return f"<{name}{said}>{content}</{name}>"


def anchor(shown: str, address: str | None) -> str:
    """Return text, as a link if there is an address."""
    return tag("a", text(shown), href=address) if address else text(shown)


def sortable(table: Table, links: Mapping[str, Link], needs: str = "") -> str:
    """Return a table of rows that a click on a header sorts.

    Parameters
    ----------
    table : Table
        What it shows.
    links : mapping
        By column.
    needs : str
        Column of what the server knows, by which rows are filtered; empty for none.
    """
    rows = []
    names, shown = visible(table), readable(table)
    for entries, values in zip(shown.rows, table.table.to_dict("records"), strict=True):
        cells = "".join(
            _entry(name, entry, values[name], numeric, links.get(name))
            for name, entry, numeric in zip(names, entries, shown.numeric, strict=True)
        )
        known = {"data_needs": str(values[needs])} if needs else {}
        unranked = {"class_": "unranked"} if values.get("note") else {}
        rows.append(tag("tr", cells, **known, **unranked))
    head = [tag("button", text(title), type="button") for title in shown.headers]
    return _table(head, shown.numeric, rows, "board sortable")


def grid(matrix: Matrix, links: Link) -> str:
    """Return a matrix with what it says of itself; the rows' names are links."""
    shown = readable(matrix)
    rows = [tag("tr", _row(shown, place, links)) for place in range(len(shown.rows))]
    table = _table(list(map(text, shown.headers)), shown.numeric, rows, "board")
    return f"{table}\n{tag('p', text(shown.full_caption), class_='board-note')}"


def listed(data: pd.DataFrame) -> str:
    """Return a table that is only read; its first column names the rows."""
    shown = readable(Table(data, None, str(data.columns[0]), ()))
    rows = [tag("tr", _row(shown, place, lambda name: None)) for place in range(len(shown.rows))]
    return _table(list(map(text, shown.headers)), shown.numeric, rows, "board")


def framed(content: str) -> str:
    """Return what scrolls by itself where it is wider than the page."""
    return tag("div", f"\n{content}\n", class_="board-scroll", tabindex="0")


def _table(head: Sequence[str], numeric: Sequence[bool], rows: Sequence[str], class_: str) -> str:
    headers = (tag("th", title, scope="col", class_=_kind(n)) for title, n in zip(head, numeric, strict=True))
    body = "\n".join(["<thead>", tag("tr", "".join(headers)), "</thead>", "<tbody>", *rows, "</tbody>"])
    return framed(tag("table", body, class_=class_))


def facts(pairs: Sequence[tuple[str, str]]) -> str:
    """Return a list of terms with what they are, both HTML."""
    return tag(
        "dl",
        "".join(f"<div><dt>{term}</dt><dd>{said}</dd></div>" for term, said in pairs),
        class_="board-facts",
    )


def _row(shown: Text, place: int, links: Link) -> str:
    first, *entries = shown.rows[place]
    cells = []
    for number, entry in enumerate(entries, 1):
        content = tag("strong", text(entry)) if (place, number) in shown.bold else text(entry)
        cells.append(tag("td", content, class_=_kind(shown.numeric[number])))
    return tag("th", anchor(first, links(first.rstrip("†"))), scope="row") + "".join(cells)


def _entry(name: str, entry: str, value: Any, numeric: bool, link: Link | None) -> str:
    content = anchor(entry, link(str(value))) if link else text(entry)
    if name == "aggregator":
        return tag("th", content, scope="row", data_value=str(value))
    known = {} if pd.isna(value) else {"data_value": str(value)}
    better = {"data_better": column(name).better} if column(name).better else {}
    return tag("td", content, class_=_kind(numeric), **known, **better)


def _kind(numeric: bool) -> str:
    return "number" if numeric else "text"
