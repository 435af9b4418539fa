"""Every kind of file that is read back, damaged in every way: nothing gives another answer without a word.

A few mutations each by default; ``make soak`` runs 2,000 and more, and prints how many there were of each.
"""

from __future__ import annotations

import importlib.util
import os
import random
import shutil
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch  # noqa: F401 - where it is imported, plans are made in this very process

from robustbench_fl.api import Arrays
from robustbench_fl.cli.finishing import _state, _written
from robustbench_fl.core.sealed import write_sealed
from robustbench_fl.data import copies
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


TARGETS = {
    cells: (15, 400), pack: (15, 400), older_pack: (10, 300), plan: (10, 300), sweep_toml: (10, 200),
    index: (10, 200), ready_tables: (15, 250), written_note: (10, 150), checkpoint: (10, 150),
    array_copy: (10, 200),
}  # fmt: skip
"""How many mutations of each by default, and in the soak."""


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("make", TARGETS, ids=lambda make: make.__name__)
def test_no_damage_gives_another_answer_without_a_word(make: Any, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(catalogue, "LARGE", 1 if make is index else 10**9)
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
