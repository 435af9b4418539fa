"""What cannot be trusted is told, counts as missing, is kept, and leads nowhere."""

import gzip
import json
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robustbench_fl.core.places import PlaceError
from robustbench_fl.core.record import SCHEMA
from robustbench_fl.store import StoreError
from robustbench_fl.store.codec import STEPS, migrated, seal, unseal
from robustbench_fl.store.errors import Damaged

pytestmark = pytest.mark.filterwarnings("ignore:.*Its cell counts as missing")


def _with(**changes):
    return lambda text: json.dumps({**json.loads(text), **changes})


def _resealed(**changes):
    def damage(text):
        whole = {k: v for k, v in json.loads(text).items() if k != "checksum"}
        return seal({**whole, **changes}).decode()

    return damage


def _relabelled(**labels):
    return lambda text: _resealed(labels={**json.loads(text)["labels"], **labels})(text)


PARTS = {"malicious": 0.3, "clients": 8, "participation": 1.0, "rounds": 2}


def _truncated(text):
    return text[: len(text) // 2]


EDITED = "was cut short or changed after it was written: its checksum does not fit"


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        (_truncated, EDITED),
        (lambda text: text + "\n", EDITED),
        (lambda text: text.replace('"done"', '"failed"'), EDITED),
        (lambda text: "", "is empty"),
        (lambda text: "[]", "is no cell record"),
        (lambda text: "\ud800", "is no whole JSON"),
        (lambda text: "[" * 100_000, "is no whole JSON"),
        (lambda text: '"x"', "is no cell record"),
        (_with(schema_version=None), "is no cell record"),
        (lambda text: json.dumps(json.loads(text)), "was rewritten: it does not begin with its checksum"),
        (_resealed(key="0123456789abcdef"), "holds settings that are not those its key stands for"),
        (_resealed(cell={**PARTS, "seed": 3}), "holds settings that are not those its key stands for"),
        (_resealed(key=None), "is no whole cell record"),
        (_resealed(status="splendid"), "is no whole cell record"),
        (_resealed(labels=3), "is no whole cell record"),
        (_relabelled(aggregator="median"), "names other methods than its key stands for"),
        (_relabelled(attack="alie > alie"), "names other methods than its key stands for"),
        (
            _resealed(image_counts={"images": 10**9, "evaluations": 5, "packed": "oYA="}),
            "is no whole cell record",
        ),
    ],
)
def test_what_is_no_whole_record_counts_as_missing(store, plan, damage, why, record, path_of, skipping):
    for planned in plan[:2]:
        store.write(record(planned))
    path = path_of(store, plan[0])
    path.write_bytes(damage(path.read_text()).encode(errors="surrogatepass"))
    found, warned = skipping(store)
    assert [r["key"] for r in found] == [plan[1].cell.key]
    assert warned == [f"cells/{path.name} {why}. Its cell counts as missing."]
    assert store.statuses() == {plan[1].cell.key: "done"}
    assert store.problems() == [(f"cells/{path.name}", why)]


def test_a_damaged_file_is_kept_under_another_name(store, plan, record, path_of):
    path = path_of(store, plan[0])
    for number, content in enumerate((b"half", b"another half"), 1):
        store.cells.mkdir(exist_ok=True)
        path.write_bytes(content)
        with pytest.warns(UserWarning, match=rf"is no whole JSON. It is kept as .*damaged-{number}\."):
            store.write(record(plan[0]))
        assert store.statuses() == {plan[0].cell.key: "done"}
        assert path.with_name(f"{path.name}.damaged-{number}").read_bytes() == content


def test_the_record_of_another_cell_under_this_name(store, plan, record, path_of, skipping):
    store.write(record(plan[1]))
    path_of(store, plan[0]).write_bytes(path_of(store, plan[1]).read_bytes())
    found, warned = skipping(store)
    assert [r["key"] for r in found] == [plan[1].cell.key]
    name = path_of(store, plan[0]).name
    assert warned == [f"cells/{name} holds another cell, {plan[1].cell.key}. Its cell counts as missing."]


@pytest.mark.parametrize("sealed", [True, False])
def test_a_later_schema_is_refused_with_what_to_do(store, plan, sealed, record, path_of):
    newer = {**record(plan[0]).model_dump(mode="json"), "schema_version": SCHEMA + 1, "novel": 1}
    raw = seal(newer) if sealed else json.dumps(newer).encode()
    store.write_bytes(f"cells/{plan[0].cell.key}.json", raw)
    said = (
        rf"cells/{plan[0].cell.key}.json: Records of schema {SCHEMA + 1} were written by a later "
        rf"robustbench-fl; this one reads up to {SCHEMA}. Update it "
        r"\(pip install --upgrade robustbench-fl\), "
        "or use another folder."
    )
    for action in (store.statuses, store.records, lambda: store.write(record(plan[0]))):
        with pytest.raises(StoreError, match=said):
            action()
    assert path_of(store, plan[0]).read_bytes() == raw


def test_a_record_of_schema_1_is_read_and_written_anew_with_a_checksum(
    store, plan, record, path_of, packed_with
):
    old = {**record(plan[0]).model_dump(mode="json"), "schema_version": 1}
    text = json.dumps(old, sort_keys=True)  # as version 0.1.0 wrote it
    store.write_bytes(f"cells/{plan[0].cell.key}.json", text.encode())
    assert list(store.stored()) == [{**old, "schema_version": SCHEMA}]
    assert path_of(store, plan[0]).read_text() == text  # reading changes no file
    store.pack()
    packed_with(store, text)
    assert list(store.stored()) == [{**old, "schema_version": SCHEMA}]
    store.unpack()
    assert path_of(store, plan[0]).read_bytes() == seal({**old, "schema_version": SCHEMA})
    assert list(store.stored()) == [{**old, "schema_version": SCHEMA}]


def test_a_record_of_schema_2_has_no_counts_per_image(store, plan, record):
    old = {**record(plan[0]).model_dump(mode="json"), "schema_version": 2}
    del old["image_counts"]
    assert unseal(seal(old)) == {**old, "image_counts": None, "schema_version": SCHEMA}


def test_the_curves_of_a_record_of_schema_3_tell_what_was_left_of_an_attack_that_ended():
    curves = {"round": [1, 2, 11, 12, 22], "accuracy": [0.9, 0.1, 0.2, 0.89, 0.9], "loss": [1.0] * 5}
    curves["attack_success"] = [0.0, 1.0, 0.9, 0.8, 0.3]
    cell = {"attack": {"name": "scaling", "version": 1, "params": {"start": 1, "stop": 2}}}
    old = {
        "schema_version": 3, "cell": cell, "metrics": {"accuracy": 0.9}, "curves": curves,
        "labels": {"aggregator": "mean"},
    }  # fmt: skip
    assert migrated(old)["metrics"] == {
        "accuracy": 0.9, "success_after_10": 0.8, "success_after_20": 0.3, "recovery_rounds": 10,
        "client_accuracy": None, "worst_client_accuracy": None,
    }  # fmt: skip
    assert migrated({**old, "metrics": None})["metrics"] is None


@pytest.mark.parametrize(
    ("then", "now"),
    [
        ("nnm > fedredefense", "nnm > fedredefense(preset=fast)"),
        ("fedredefense(restart=true)", "fedredefense(preset=fast, restart=true)"),
        ("fedredefense(preset=calibrated)", "fedredefense"),
        ("fedredefense(preset=calibrated, ban=3)", "fedredefense(ban=3)"),
        ("fedredefense(preset=paper-cifar10)", "fedredefense(preset=paper-cifar10)"),
        ("my_fedredefense", "my_fedredefense"),
    ],
)
def test_a_record_of_schema_4_names_the_preset_that_was_the_default(then, now):
    old = {"schema_version": 4, "labels": {"aggregator": then, "attack": "none"}}
    assert migrated(old)["labels"] == {"aggregator": now, "attack": "none"}


def test_every_older_schema_has_its_step():
    assert set(STEPS) == set(range(1, SCHEMA))


def test_reading_the_same_bytes_as_the_standard_library(plan, record):
    raw = seal(record(plan[0], reason='ä " \\ \n \u2028 1e22').model_dump(mode="json"))
    assert unseal(raw) == {k: v for k, v in json.loads(raw).items() if k != "checksum"}


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_no_damage_goes_unnoticed(whole, data):
    raw = whole
    kind = data.draw(st.sampled_from(["flip", "cut", "insert", "drop", "repeat"]))
    place = data.draw(st.integers(0, len(raw) - 1))
    if kind == "flip":
        bad = bytearray(raw)
        bad[place] ^= data.draw(st.integers(1, 255))
    elif kind == "cut":
        bad = raw[:place]
    elif kind == "insert":
        bad = raw[:place] + bytes([data.draw(st.integers(0, 255))]) + raw[place:]
    elif kind == "drop":
        bad = raw[:place] + raw[place + 1 :]
    else:
        bad = raw[:place] + raw[place:] * 2
    if bytes(bad) != raw:
        with pytest.raises(Damaged):
            unseal(bytes(bad))


@pytest.fixture(scope="module")
def whole(plan, record):
    return seal(record(plan[0]).model_dump(mode="json"))


def test_foreign_files_are_left_alone(store, plan, record, skipping):
    store.write(record(plan[0]))
    (store.cells / "notes.json").write_text(
        json.dumps({"key": "notes", "schema_version": SCHEMA, "status": "done"})
    )
    (store.cells / ".0.json.x.tmp").write_text("half")
    found, warned = skipping(store)
    assert len(found) == 1
    assert len(warned) == 1
    with pytest.warns(UserWarning, match="notes.json"):
        assert store.pack() == 1
    assert (store.cells / "notes.json").exists()


def test_a_pipe_among_the_cells_is_not_waited_for(store, plan, record, skipping):
    store.write(record(plan[0]))
    os.mkfifo(store.cells / "x.json")
    found, warned = skipping(store)
    assert len(found) == 1
    assert warned == ["cells/x.json is not named after a cell. Its cell counts as missing."]


@pytest.mark.parametrize("kind", ["pipe", "folder", "link"])
def test_what_is_no_ordinary_file_is_not_read(store, plan, kind, record, path_of, skipping):
    outside = store.folder.parent / "outside.json"
    outside.write_bytes(seal(record(plan[0]).model_dump(mode="json")))
    store.cells.mkdir()
    path = path_of(store, plan[0])
    {"pipe": os.mkfifo, "folder": os.mkdir, "link": lambda path: path.symlink_to(outside)}[kind](path)
    found, warned = skipping(store)
    assert found == []
    why = "it is a link" if kind == "link" else "it is no ordinary file"
    assert warned == [f"cells/{path.name} cannot be read: {why}. Its cell counts as missing."]
    before = outside.read_bytes()
    with pytest.warns(UserWarning, match="It is kept as"):
        store.write(record(plan[0], status="failed"))
    assert store.statuses() == {plan[0].cell.key: "failed"}
    assert outside.read_bytes() == before


def test_a_link_in_place_of_the_cells_is_refused(store, plan, record):
    outside = store.folder.parent / "elsewhere"
    outside.mkdir()
    store.cells.symlink_to(outside)
    for action in (store.statuses, lambda: store.write(record(plan[0]))):
        with pytest.raises(PlaceError, match="is a link, and may lead out of the sweep's folder"):
            action()
    assert list(outside.iterdir()) == []


@pytest.mark.parametrize("name", ["sweep.toml", "plan.jsonl.gz", "cells.jsonl.gz"])
def test_links_in_place_of_the_folders_files_are_refused(store, plan, name, record):
    store.write(record(plan[0]))
    store.pack()
    path = store.folder / name
    path.rename(store.folder.parent / name)
    path.symlink_to(store.folder.parent / name)
    with pytest.raises(StoreError, match=name):
        _ = store.read_sweep(), store.records()


@pytest.mark.parametrize("line", [b'{"key": ', b"[" * 100_000, b"\xff\xfe"])
def test_a_damaged_line(store, plan, line):
    (store.folder / "plan.jsonl.gz").write_bytes(gzip.compress(line))
    with pytest.raises(StoreError, match=r"plan.jsonl.gz in .* is damaged \(it .*\). It is left as it is"):
        store.records()
    (store.folder / "cells.jsonl.gz").write_bytes(gzip.compress(line))
    with pytest.warns(UserWarning, match=r"line 1 of cells.jsonl.gz is no whole JSON. Its cell counts as"):
        assert store.statuses() == {}


@pytest.mark.parametrize(
    "key",
    ["../../outside", "/tmp/outside", "..", "", "0123456789ABCDEF", "0123456789abcdef\n", 3, None, ["a"]],
)
def test_no_path_is_made_from_what_a_file_says(store, plan, key, record, path_of, skipping, packed_with):
    good = record(plan[0]).model_dump(mode="json")
    packed_with(store, seal(good).decode(), seal({**good, "key": key}).decode())
    (store.folder.parent / "outside.json").write_text("precious")
    before = sorted(str(p) for p in store.folder.parent.rglob("*"))
    found, warned = skipping(store)
    assert [r["key"] for r in found] == [plan[0].cell.key]
    assert len(warned) == 1
    assert warned[0].startswith("line 2 of cells.jsonl.gz ")
    pack = (store.folder / "cells.jsonl.gz").read_bytes()
    with pytest.warns(UserWarning, match=r"kept as cells.jsonl.gz.damaged-1 too: line 2 cannot be"):
        assert store.unpack() == 1
    assert (store.folder / "cells.jsonl.gz.damaged-1").read_bytes() == pack
    aside = str(store.folder / "cells.jsonl.gz.damaged-1")
    cell = [str(store.cells), str(path_of(store, plan[0]))]
    gone = str(store.folder / "cells.jsonl.gz")
    assert sorted(str(p) for p in store.folder.parent.rglob("*")) == sorted({*before, aside, *cell} - {gone})
    assert (store.folder.parent / "outside.json").read_text() == "precious"
