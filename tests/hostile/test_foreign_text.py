"""A folder whose names, reasons and plug-ins are hostile text: no command acts on it, in no format."""

from __future__ import annotations

import csv
import io
import json
import re
import shlex
import shutil
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from robustbench_fl.cli.main import cli
from robustbench_fl.cli.output import FORMATS
from robustbench_fl.cli.results import command_of
from robustbench_fl.core.record import CellRecord
from robustbench_fl.report.canvas import encoded, figure, style, written_as
from robustbench_fl.report.naming import safe
from robustbench_fl.store import Store

RELEASE = Path(__file__).parents[1] / "store" / "release-0.1"
HOSTILE = (
    "=cmd|'/c calc'!A0\n\x1b[2J\x1b]0;owned\x07 \u202egnp\u202c\u200b $\\frac$ \\input{/etc/passwd}%"
    " <script>alert(1)</script> `id` $(id); rm -rf '~' | & [x](javascript:1) _a^b\r\x9b31m #"
)
COMMANDS = ("matrix", "attacks", "costs", "failures", "status", "leaderboard")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of real cells with one rule, one attack and the data set named by a stranger."""
    place = Path(shutil.copytree(RELEASE, tmp_path_factory.mktemp("hostile") / "a $(id) \x1b[31m b"))
    store = Store(place)
    sweep, rows = store.read_sweep(), list(store.planned())
    assert sweep
    named = {"aggregator": rows[0]["labels"]["aggregator"], "attack": rows[-1]["labels"]["attack"]}
    named["dataset"] = rows[0]["labels"]["dataset"]

    def forged(labels: dict[str, str]) -> dict[str, str]:
        names = {axis: text.partition("(")[0] for axis, text in labels.items()}  # which a key stands for
        return {a: f"{names[a]}({HOSTILE})" if named.get(a) == text else text for a, text in labels.items()}

    store.unpack()
    records = store.records()
    for number, record in enumerate(records):
        record = {name: value for name, value in record.items() if name != "checksum"}
        record["labels"] = forged(record["labels"])
        if number == len(records) - 1:
            record |= {"status": "failed", "reason": HOSTILE, "traceback": HOSTILE, "metrics": None}
        record["provenance"] = {**record["provenance"], "plugins": {HOSTILE: "0" * 64}}
        store.write(CellRecord.model_validate(record))
    store.write_plan({**sweep, "name": "x"}, [{**row, "labels": forged(row["labels"])} for row in rows])
    return place


def acted_on(text: str) -> set[str]:
    """Return the characters of a text that a terminal would act on or hide."""
    return {mark for mark in text if unicodedata.category(mark) in {"Cc", "Cf", "Cs"} and mark not in "\n\t"}


@pytest.mark.parametrize("command", COMMANDS)
def test_no_command_acts_on_names(folder: Path, command: str, own_cache: None) -> None:
    by = ("--by", "dataset") if command == "leaderboard" else ()
    for format_ in ("latex",) if by else FORMATS:
        done = CliRunner().invoke(cli, [command, str(folder), *by, "--format", format_])
        assert done.exception is None or isinstance(done.exception, SystemExit), (format_, done.exception)
        assert not acted_on(done.output), format_
        harmless(format_, done.stdout)
        if command in ("matrix", "attacks", "failures"):
            assert "u001b" in done.stdout, "the name is shown, as what it is"


def harmless(format_: str, text: str) -> None:
    if format_ == "json" and text.strip():
        json.loads(text)
    elif format_ == "csv":
        for row in csv.reader(io.StringIO(text)):
            assert not any(re.match(r"[=@\t\r]|[+-](?![\d.])", field) for field in row)
    elif format_ == "latex":
        lines = [line for line in text.splitlines() if not line.startswith("%")]
        assert "\\input" not in "\n".join(lines)
        assert not any(line.lstrip().startswith("\\input") for line in text.splitlines())
    elif format_ == "html":
        assert "<script" not in text


def test_show_quotes_every_word(folder: Path) -> None:
    record = Store(folder).records()[0]
    done = CliRunner().invoke(cli, ["show", record["key"], str(folder)])
    assert done.exit_code == 0
    assert not acted_on(done.output)
    forged: dict[str, Any] = {
        **record,
        "key": "$(id)",
        "cell": {**record["cell"], "x; id #": 1, "plugin": "/x"},
    }
    words = shlex.split(command_of(forged))
    assert words[:2] == ["robustbench-fl", "sweep"]
    assert words[-1] == "again-$(id)"
    assert "--plugin" not in words[: words.index("--name") - 2]
    assert not any(";" in word for word in words if word.startswith("--"))


@pytest.mark.parametrize("format_", ["png", "svg", "pdf"])
def test_figures_take_names_as_they_are(format_: Any) -> None:
    with style(), written_as(format_):
        drawn = figure(3, 2)
        drawn.suptitle(HOSTILE + "\ud800")
        content = encoded(drawn)
    if format_ == "svg":
        assert not acted_on(content.decode())


def names() -> Iterator[str]:
    yield from (HOSTILE, "../../etc", "a/b", ".", "", "\ud800", "CON\x00", "x" * 400, "-rf")


def test_names_of_files_stay_in_their_folder() -> None:
    made = [safe(name) for name in names()]
    assert len(set(made)) == len(made)
    assert all(re.fullmatch(r"[A-Za-z0-9=_][A-Za-z0-9.=_-]{0,99}", name) for name in made)
