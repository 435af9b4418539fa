"""The little language of methods: ``multi_krum(k=3)``, ``bucketing(s=2) > nnm > trimmed_mean``.

::

    specs  = chain {"," chain}                    commas at depth 0 separate
    chain  = call {">" call}
    call   = group | name ["(" [key "=" value {"," key "=" value}] ")"]
    value  = number | true | false | none | word | 'text' | "text" | "[" [value {"," value}] "]"
    name   = letter {letter | digit | "_" | ":" | "."}
    group  = "@" word
    word   = {letter | digit | any of _ . / : -}

Numbers are finite: ``inf`` and ``nan`` are words. A quote inside a text of its own kind is doubled,
``'it''s'``. Parsing is purely textual: whether a
name exists and a parameter fits is the registry's business.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from robustbench_fl.core.errors import UsageError

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_:.]*")
"""What a method may be called."""
GROUP_MARK = "@"
"""How the name of a group of methods begins (see :mod:`robustbench_fl.api.groups`)."""

Value = bool | int | float | str | None | list["Value"]

_TOKEN = re.compile(
    r"""(?P<text>'(?:[^']|'')*'|"(?:[^"]|"")*")|(?P<group>@[A-Za-z0-9_.:-]*)|(?P<word>[A-Za-z0-9_./:+-]+)|(?P<mark>[()\[\],=>])""",
)
_SPACE = re.compile(r"\s*")
_WHOLE = re.compile(r"[+-]?[0-9]+")
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_WORD = re.compile(r"[A-Za-z0-9_./:-]+")
_CONSTANTS: Mapping[str, Value] = MappingProxyType({"true": True, "false": False, "none": None})
_DEEPEST = 20
"""Lists within lists."""
_SHOWN = 70
"""Characters shown on either side of a mistake."""


@dataclass(frozen=True)
class Call:
    """A method's name, or a group's, with its explicitly given parameters."""

    name: str
    params: Mapping[str, Value] = field(default_factory=dict)

    def __str__(self) -> str:
        """Return the text of the call."""
        inner = ", ".join(f"{key}={format_value(value)}" for key, value in self.params.items())
        return f"{self.name}({inner})" if inner else self.name


Chain = tuple[Call, ...]
"""A pipeline: pre-aggregators, then one rule."""


def format_chain(chain: Chain) -> str:
    """Return the text of `chain`."""
    return " > ".join(map(str, chain))


def format_value(value: Value) -> str:
    """Return `value` as the language writes it; :func:`parse_chain` reads it back."""
    if value is None or isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(format_value, value))}]"
    if isinstance(value, str):
        if _WORD.fullmatch(value) and value not in _CONSTANTS and not _NUMBER.fullmatch(value):
            return value
        quote = "'" if '"' in value else '"'
        return quote + value.replace(quote, quote * 2) + quote
    return str(value)


def parse_chain(text: str, where: str = "") -> Chain:
    """Parse one chain.

    Parameters
    ----------
    text : str
        For example ``"nnm > trimmed_mean(trim=0.1)"``.
    where : str
        Where the text comes from, for the error message.

    Raises
    ------
    UsageError
        With a caret under the place.

    Examples
    --------
    >>> parse_chain("nnm > multi_krum(k=3)")[1].params["k"]
    3
    """
    parser = _Parser(text, where)
    chain = parser.chain()
    parser.end()
    return chain


def parse_chains(text: str, where: str = "") -> list[Chain]:
    """Parse a comma-separated list of chains; commas inside brackets and quotes do not separate.

    Examples
    --------
    >>> [format_chain(c) for c in parse_chains("mean, trimmed_mean(trim=[0.1, 0.2])")]
    ['mean', 'trimmed_mean(trim=[0.1, 0.2])']
    """
    parser = _Parser(text, where)
    chains = [parser.chain()]
    while parser.take(","):
        chains.append(parser.chain())
    parser.end()
    return chains


class _Parser:
    """Reads one text from left to right; `position` is always at a token or at the end."""

    def __init__(self, text: str, where: str) -> None:
        self.text = text
        self.where = where
        self.position = 0
        self._advance(0)

    def chain(self) -> Chain:
        calls = [self.call()]
        while self.take(">"):
            calls.append(self.call())
        return tuple(calls)

    def call(self) -> Call:
        start = self.position
        if (match := self._match()) and match["group"]:
            self._advance(match.end())
            return self._group(match["group"])
        name = self._next("word", "a method's name")
        if not NAME.fullmatch(name):
            raise self.error(f"{name!r} is not a method's name", start)
        params: dict[str, Value] = {}
        if self.take("("):
            while not self.take(")"):
                if params:
                    self._expect(",", "',' or ')'")
                start = self.position
                key = self._next("word", "a parameter's name")
                if key in params:
                    raise self.error(f"parameter {key!r} is given twice", start)
                self._expect("=", "'=' and a value")
                params[key] = self.value()
        return Call(name, params)

    def _group(self, name: str) -> Call:
        if self.take("("):
            raise self.error(f"the group {name!r} takes no parameters", self.position - 1)
        return Call(name)

    def value(self, depth: int = 0) -> Value:
        start = self.position
        if self.take("["):
            if depth == _DEEPEST:
                raise self.error(f"lists are nested more than {_DEEPEST} deep", start)
            items: list[Value] = []
            while not self.take("]"):
                if items:
                    self._expect(",", "',' or ']'")
                items.append(self.value(depth + 1))
            return items
        match = self._match()
        if match and match["text"]:
            self._advance(match.end())
            quote = match["text"][0]
            return match["text"][1:-1].replace(quote * 2, quote)
        word = self._next("word", "a value")
        if word in _CONSTANTS:
            return _CONSTANTS[word]
        if not _NUMBER.fullmatch(word):
            return word
        if not math.isfinite(float(word)):
            raise self.error(f"the number is larger than {sys.float_info.max:.4g}", start)
        return int(word) if _WHOLE.fullmatch(word) else float(word)

    def take(self, mark: str) -> bool:
        match = self._match()
        if match and match["mark"] == mark:
            self._advance(match.end())
            return True
        return False

    def end(self) -> None:
        if self.position < len(self.text):
            raise self.error("expected nothing more", self.position)

    def error(self, message: str, position: int) -> UsageError:
        place = f" in {self.where}" if self.where else ""
        low, high = max(0, position - _SHOWN), position + _SHOWN
        before, after = "…" * (low > 0), "…" * (high < len(self.text))
        shown = before + re.sub(r"\s", " ", self.text[low:high]) + after
        caret = " " * (len(before) + position - low) + "^"
        return UsageError(f"Malformed method{place}: {message}.\n  {shown}\n  {caret}")

    def _advance(self, position: int) -> None:
        space = _SPACE.match(self.text, position)
        self.position = space.end() if space else position

    def _match(self) -> re.Match[str] | None:
        return _TOKEN.match(self.text, self.position)

    def _next(self, group: str, wanted: str) -> str:
        match = self._match()
        if not match or not match[group]:
            raise self.error(f"expected {wanted}", self.position)
        self._advance(match.end())
        return match[group]

    def _expect(self, mark: str, wanted: str) -> None:
        if not self.take(mark):
            raise self.error(f"expected {wanted}", self.position)
