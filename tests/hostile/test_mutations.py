"""Every kind of file that is read back, damaged in every way: nothing gives another answer without a word.

A few mutations each by default; ``make soak`` runs 2,000 and more, and prints how many there were of each.
"""

from __future__ import annotations

import importlib.util
import itertools
import os
import random
import shutil
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from robustbench_fl.api import Arrays, build
from robustbench_fl.cli.finishing import _state, _written
from robustbench_fl.core.picks import Block, Member, Pick, Picks, read_picks, write_picks
from robustbench_fl.core.sealed import write_sealed
from robustbench_fl.data import copies, remembered
from robustbench_fl.data.digests import file_digest
from robustbench_fl.integrations.saving import load_saved
from robustbench_fl.integrations.server import Server
from robustbench_fl.report.written import NOTE, Written
from robustbench_fl.store import Store, catalogue
from robustbench_fl.sweep.config import make_sweep
from robustbench_fl.sweep.expand import expand
from robustbench_fl.sweep.replan import existing
from robustbench_fl.sweep.runner.checkpoints import Checkpoint
from robustbench_fl.sweep.runner.environment import Environment
from robustbench_fl.sweep.runner.execute import prepared
from robustbench_fl.sweep.runner.observers import checkpoint_path

_spec = importlib.util.spec_from_file_location("mutations", Path(__file__).with_name("mutations.py"))
mutations: Any = importlib.util.module_from_spec(_spec)
sys.modules["mutations"] = mutations
_spec.loader.exec_module(mutations)

SOAK = os.environ.get("ROBUSTBENCH_FL_SOAK") == "1"
RELEASE = Path(__file__).parents[1] / "store" / "release-0.1"
COUNTS: dict[str, Counter[str]] = {}


def everything(folder: Path) -> Any:
    """Return all that commands read of a folder."""
    store = existing(folder)
    rows = [(row["key"], row["cell"], row["labels"]) for row in store.planned()]
    return store.read_sweep(), rows, store.statuses(), store.records(), store.problems()


def pair(place: Path) -> tuple[Path, Path]:
    """Return two packed folders that share no cell."""
    return folder_of(place / "s"), folder_of(place / "o", rules=slice(2, 3))


def folder_of(place: Path, *, packed: bool = True, rules: slice = slice(2)) -> Path:
    """Return a folder of real cells as this version writes it, with only some of its rules in the plan."""
    folder = Path(shutil.copytree(RELEASE, place))
    store = Store(folder)
    sweep, rows = store.read_sweep(), list(store.planned())
    assert sweep
    kept = sweep["aggregator"][rules]
    rows = [row for row in rows if row["labels"]["aggregator"] in kept]
    store.write_plan({**sweep, "aggregator": kept}, rows)
    store.unpack()
    store.drop(set(store.statuses()) - {row["key"] for row in rows})
    if packed:
        store.pack()
    return folder


def cells(place: Path) -> Any:
    folder = folder_of(place / "s", packed=False)
    paths = sorted((folder / "cells").iterdir())
    return mutations.Target(paths, lambda: everything(folder), paths.pop().read_bytes())


def pack(place: Path) -> Any:
    folder, other = (
        folder_of(place / "s"),
        folder_of(place / "o", packed=True, rules=slice(2, 3)),
    )
    path = folder / "cells.jsonl.gz"
    return mutations.Target([path], lambda: everything(folder), (other / path.name).read_bytes())


def older_pack(place: Path) -> Any:
    folder = Path(shutil.copytree(RELEASE, place / "s"))
    return mutations.Target(
        [folder / "cells.jsonl.gz"], lambda: everything(folder), b"\x1f\x8b\x08 of something else"
    )


def plan(place: Path) -> Any:
    folder, other = (
        folder_of(place / "s"),
        folder_of(place / "o", packed=True, rules=slice(2, 3)),
    )
    path = folder / "plan.jsonl.gz"
    return mutations.Target([path], lambda: everything(folder), (other / path.name).read_bytes())


def sweep_toml(place: Path) -> Any:
    folder, other = (
        folder_of(place / "s"),
        folder_of(place / "o", packed=True, rules=slice(2, 3)),
    )
    shutil.copy(folder / "plan.jsonl.gz", place / "plan")

    def answer() -> Any:
        shutil.copy(place / "plan", folder / "plan.jsonl.gz")  # made anew for the other sweep, and told
        return everything(folder)

    return mutations.Target([folder / "sweep.toml"], answer, (other / "sweep.toml").read_bytes())


def index(place: Path) -> Any:
    folder, other = (
        folder_of(place / "s"),
        folder_of(place / "o", packed=True, rules=slice(2, 3)),
    )
    for one in (folder, other):
        Store(one).statuses()
    shutil.copy(folder / catalogue.INDEX, place / "index")
    path = folder / catalogue.INDEX
    return mutations.Target([path], lambda: everything(folder), (other / catalogue.INDEX).read_bytes())


def ready_tables(place: Path) -> Any:
    folder = folder_of(place / "s")
    state, path = _state(Store(folder), False), folder / ".tables.json"
    write_sealed(path, "tables", b'{"state": "another", "files": {}, "leaderboard": "44.2"}')
    other = path.read_bytes()
    write_sealed(path, "tables", b'{"state": "%s", "files": {}, "leaderboard": "54.2"}' % state.encode())
    return mutations.Target([path], lambda: _written(folder, state) or "54.2 made anew"[:4], other)


def written_note(place: Path) -> Any:
    written = Written(place)
    written.write("costs.csv", b"a,b\n")
    written.save()
    return mutations.Target([place / NOTE], lambda: Written(place)._known, b"")


def checkpoint(place: Path) -> Any:
    small = {"model": "logistic", "clients": 4, "rounds": 4, "malicious": 0.25, "root_size": 10}
    rules = ("geometric_median", "mean")
    cells = [
        expand(make_sweep({**small, "aggregator": rule, "attack": "gaussian"}, {}))[0].cell for rule in rules
    ]
    here = Environment(data_dir=Path("none"))
    for cell in cells:
        simulation = prepared(cell, here)
        simulation.step()
        simulation.step()
        Checkpoint(place, simulation).save()
    path, other = (checkpoint_path(place, cell.key) for cell in cells)

    def answer() -> Any:
        simulation = prepared(cells[0], here)
        assert Checkpoint(place, simulation).resume() in (0, 2)
        return simulation.round, simulation.params.tolist(), simulation.scores.accuracy

    return mutations.Target([path], answer, other.read_bytes())


def array_copy(place: Path) -> Any:
    def made(seed: int) -> Arrays:
        rng = np.random.default_rng(seed)
        images = rng.integers(0, 255, (30, 1, 4, 4)).astype(np.uint8)
        labels = np.arange(30) % 3
        return Arrays(
            train_images=images, train_labels=labels, test_images=images[:9], test_labels=labels[:9],
            n_classes=3, full_scale=255.0, mean=(0.5,), std=(0.5,),
        )  # fmt: skip

    for seed, name in enumerate("so"):
        copies.write(made(seed), place / name)
    paths = [path for path in sorted((place / "s").iterdir()) if path.suffix == ".npy"]

    def answer() -> Any:
        found = copies.opened(place / "s")
        return [np.array(getattr(found, name)).tolist() for name in copies.ARRAYS]

    return mutations.Target(
        [*paths, place / "s" / "facts.json"], answer, (place / "o" / paths[0].name).read_bytes()
    )


def picks(place: Path) -> Any:
    block = Block(dataset="digits", model="mlp", partition="iid", malicious=0.3, settings={"lr": 0.05})
    member = Member(attack="alie(z=1.5)", accuracy=0.5, above=0.0, error=0.01, edge=True)

    def found(accuracy: float) -> Picks:
        pick = Pick(
            block=0, aggregator="krum", assumed_f="exact", family="alie", members=[member], tried=3,
            default="alie", default_accuracy=accuracy,
        )  # fmt: skip
        seeds = [1000, 1001, 1002, 1003]
        return Picks(
            version="1", engine=1, sweep="s", seeds=seeds, cells="0" * 12, blocks=[block], picks=[pick]
        )

    for name, accuracy in (("s", 0.5), ("o", 0.6)):
        write_picks(place / name, found(accuracy))
    return mutations.Target([place / "s"], lambda: read_picks(place / "s"), b"")


def data_sum(place: Path) -> Any:
    for name in "so":
        (place / name).write_text(name)
        file_digest(place / name)
    memory, other = (remembered._place("sha256", place / name, [place / name]) for name in "so")

    def answer() -> Any:
        remembered._in_process.clear()
        return file_digest(place / "s")

    return mutations.Target([memory], answer, other.read_bytes())


def saved_server(place: Path) -> Any:
    for name, value in (("s", 1.0), ("o", 2.0)):
        server = Server("centered_clipping")
        server.aggregate(torch.full((4, 3), value))
        server.save(place / name)

    def answer() -> Any:
        facts, tensors = load_saved(place / "s")
        return facts, {name: tensor.tolist() for name, tensor in tensors.items()}

    return mutations.Target([place / "s"], answer, b"")


def own_arrays(place: Path) -> Any:
    images, labels = np.arange(128, dtype=np.uint8).reshape(8, 4, 4, 1), np.arange(8) % 2
    for name, part in (("s.npz", images), ("o.npz", 255 - images)):
        np.savez(place / name, x_train=part, y_train=labels, x_test=part, y_test=labels)
    return own_data(place, "npz(path=s.npz)", [place / "s.npz"], (place / "o.npz").read_bytes())


def own_pictures(place: Path) -> Any:
    paths = []
    for part, name, form in itertools.product(("train", "test"), "ab", ("bmp", "png", "jpeg")):
        paths.append(place / "p" / part / name / f"x.{form}")
        paths[-1].parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.arange(300, dtype=np.uint8).reshape(10, 10, 3)).save(paths[-1])
    Image.new("RGB", (9, 9)).save(place / "o.png")
    return own_data(place, "image_folder(path=p, size=4)", paths, (place / "o.png").read_bytes())


def own_data(place: Path, text: str, paths: list[Path], other: bytes) -> Any:
    """Return files of a user's own data as a planned cell names them, by their digest."""
    method = build.make("datasets", text).pinned(place)

    def answer() -> Any:
        arrays = method.load(place)
        return [np.array(getattr(arrays, name)).tolist() for name in copies.ARRAYS]

    return mutations.Target(paths, answer, other)


TARGETS = {
    cells: (15, 400), pack: (15, 400), older_pack: (10, 300), plan: (10, 300), sweep_toml: (10, 200),
    index: (10, 200), ready_tables: (15, 250), written_note: (10, 150), checkpoint: (10, 150),
    array_copy: (10, 200), picks: (10, 150), data_sum: (10, 150), saved_server: (10, 150),
    own_arrays: (10, 150), own_pictures: (10, 150),
}  # fmt: skip
"""How many mutations of each by default, and in the soak."""


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("make", TARGETS, ids=lambda make: make.__name__)
def test_no_damage_gives_another_answer_without_a_word(make: Any, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(catalogue, "LARGE", 1 if make is index else 10**9)
    if make is data_sum:  # a file is remembered once it is older than the ticks of its clock
        monkeypatch.setattr(remembered, "_SETTLED_NS", -1)
    rng = random.Random(make.__name__)
    counts: Counter[str] = Counter()
    for damage, outcome in mutations.outcomes(make(tmp_path), TARGETS[make][SOAK], rng):
        counts[outcome] += 1
        assert outcome in ("detected", "harmless"), f"{damage}: {outcome}"
    assert counts.total() >= TARGETS[make][SOAK] * 0.7
    COUNTS[make.__name__.replace("_", " ")] = counts


@pytest.mark.skipif(not SOAK, reason="the count of the soak")
def test_the_soak_is_as_long_as_it_says() -> None:
    print(f"\n{mutations.table(COUNTS)}")
    assert sum(COUNTS.values(), Counter()).total() >= 2000
