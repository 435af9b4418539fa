"""Colour only where a terminal shows it and nobody refused it."""

from __future__ import annotations

import io
import os
import pty
import subprocess
import sys

import pytest

from robustbench_fl.cli.output import error_text, shows_colour

RED = "\x1b[31m"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_no_color_and_dumb_terminals_and_pipes_get_plain_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert shows_colour(Terminal())
    assert not shows_colour(io.StringIO())
    monkeypatch.setenv("NO_COLOR", "1")
    assert not shows_colour(Terminal())
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("TERM", "dumb")
    assert not shows_colour(Terminal())


def test_an_error_is_red_in_its_first_word_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setattr(sys, "stderr", Terminal())
    text = error_text("Error: what, where")
    assert text.startswith(RED)
    assert text.endswith("\x1b[0m what, where")


@pytest.mark.parametrize("no_color", [False, True])
def test_on_a_real_terminal(no_color: bool) -> None:
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm"} | ({"NO_COLOR": "1"} if no_color else {})
    if not no_color:
        environment.pop("NO_COLOR", None)
    done = subprocess.run(
        [sys.executable, "-m", "robustbench_fl", "status", "nowhere"],
        stdout=subprocess.PIPE, stderr=theirs, env=environment, timeout=120,
    )  # fmt: skip
    os.close(theirs)
    shown = os.read(ours, 4096).decode()
    os.close(ours)
    assert done.returncode == 2
    assert "holds no sweep" in shown
    assert (RED in shown) is not no_color
