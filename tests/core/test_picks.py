"""``picks.json``: what is written is read back, and nothing else is."""

import json
from pathlib import Path

import pytest

from robustbench_fl.core import picks as module
from robustbench_fl.core.errors import UsageError
from robustbench_fl.core.picks import Block, Member, Pick, Picks, read_picks, write_picks
from robustbench_fl.core.settings import Settings
from robustbench_fl.core.tuned import read_tuned

RESULTS = Path(__file__).parents[2] / "results"

BLOCK = Block(
    dataset="digits", model="mlp", partition="iid", malicious=0.3, settings=dict(vars(Settings(clients=6)))
)
MEMBER = Member(attack="ipm(epsilon=10)", accuracy=0.25, above=0.0, error=0.0, edge=False)
PICK = Pick(
    block=0, aggregator="mean", assumed_f=None, family="ipm", members=[MEMBER], tried=5,
    default="ipm", default_accuracy=0.5,
)  # fmt: skip
PICKS = Picks(
    version="1", engine=1, sweep="demo", seeds=[1000, 1001, 1002, 1003], cells="0" * 12,
    blocks=[BLOCK], picks=[PICK],
)  # fmt: skip


def test_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "picks.json"
    write_picks(path, PICKS)
    assert read_picks(path) == PICKS
    assert Settings.of(read_picks(path).blocks[0].settings) == Settings(clients=6)


def test_the_code_of_plugins_is_in_the_file_and_nothing_where_there_are_none(tmp_path: Path) -> None:
    path = tmp_path / "picks.json"
    write_picks(path, PICKS)
    assert "code" not in json.loads(path.read_text())
    found = PICKS.model_copy(update={"code": {"mine": "0a1b"}})
    write_picks(path, found)
    assert read_picks(path) == found


@pytest.mark.parametrize("name", ["picks.json", "tuned.json"])
def test_stored_files_of_builtin_methods_are_written_again_byte_for_byte(tmp_path: Path, name: str) -> None:
    stored = [*RESULTS.glob(f"**/{name}"), *(RESULTS.glob("*/picks/*.json") if name == "picks.json" else ())]
    assert stored
    for path in stored:
        write_picks(tmp_path / name, (read_picks if name == "picks.json" else read_tuned)(path))
        again, before = (tmp_path / name).read_bytes(), path.read_bytes()
        # Files from before there were digests have none.
        assert again == before or module._without_digest(again) == before


def changed(**values: object) -> str:
    return json.dumps(PICKS.model_dump() | values)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "EOF while parsing"),
        ("[" * 5000, "recursion limit"),
        ("[]", "object"),
        (changed(more=1), "more: Extra inputs"),
        (changed(schema_version=2), "schema_version"),
        (changed(seeds=[1, 1, 1, 2]), "fewer than 4 pilot seeds"),
        (changed(seeds=[0, 1, 2, -3]), "seeds.3"),
        (changed(engine="1"), "engine"),
        (changed(blocks=[]), "a block that is not there"),
        (changed(picks=[PICK.model_dump()] * 2), "picked twice"),
        (changed(picks=[PICK.model_dump() | {"members": []}]), "between one member"),
        (changed(blocks=[BLOCK.model_dump() | {"settings": {"lrr": 1}}]), "unknown settings lrr"),
        (changed(picks=[PICK.model_dump() | {"default_accuracy": float("nan")}]), "finite"),
    ],
)
def test_anything_else_is_refused(tmp_path: Path, content: str, said: str) -> None:
    path = tmp_path / "picks.json"
    path.write_text(content)
    with pytest.raises(UsageError, match="holds no picks of a pilot") as caught:
        read_picks(path)
    assert said in str(caught.value)
    assert "robustbench-fl pilot" in str(caught.value)


def test_what_cannot_be_read_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match=r"No such file.*robustbench-fl pilot"):
        read_picks(tmp_path / "picks.json")
    with pytest.raises(UsageError, match=r"Is a directory|no ordinary file"):
        read_picks(tmp_path)
    write_picks(tmp_path / "picks.json", PICKS)
    monkeypatch.setattr(module, "LARGEST_FILE", 100)
    with pytest.raises(UsageError, match="too large"):
        read_picks(tmp_path / "picks.json")
