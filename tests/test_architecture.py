"""The directions of docs/architecture.md, read from the import statements themselves."""

import ast
import configparser
import graphlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import robustbench_fl
from robustbench_fl import api
from robustbench_fl.core.cell import KEY_SCHEMA, key_of
from robustbench_fl.core.provenance import SIMULATION, digest_of_sources
from robustbench_fl.core.record import CellRecord, Costs, Metrics
from robustbench_fl.core.settings import Settings
from robustbench_fl.store import Store

PACKAGE = Path(robustbench_fl.__file__).parent
ROOT = PACKAGE.parent
CHECKOUT = (ROOT / "setup.cfg").is_file()
HEAVY = ("torch", "torchvision", "sklearn", "pandas", "scipy", "matplotlib")


def modules() -> dict[str, Path]:
    """Return every module of the package by dotted name; aggregators and attacks through their links."""
    found = {}
    for folder, folders, files in os.walk(PACKAGE, followlinks=True):
        folders[:] = [name for name in folders if name != "__pycache__"]
        for name in files:
            if name.endswith(".py"):
                path = Path(folder) / name
                parts = ["robustbench_fl", *path.relative_to(PACKAGE).with_suffix("").parts]
                found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()


def is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def imports(path: Path, *, lazy: bool, types: bool = False) -> set[str]:
    """Return the modules that `path` imports: at the top only or in functions too, for types too or not."""
    found: set[str] = set()
    todo: list[ast.AST] = [ast.parse(path.read_text())]
    while todo:
        node = todo.pop()
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: write imports in full"
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                found.add(whole if whole in MODULES else str(node.module))
        elif is_type_checking(node) and not types:
            todo += node.orelse  # type: ignore[attr-defined]
        elif lazy or not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            todo += ast.iter_child_nodes(node)
    return found


EVERYWHERE = {name: imports(path, lazy=True) for name, path in MODULES.items()}
WITH_TYPES = {name: imports(path, lazy=True, types=True) for name, path in MODULES.items()}
AT_THE_TOP = {name: imports(path, lazy=False) for name, path in MODULES.items()}


def within(name: str, *packages: str) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def rb(*names: str) -> tuple[str, ...]:
    return tuple(f"robustbench_fl.{name}" for name in names)


def offenders(importers: tuple[str, ...], forbidden: tuple[str, ...]) -> list[str]:
    return sorted(
        f"{name} imports {other}"
        for name, others in EVERYWHERE.items()
        if within(name, *importers)
        for other in others
        if within(other, *forbidden)
    )


def run(*arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *map(str, arguments)], capture_output=True, text=True, timeout=120, **options
    )


def test_the_reader_of_imports_sees_what_it_should(tmp_path):
    path = tmp_path / "module.py"
    path.write_text(
        "import a\nfrom b import c\nfrom robustbench_fl.api import build\nfrom typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n    import hidden\nelse:\n    import shown\n"
        "try:\n    import d\nexcept ImportError:\n    pass\n"
        "class K:\n    import e\ndef f():\n    import lazy\n"
    )
    top = {"a", "b", "robustbench_fl.api.build", "typing", "shown", "d", "e"}
    assert imports(path, lazy=False) == top
    assert imports(path, lazy=True) == top | {"lazy"}
    assert "robustbench_fl.aggregators.krum" in MODULES
    assert "robustbench_fl.aggregators._krum" in AT_THE_TOP["robustbench_fl.aggregators.krum"]


ROOMS = {
    "core": (),
    "api": ("core",),
    "data": ("api", "core"),
    "models": ("api", "core"),
    "aggregators": ("api",),
    "attacks": ("api",),
    "engine": ("data", "models", "api", "core"),
    "integrations": ("engine", "models", "api", "core"),
    "conformance": ("models", "api", "core"),
    "store": ("core",),
    "analysis": ("core",),
    "report": ("analysis", "core"),
    "sweep": ("engine", "data", "models", "store", "api", "core"),
    "cli": (
        "integrations",
        "sweep",
        "conformance",
        "engine",
        "data",
        "models",
        "report",
        "analysis",
        "store",
        "api",
        "core",
    ),
}
"""Every room, and the rooms that it may import, for types too; the package's top may import any."""
TOP = {"robustbench_fl", *rb("__main__", "flower", "notebook", "registry", "seeding")}
"""Modules outside a room: public names, and the last two only say where they went."""
LIGHT = ("store", "analysis", "report")
"""Rooms without torch, which a reader of results needs."""


def room(name: str) -> str:
    return name.split(".")[1] if "." in name else ""


def test_every_module_is_in_a_room():
    assert {name for name in MODULES if room(name) not in ROOMS} == TOP
    assert {room(name) for name in MODULES if name not in TOP} == set(ROOMS)


@pytest.mark.parametrize("name", ROOMS)
def test_rooms_import_what_the_table_says(name):
    allowed = {name, *ROOMS[name]}
    wrong = sorted(
        f"{importer} imports {other}"
        for importer, others in WITH_TYPES.items()
        if within(importer, *rb(name))
        for other in others
        if within(other, "robustbench_fl") and room(other) not in allowed
    )
    assert wrong == []


def test_the_rooms_have_floors():
    list(graphlib.TopologicalSorter(ROOMS).static_order())


def test_every_room_says_what_it_owns_and_what_it_may_import():
    for name, below in ROOMS.items():
        text = ast.get_docstring(ast.parse(MODULES[f"robustbench_fl.{name}"].read_text()))
        sentence = next(part for part in text.split("\n\n") if part.startswith("May import "))
        if name != "cli":
            assert set(re.findall(r"``([a-z]+)``", sentence.split(".")[0].split(";")[0])) == set(below), name


@pytest.mark.parametrize(
    ("importers", "forbidden"),
    [
        (rb(*LIGHT), HEAVY[:3]),
        (rb("store", "core.cell", "core.record", "core.files"), HEAVY),
        (rb("api.spec", "api.registry", "core.errors"), (*HEAVY, "numpy", "pydantic")),
    ],
    ids=["light rooms", "store and core", "names"],
)
def test_who_does_without_what(importers, forbidden):
    assert any(within(name, *importers) for name in MODULES)
    assert offenders(importers, forbidden) == []


def test_the_door_holds_what_it_says():
    assert set(api.__all__) == set(api._HOME_OF)
    for name in api.__all__:
        assert getattr(api, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        api.nothing  # noqa: B018


@pytest.mark.parametrize(
    ("old", "name"),
    [("registry", "register"), ("data.contracts", "Dataset"), ("seeding", "stream")],
)
def test_old_import_lines_go_on_working(old, name):
    code = f"from robustbench_fl.{old} import {name}; print({name}.__module__)"
    done = run("-W", "always", "-c", code)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("DeprecationWarning") == 1
    assert "write `from robustbench_fl.api import" in done.stderr


def test_a_checkpoint_depends_on_all_code_of_the_simulation():
    todo = [
        name for name in MODULES if within(name, *rb("engine", "aggregators", "attacks", "models", "data"))
    ]
    seen = set(todo)
    while todo:
        new = {other for other in EVERYWHERE[todo.pop()] if other in MODULES} - seen
        seen |= new
        todo += new
    assert {room(name) for name in seen - {"robustbench_fl"}} <= set(SIMULATION)


def test_the_digest_of_a_file_that_is_not_there_is_refused():
    assert len(digest_of_sources(*SIMULATION)) == 64
    with pytest.raises(ValueError, match=r"no .recipes\.py."):
        digest_of_sources("core", "recipes.py")


def test_no_circular_imports():
    typed = {name: imports(path, lazy=False, types=True) for name, path in MODULES.items()}
    typed["robustbench_fl"] = AT_THE_TOP["robustbench_fl"]  # the notebook interface is handed on lazily
    typed["robustbench_fl.api"] = AT_THE_TOP["robustbench_fl.api"]
    graph = {name: {o for o in others if o in MODULES and o != name} for name, others in typed.items()}
    list(graphlib.TopologicalSorter(graph).static_order())


def test_no_file_is_too_long():
    tests = [] if not CHECKOUT else [p for d in ("tests", "benchmarks") for p in (ROOT / d).rglob("*.py")]
    long = {str(path): lines for path in [*MODULES.values(), *tests] if (lines := _lines(path)) > 400}
    assert long == {}


def _lines(path: Path) -> int:
    return len(path.read_text().splitlines())


MAIN_PROCESS = rb(
    "core", "sweep.plan", "sweep.run", "cli.curves", "cli.running", "sweep.runner.attempts",
    "sweep.runner.processes",
    "sweep.runner.backend", "sweep.runner.events",
    "sweep.runner.local", "sweep.runner.observers",
    "sweep.runner.policy", "sweep.runner.ray_backend", "sweep.runner.ray_cluster", "sweep.runner.ray_task",
    "sweep.runner.stopping", "sweep.runner.worker",
)  # fmt: skip


def test_analysis_and_reports_and_the_main_process_do_without_torch():
    names = [name for name in MODULES if within(name, *rb(*LIGHT))]
    names += [name for name in MODULES if name in MAIN_PROCESS]
    assert len(names) > 4 + len(MAIN_PROCESS)
    code = (
        "import importlib, sys\n"
        "sys.modules['torch'] = None\n"  # an import of torch raises
        "for name in sys.argv[1:]: importlib.import_module(name)\n"
    )
    done = run("-c", code, *names)
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(not CHECKOUT, reason="needs the source checkout")
@pytest.mark.parametrize("name", ["aggregators", "attacks"])
def test_the_bare_name_is_refused(name):
    done = run("-c", f"import {name}", cwd=ROOT)
    assert f"ImportError: Import robustbench_fl.{name}, not '{name}'" in done.stderr


@pytest.mark.skipif(not CHECKOUT, reason="needs the source checkout")
def test_every_package_is_installed():
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    listed = config["options"]["packages"].split()
    assert sorted(listed) == sorted(name for name, path in MODULES.items() if path.name == "__init__.py")


def fake_folder(folder: Path) -> Path:
    """Write a sweep's folder by hand: one cell, finished."""
    names = {"dataset": "digits", "model": "mlp", "partition": "iid", "aggregator": "mean", "attack": "alie"}
    methods = {axis: {"name": text, "version": 1, "params": {}} for axis, text in names.items()}
    point = {"schema": KEY_SCHEMA, "engine": 1, "malicious": 0.3, "assumed_f": None, "seed": 0}
    cell = {**methods, "aggregator": [methods["aggregator"]], **vars(Settings()), **point}
    facts = {"needs": [], "detector": False, "ranked": True, "knowledge": "all", "category": "update"}
    facts |= {"knows_defence": False, "adaptive": False}
    metrics = dict.fromkeys(Metrics.model_fields) | {"accuracy": 0.5, "accuracy_std": 0.0, "loss": 1.0}
    metrics |= {"class_accuracy": [0.5], "worst_class_accuracy": 0.5}
    costs = dict.fromkeys(Costs.model_fields, 1.0)
    row = {"key": key_of(cell), "cell": cell, "labels": names, "facts": facts}
    store = Store(folder)
    store.write_plan({"name": "fake"}, [row])
    store.write(CellRecord(**row, status="done", metrics=metrics, costs=costs))
    return folder


def command(*arguments: object) -> tuple[str, set[str], float]:
    """Run the command line; return its output, the heavy modules it imported, and CPU seconds of import."""
    code = (
        "import sys, time; started = time.process_time()\n"
        "from robustbench_fl.cli.main import main\n"
        "seconds = time.process_time() - started\n"
        "try: main()\n"
        "finally:\n"
        "    from robustbench_fl.core.later import is_loaded\n"
        f"    print(seconds, *filter(is_loaded, {HEAVY}), file=sys.stderr)\n"
    )
    done = run("-c", code, *arguments)
    assert done.returncode == 0, done.stderr
    seconds, *loaded = done.stderr.splitlines()[-1].split()
    return done.stdout, set(loaded) & set(HEAVY), float(seconds)


@pytest.mark.parametrize("arguments", [("--help",), ("--version",), ("list", "--names"), ("sweep", "--help")])
def test_light_commands_import_nothing_heavy(arguments):
    out, heavy, _ = command(*arguments)
    assert out
    assert heavy == set()


def test_the_command_line_is_imported_quickly():
    # CPU time, since a busy machine distorts wall time; best of several for the same reason.
    assert min(command("--version")[2] for _ in range(3)) < 0.5


@pytest.mark.parametrize("name", ["status", "leaderboard", "matrix"])
def test_reading_results_needs_no_torch(tmp_path, name):
    out, heavy, _ = command(name, fake_folder(tmp_path))
    assert "mean" in out
    assert heavy & {"torch", "torchvision", "sklearn"} == set()


def test_the_fake_folder_is_like_a_real_one(tmp_path):
    (record,) = Store.existing(fake_folder(tmp_path)).records()
    CellRecord.model_validate(record)
