"""Saying something to whoever reads: strangers' text acts on no terminal, a reader who is gone ends no work.

What a sweep does lies in its folder. It goes on where nobody listens; how it went is in the exit code.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import re
import sys

import click

from robustbench_fl.core.foreign import BOLD, PLAIN, on_terminal

_STYLES = re.compile(f"({re.escape(BOLD)}|{re.escape(PLAIN)})")
_lost: list[str] = []
"""Why standard output took nothing more, if it did not."""


def say(text: object = "", *, err: bool = False, styled: bool = False) -> None:
    """Print `text` and a line feed.

    Parameters
    ----------
    text : object
        Whatever a stranger wrote in it is shown, never acted on.
    err : bool
        On standard error.
    styled : bool
        Whether bold type in it is this program's own: in tables, whose entries have been made harmless.
    """
    parts = _STYLES.split(str(text)) if styled else [str(text)]
    shown = "".join(part if styled and part in (BOLD, PLAIN) else on_terminal(part) for part in parts)
    try:
        click.echo(shown, err=err)
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) and (error.filename is not None or error.errno not in _GONE):
            raise
        forget_output(sys.stderr if err else sys.stdout)
        if not err and isinstance(error, OSError) and error.errno not in (errno.EPIPE, errno.EBADF):
            _lost.append(str(error.strerror))


def lost_output() -> str | None:
    """Return why standard output was full, None if it took everything or its reader wanted no more."""
    return _lost[0] if _lost else None


def open_streams() -> None:
    """Have all three standard streams: a closed one leads nowhere, a narrow one shows escapes."""
    _lost.clear()
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            nowhere = os.open(os.devnull, os.O_RDWR)
            if nowhere != number:
                os.dup2(nowhere, number)
                os.close(nowhere)
        if getattr(sys, name) is None:
            mode = "r" if number == 0 else "w"
            setattr(sys, name, os.fdopen(os.dup(number), mode, errors="backslashreplace"))
        elif number and isinstance(stream := getattr(sys, name), io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def forget_output(stream: object) -> None:
    """Point a standard stream to nowhere: what it still holds would fail again when Python ends."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())  # type: ignore[attr-defined]
        os.close(nowhere)


_GONE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EPIPE, errno.EBADF)
