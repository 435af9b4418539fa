"""What a method was compared with, read from its docstring.

A method says it in the section Faithfulness of its docstring, after Notes, one label a line::

    Faithfulness
    ------------
    Release: the authors' code with the commit that was read, or that there is none.
    Compared: numbers or formulas, with what, on what.
    Difference: the largest one found.
    On purpose: what is done otherwise than in the paper or the release, and why.
    Elsewhere: what other published versions do differently, with repository and file. Optional.

What was not compared says so; nothing is claimed that nobody looked at.
"""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass, fields

SECTION = re.compile(
    r"\n[ \t]*\n[ \t]*Faithfulness\n[ \t]*-{12}\n(?P<text>.*?)(?=\n[ \t]*\n[ \t]*\w+\n[ \t]*-{3,}\n|\Z)",
    re.DOTALL,
)
"""The section in a docstring: from its heading to the next one."""


@dataclass(frozen=True, kw_only=True)
class Faithfulness:
    """How far a method is what its paper or its authors' code says.

    Parameters
    ----------
    release : str
        The authors' code and the commit that was read, or that there is none.
    compared : str
        Numbers or formulas, with what, on what.
    difference : str
        The largest difference found.
    on_purpose : str
        What is done otherwise, and why.
    elsewhere : str
        What other published versions do differently; empty where nothing is known.
    """

    release: str
    compared: str
    difference: str
    on_purpose: str
    elsewhere: str = ""


LABELS = {field.name: field.name.replace("_", " ").capitalize() for field in fields(Faithfulness)}
"""Field → the label that starts its line."""


def faithfulness(method: type) -> Faithfulness | None:
    """Return what the docstring of `method` says it was compared with, ``None`` without such a section.

    Raises
    ------
    ValueError
        If the section lacks a label or has one that is not known.

    Examples
    --------
    >>> from robustbench_fl.aggregators.median import Median
    >>> faithfulness(Median).release
    'none by the authors.'
    """
    found = SECTION.search(inspect.getdoc(method) or "")
    if not found:
        return None
    names = {label: name for name, label in LABELS.items()}
    parts = re.split(r"^(" + "|".join(names) + r"):", found["text"], flags=re.MULTILINE)
    if parts[0].strip():
        raise ValueError(
            f"{method.__name__}: the section Faithfulness begins with {parts[0].split()[0]!r}; "
            f"its lines begin with {', '.join(f'{label}:' for label in names)}"
        )
    values = {
        names[label]: " ".join(text.split()) for label, text in zip(parts[1::2], parts[2::2], strict=True)
    }
    missing = [
        LABELS[f.name] for f in fields(Faithfulness) if f.name != "elsewhere" and not values.get(f.name)
    ]
    if missing:
        raise ValueError(f"{method.__name__}: the section Faithfulness says nothing of {', '.join(missing)}")
    return Faithfulness(**values)


def without_faithfulness(docstring: str) -> str:
    """Return a docstring without the section, for what shows it in another form."""
    return SECTION.sub("", docstring)
