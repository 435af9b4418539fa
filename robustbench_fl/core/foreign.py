"""Text of strangers (labels, names, reasons), made harmless: one function for each place where it is shown.

A folder may come from anybody, and so may what its records say.
"""

from __future__ import annotations

import re
import shlex
import unicodedata

BOLD, PLAIN = "\x1b[1m", "\x1b[0m"
"""What begins and ends bold type on a terminal: all that this program writes into a text."""
LONGEST_IN_FIGURE = 300
"""Characters of a line in a figure: its picture grows with its longest line."""
_KEPT = "\n\t"
_UNSHOWN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Categories of Unicode that a terminal acts on, or shows nothing of."""
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_LATEX = str.maketrans(
    {mark: f"\\{mark}" for mark in "&%$#_{}"}
    | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    | {"–": "--", "×": r"$\times$", "−": "$-$", "<": r"\textless{}", ">": r"\textgreater{}"}
)


def on_terminal(text: str) -> str:
    r"""Return `text` with what a terminal would act on shown as escapes; line feeds and tabs stay.

    That is control characters, what changes the direction of writing, what is invisible, and halves of
    surrogate pairs. JSON stays the same JSON.

    Examples
    --------
    >>> on_terminal("krum\x1b[2J"), on_terminal("a\u202eb"), on_terminal("Müller – 5 µs")
    ('krum\\u001b[2J', 'a\\u202eb', 'Müller – 5 µs')
    """
    bad = {mark: _escaped(mark) for mark in set(text) if unicodedata.category(mark) in _UNSHOWN}
    return text.translate({ord(mark): shown for mark, shown in bad.items() if mark not in _KEPT})


def in_one_line(text: str) -> str:
    r"""Return `text` as :func:`on_terminal` does, breaks of lines too, so that it forges no second row.

    Examples
    --------
    >>> in_one_line("mean\nkrum")
    'mean\\nkrum'
    """
    return on_terminal(text.replace("\r\n", "\n")).replace("\n", "\\n").replace("\t", " ")


def in_latex(text: str) -> str:
    r"""Return `text` for LaTeX: no command, no comment, no end of a row, no option of the row before.

    Examples
    --------
    >>> in_latex(r"\input{x} 5%"), in_latex("[3cm]")
    ('\\textbackslash{}input\\{x\\} 5\\%', '{[}3cm]')
    """
    shown = in_one_line(text).translate(_LATEX)
    return f"{{{shown[0]}}}{shown[1:]}" if shown.startswith(("[", "*")) else shown


def in_markdown(text: str) -> str:
    r"""Return `text` for one entry of a Markdown table: no emphasis, no tag, no link, no code.

    Examples
    --------
    >>> in_markdown("a|b <i> [x](y)"), in_markdown("3.1 [2.0, 4.5]")
    ('a\\|b \\<i> [x\\](y)', '3.1 [2.0, 4.5]')
    """
    for mark in ("\\", "*", "<", "|", "`", "]("):
        text = text.replace(mark, f"\\{mark}")
    return in_one_line(" ".join(text.split()))


def in_csv(value: object) -> object:
    """Return `value` for a field of CSV: text that a spreadsheet would take for a formula begins with ``'``.

    Numbers stay numbers.

    Examples
    --------
    >>> in_csv("=1+1"), in_csv(-0.5), in_csv("-0.5"), in_csv("krum")
    ("'=1+1", -0.5, '-0.5', 'krum')
    """
    if not isinstance(value, str):
        return value
    shown = on_terminal(value)
    return f"'{shown}" if value.startswith(_FORMULA) and not _NUMBER.fullmatch(value) else shown


def in_figure(text: str) -> str:
    """Return `text` for a figure, one or several lines; that ``$`` is no formula there is the style's."""
    return "\n".join(map(_cut, on_terminal(text).replace("\t", " ").split("\n")))


def command(*words: object) -> str:
    r"""Return a command line for a shell, every word quoted where it needs it.

    Examples
    --------
    >>> command("robustbench-fl", "show", "a b; rm x")
    "robustbench-fl show 'a b; rm x'"
    """
    return shlex.join(in_one_line(str(word)) for word in words)


_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?%?", re.ASCII)


def _cut(line: str) -> str:
    return line if len(line) <= LONGEST_IN_FIGURE else f"{line[:LONGEST_IN_FIGURE]}…"


def _escaped(mark: str) -> str:
    units = mark.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))
