"""How cells are chosen: the expressions of ``--only`` and ``--exclude``.

::

    expression = term {space term}                              all terms hold
    term       = axis "=" any | axis "!=" any | axis order number
    any        = value {"|" value}                              one of them
    value      = name | number | number ".." number             both ends are meant
    order      = "<" | "<=" | ">" | ">="
    name       = text up to a space or "|" outside brackets, or in quotes; "*" and "?" are wildcards

For example ``aggregator=krum|multi_krum attack=alie seed=0..2 malicious>=0.2``. A name is compared with
the method's whole text, and with that text without parameters: ``trimmed_mean`` means it with any
parameters, ``trimmed_mean(trim=0.1)`` with these, ``nnm>*`` every rule behind nnm, ``*krum`` all of krum,
multi_krum and ``nnm > krum``. Spaces within a name do not count. Axes are those of a sweep file (``seed``
for ``seeds``), and ``key``. Where a cell has no number (``local_steps`` beside ``local_epochs``) it is
``none``; ``assumed_f=-`` are the rules that need no f.

A value that no cell of the plan has is refused: it is a mistake more often than a wish.
"""

from __future__ import annotations

import math
import re

from robustbench_fl.core.errors import UsageError, did_you_mean
from robustbench_fl.sweep.selection import AXES, NUMBERS, ORDERS, Name, Selection, Span, Term, fault

_TERM = re.compile(r"(?P<axis>[A-Za-z_]+)(?P<operator>!=|<=|>=|=|<|>)")
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_LONGEST = 30
"""Characters of a number."""


def parse(text: str, flag: str = "--only") -> Selection:
    """Return the selection that `text` describes.

    Parameters
    ----------
    text : str
        An expression.
    flag : str
        Where it was given, for error messages.

    Raises
    ------
    UsageError
        With the place, what was found and what is known.

    Examples
    --------
    >>> str(parse("aggregator=krum|'nnm > krum'  seed=0..2 malicious>=0.2"))
    "aggregator=krum|'nnm > krum' seed=0..2 malicious>=0.2"
    """
    terms: list[Term] = []
    at = _after_space(text, 0)
    while at < len(text):
        term, at = _term(text, at, flag)
        terms.append(term)
        if at < len(text) and not text[at].isspace():
            raise fault(flag, text, at, "expected a space before the next term")
        at = _after_space(text, at)
    if not terms:
        raise UsageError(f"{flag} is empty. Give a term such as aggregator=krum or seed=0..2.")
    return Selection(tuple(terms), flag, text)


def _term(text: str, at: int, flag: str) -> tuple[Term, int]:
    match = _TERM.match(text, at)
    if not match:
        raise fault(flag, text, at, "expected a term such as aggregator=krum, seed=0..2 or malicious>=0.2")
    axis, sign = match["axis"], match["operator"]
    axis = "seed" if axis == "seeds" else axis
    if axis not in AXES:
        known = f"{did_you_mean(axis, AXES)}\nAxes: {', '.join(AXES)}.".lstrip()
        raise fault(flag, text, at, f"unknown axis {axis!r}", known)
    if sign in ORDERS and axis not in NUMBERS:
        raise fault(flag, text, match.start("operator"), f"{axis} has no order; use = or !=")
    values = []
    at = match.end()
    while True:
        start = at
        word, quoted, at = _word(text, at, flag)
        values.append(_value(word, quoted, axis, flag, text, start))
        if at >= len(text) or text[at] != "|":
            break
        at += 1
    if sign in ORDERS:
        first = values[0]
        if len(values) > 1 or not isinstance(first, Span) or first.low != first.high:
            raise fault(flag, text, match.end(), f"{sign} takes one number")
    return Term(axis, sign, tuple(values)), at


def _word(text: str, at: int, flag: str) -> tuple[str, bool, int]:
    """Return the value that begins at `at`, whether it is quoted, and where it ends."""
    if text[at : at + 1] in ("'", '"'):
        mark = text[at]
        match = re.compile(f"{mark}((?:[^{mark}]|{mark}{mark})*){mark}").match(text, at)
        if not match:
            raise fault(flag, text, at, "the quote is not closed")
        return match[1].replace(2 * mark, mark), True, match.end()
    end, depth = at, 0
    while end < len(text) and (depth or not (text[end].isspace() or text[end] == "|")):
        depth += (text[end] in "([") - (text[end] in ")]")
        end += 1
    if depth > 0:
        raise fault(flag, text, at, "a bracket is not closed")
    if end == at:
        raise fault(flag, text, at, "expected a value")
    return text[at:end], False, end


def _value(word: str, quoted: bool, axis: str, flag: str, text: str, at: int) -> Name | Span:
    if quoted or axis not in NUMBERS:
        if axis in NUMBERS:
            raise fault(flag, text, at, f"{axis} is a number and needs no quotes")
        return Name(word, at)
    if word == "none":
        return Name(word, at)
    low, _, high = word.partition("..") if ".." in word else (word, "", word)
    if not all(len(one) <= _LONGEST and _NUMBER.fullmatch(one) for one in (low, high)):
        raise fault(flag, text, at, f"{axis} is a number or a range such as 0..2, got {word!r}")
    first, last = _number(low), _number(high)
    if not (math.isfinite(first) and math.isfinite(last) and first <= last):
        raise fault(flag, text, at, f"the range {word} holds no number")
    return Span(first, last, at)


def _number(text: str) -> float:
    return int(text) if re.fullmatch(r"[+-]?[0-9]+", text) else float(text) + 0.0


def _after_space(text: str, at: int) -> int:
    while at < len(text) and text[at].isspace():
        at += 1
    return at
