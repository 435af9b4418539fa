"""Random command lines over all commands, flags and hostile values: an answer or a sentence, no traceback.

No cell is run: what becomes of one is for other tests. A few lines by default, 500 in ``make soak``.
"""

from __future__ import annotations

import io
import os
import random
import shutil
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import torch  # noqa: F401 - where it is imported, plans are made in this very process

from robustbench_fl.cli.main import EXIT_INTERNAL, EXIT_INTERRUPTED, cli
from robustbench_fl.core.foreign import on_terminal
from robustbench_fl.sweep.runner import execute
from robustbench_fl.sweep.runner.recording import record

SOAK = os.environ.get("ROBUSTBENCH_FL_SOAK") == "1"
RELEASE = Path(__file__).parents[1] / "store" / "release-0.1"
LINES, PARTS = (500, 10) if SOAK else (60, 4)
"""Command lines, and the tests that they are spread over."""
SECONDS = 300
ALLOWED = {0, 1, 2, EXIT_INTERRUPTED}
LEFT_OUT = {"--watch", "--wandb", "--mlflow", "--backend", "--address", "--download", "--sanity", "--help"}
"""Flags of what does not end by itself, of other programs, and of what trains networks."""

NUMBERS = [
    "0", "1", "2", "3", "0.3", "-1", "-0", "nan", "inf", "-inf", "1e400", "1e-400", "9" * 400, "0x10", "1_0",
    " 1", "٣", "½", "", "1,2", "1:", ":1", "5:1", "0:3", "0.5x", "exact", "true", "1/2", "2/1", "0/0", "auto",
    "10s",
]  # fmt: skip
WORDS = [
    "", " ", "-", "--", "-rf", "*", "krum", "mean,median", "nnm > median", "nnm > nnm > mean", "@",
    "@detectors",
    "alie", "none", "alie(z=1.5)", "digits", "iid", "dirichlet(alpha=nan)", "krum(", "krum)", "krum(f=1e999)",
    "mlp(hidden=[-1])", "mlp(hidden=[9999999999])", "krum" + "(" * 5000, "[" * 5000, "a" * 70_000,
    "> " * 3000,
    "npz(path=../../etc/passwd)", "npz(path=/dev/zero)", "npz(path=pipe)", "image_folder(path=.)", "None",
    "\x1b[2J\x1b]0;x\x07", "\u202eb\u200b", "\udcff", "a\nb", "$(id)", "`id`", "'; rm -rf ~", "%s%n",
    "$\\frac$",
    "=cmd|'/c calc'!A0", "<script>", "../..", "/", "aggregator", "aggregator,attack", "accuracy", "key",
    "seed=0..2", "aggregator=krum|'nnm > *'", "aggregator=", "=", "seed=nan", "seed=0..", "malicious>=0.2 x",
    "(" * 99,
]  # fmt: skip
GOOD = {
    "aggregator": ["mean", "krum,median", "nnm > trimmed_mean"],
    "attack": ["none", "alie(z=1.5)", "ipm"],
    "dataset": ["digits"],
    "model": ["mlp", "logistic"],
    "partition": ["iid", "dirichlet(alpha=0.5)"],
    "name": ["mean", "krum", "ipm", "digits"],
    "key": ["0", "00", "3f"],
    "by": ["malicious", "attack", "dataset,seed"],
    "rows": ["aggregator", "seed,attack"],
    "only": ["aggregator=krum", "seed=0..2 attack!=none"],
    "against": ["mean", "krum"],
}
SWEEPS = {
    "good.toml": b'aggregator = "mean,krum"\nattack = "none,alie"\nrounds = 2\nclients = 8\n',
    "empty.toml": b"",
    "bytes.toml": b"\xff\xfe\x00name = 1",
    "deep.toml": b"aggregator = " + b"[" * 3000,
    "types.toml": b"aggregator = 1979-05-27\nattack = [[1], {a = inf}]\nseeds = nan\n",
    "numbers.toml": b'aggregator = "mean"\nrounds = %s\nlr = 1e400\n' % (b"9" * 400),
    "names.toml": b'name = "../../x"\naggregator = "\\u001b[2J"\nplugins = ["/dev/zero", "pipe"]\n',
}
PLUGINS = {
    "exits.py": "raise SystemExit(0)",
    "raises.py": "raise BaseException('\x1b[2J')",
    "broken.py": "def (",
    "recurses.py": "def f(): f()\nf()",
}


def not_run(planned: Any, environment: Any, *more: Any) -> Any:
    """Return the record of a cell that failed at once."""
    return record(planned, environment, status="failed", reason="it was not run")


def arena(place: Path) -> list[str]:
    """Fill a folder with sweeps, damaged ones, and files of all kinds; return their names."""
    for name in ("packed", "loose", "cut", "swapped", "emptied"):
        shutil.copytree(RELEASE, place / name)
    loose, pack, plan = place / "loose", "cells.jsonl.gz", "plan.jsonl.gz"
    from robustbench_fl.store import Store

    Store(loose).unpack()
    first = min((loose / "cells").iterdir())
    first.write_bytes(first.read_bytes()[:100])
    (place / "cut" / pack).write_bytes((place / "cut" / pack).read_bytes()[:5000])
    shutil.copy(place / "swapped" / plan, place / "swapped" / pack)
    for name in (pack, plan, "sweep.toml"):
        (place / "emptied" / name).write_bytes(b"")
    (place / "new").mkdir()
    (place / "mine").mkdir()
    (place / "mine" / "costs.csv").write_text("mine")
    os.mkfifo(place / "pipe")
    (place / "circle").symlink_to("circle")
    (place / "link").symlink_to("packed")
    for name, content in SWEEPS.items():
        (place / name).write_bytes(content)
    for name, text in PLUGINS.items():
        (place / name).write_text(text)
    return [
        *sorted(path.name for path in place.iterdir()),
        "absent",
        "/dev/zero",
        "/proc/self/mem",
        "/etc/passwd",
    ]


def commands(
    group: click.Group = cli, words: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Yield every command with the words that name it."""
    for name, command in sorted(group.commands.items()):
        if isinstance(command, click.Group):
            yield from commands(command, (*words, name))
        else:
            yield (*words, name), command


def value(parameter: click.Parameter, places: list[str], rng: random.Random, malice: float) -> str:
    """Return a value for a flag or an argument, of no kind that it should have with the chance `malice`."""
    kind, wrong = parameter.type, rng.random() < malice
    if isinstance(kind, click.Choice) and not wrong:
        return str(rng.choice(list(kind.choices)))
    if isinstance(kind, click.Path) and not wrong:
        good = "good.toml" if parameter.name == "file" else rng.choice(("packed", "loose"))
        return good if rng.random() > malice else rng.choice(places)
    if not wrong and parameter.name in GOOD:
        return rng.choice(GOOD[parameter.name])
    numeric = isinstance(kind, click.types.IntParamType | click.types.FloatParamType)
    if numeric or parameter.metavar == "NUMBER":
        return rng.choice(NUMBERS if wrong else ("1", "2", "0.25"))
    return rng.choice([*WORDS, *NUMBERS])


def line(places: list[str], rng: random.Random) -> list[str]:
    """Return one command line."""
    words, command = rng.choice(list(commands()))
    said, malice = [*words], rng.choice((0.05, 0.1, 0.5))
    for parameter in command.params:
        if isinstance(parameter, click.Argument):
            wanted = parameter.required or rng.random() < 0.5
            said += [value(parameter, places, rng, malice)] * wanted * rng.choice((1, 1, 1, 1, 2))
    flags = [one for one in command.params if isinstance(one, click.Option) and not LEFT_OUT & {*one.opts}]
    for flag in rng.sample(flags, min(len(flags), rng.choice((0, 1, 2, 3, 5)))):
        said.append(rng.choice(flag.opts))
        if not flag.is_flag and rng.random() < 0.97:
            said.append(value(flag, places, rng, malice))
    if words[-1] == "check":
        said.append("--list")
    return said


class TooLong(BaseException):
    """A command did not end in time."""


def _too_long(*signal_: Any) -> None:
    raise TooLong


def fault(done: Any, said: list[str]) -> str:
    """Return what is wrong with how a command ended, nothing if it is well."""
    if done.returncode not in ALLOWED:
        return f"code {done.returncode}"
    if "Traceback (most recent call last)" in done.stderr:
        return "traceback"
    if done.returncode and not done.stderr.strip() and not done.stdout.strip():
        return "not a word"
    for text in (done.stdout, done.stderr):
        if any(
            on_terminal(part) != part
            for part in text.replace("\x1b[1m", "").replace("\x1b[0m", "").split("\n")
        ):
            return "acts on a terminal"
    return ""


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("part", range(PARTS))
def test_no_command_line_ends_in_a_traceback(
    part: int, tmp_path: Path, run_here: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert EXIT_INTERNAL not in ALLOWED
    rng = random.Random(part)
    codes: Counter[int] = Counter()
    monkeypatch.setattr(execute, "execute", not_run)
    before = signal.signal(signal.SIGALRM, _too_long)
    try:
        for number in range(LINES // PARTS):
            if number % 10 == 0:
                place = tmp_path / str(number)
                place.mkdir()
                places = arena(place)
            said = line(places, rng)
            monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
            signal.alarm(SECONDS)
            try:
                done = run_here(place, *said)
            except BaseException as error:
                pytest.fail(f"{said!r:.900}: {type(error).__name__}: {error}")
            finally:
                signal.alarm(0)
            codes[done.returncode] += 1
            if why := fault(done, said):
                pytest.fail(f"{said!r:.900}: {why}\n{done.stdout[-800:]}\n{done.stderr[-2500:]}")
    finally:
        signal.signal(signal.SIGALRM, before)
    print(f"\n{dict(codes)}")
    assert len(codes) > 1
