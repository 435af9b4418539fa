"""The directions of docs/architecture.md, read from the import statements themselves."""

import ast
import configparser
import graphlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

import robustbench_fl
from robustbench_fl.cell import KEY_SCHEMA, Settings, key_of
from robustbench_fl.record import CellRecord, Costs, Metrics
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


def imports(path: Path, *, lazy: bool) -> set[str]:
    """Return the modules that `path` imports at run time: at the top only, or in functions too."""
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
        elif is_type_checking(node):
            todo += node.orelse  # type: ignore[attr-defined]
        elif lazy or not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            todo += ast.iter_child_nodes(node)
    return found


EVERYWHERE = {name: imports(path, lazy=True) for name, path in MODULES.items()}
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
        "import a\nfrom b import c\nfrom robustbench_fl import build\nfrom typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n    import hidden\nelse:\n    import shown\n"
        "try:\n    import d\nexcept ImportError:\n    pass\n"
        "class K:\n    import e\ndef f():\n    import lazy\n"
    )
    top = {"a", "b", "robustbench_fl.build", "typing", "shown", "d", "e"}
    assert imports(path, lazy=False) == top
    assert imports(path, lazy=True) == top | {"lazy"}
    assert "robustbench_fl.aggregators.krum" in MODULES
    assert "robustbench_fl.aggregators._krum" in AT_THE_TOP["robustbench_fl.aggregators.krum"]


BELOW = rb("api", "params", "spec", "registry", "errors", "seeding", "record")
ABOVE = rb("config", "plan", "sweep", "store", "runner", "analysis", "report", "cli", "notebook")


@pytest.mark.parametrize(
    ("importers", "forbidden"),
    [
        (rb("engine"), ABOVE),
        (rb("data"), (*ABOVE, *rb("engine", "cell", "models", "aggregators", "attacks"))),
        (rb("models"), (*ABOVE, *rb("engine", "cell", "data", "aggregators", "attacks"))),
        (BELOW, (*ABOVE, *rb("engine", "cell", "data", "models", "aggregators", "attacks", "build"))),
        (
            rb("build", "pipeline", "cell"),
            (*ABOVE, *rb("engine", "data", "models", "aggregators", "attacks")),
        ),
        (rb("config"), rb("plan", "sweep", "store", "runner", "engine", "analysis", "report", "cli")),
        (
            rb("plan", "planning", "planned"),
            rb("sweep", "store", "runner", "engine", "analysis", "report", "cli"),
        ),
        (rb("store"), rb("config", "plan", "sweep", "runner", "engine", "analysis", "report", "cli")),
        (rb("runner", "sweep"), rb("analysis", "report", "cli", "notebook")),
        (
            rb("analysis"),
            (
                *HEAVY[:3],
                *rb("engine", "runner", "models", "data", "plan", "sweep", "cli", "report", "api", "build"),
            ),
        ),
        (
            rb("report"),
            (*HEAVY[:3], *rb("engine", "runner", "models", "data", "plan", "sweep", "cli", "api", "build")),
        ),
        (rb("store", "record"), HEAVY),
        (rb("spec", "errors", "registry"), (*HEAVY, "numpy", "pydantic")),
    ],
    ids=lambda names: ",".join(name.removeprefix("robustbench_fl.") for name in names)[:40],
)
def test_directions(importers, forbidden):
    assert any(within(name, *importers) for name in MODULES)
    assert offenders(importers, forbidden) == []


def test_nobody_imports_the_command_line():
    assert not [
        f"{name} imports {other}"
        for name, others in EVERYWHERE.items()
        if not within(name, *rb("cli", "__main__"))
        for other in others
        if within(other, *rb("cli"))
    ]


EXCEPTIONS = {
    # For rules one of whose parameters is the text of another rule.
    ("robustbench_fl.aggregators._inner", "robustbench_fl.build"),
}


@pytest.mark.parametrize("kind", ["aggregators", "attacks"])
def test_a_methods_file_knows_only_its_contract(kind):
    home = f"robustbench_fl.{kind}"
    allowed = (*rb("api", "registry", "seeding", "errors"), home)
    outside = [
        f"{name} imports {other}"
        for name, others in EVERYWHERE.items()
        if within(name, home)
        for other in others
        if within(other, "robustbench_fl") and not within(other, *allowed) and (name, other) not in EXCEPTIONS
    ]
    assert outside == []


def test_no_circular_imports():
    graph = {name: {o for o in others if o in MODULES and o != name} for name, others in AT_THE_TOP.items()}
    list(graphlib.TopologicalSorter(graph).static_order())


def test_no_file_is_too_long():
    tests = [] if not CHECKOUT else [p for d in ("tests", "benchmarks") for p in (ROOT / d).rglob("*.py")]
    long = {str(path): lines for path in [*MODULES.values(), *tests] if (lines := _lines(path)) > 400}
    assert long == {}


def _lines(path: Path) -> int:
    return len(path.read_text().splitlines())


MAIN_PROCESS = rb(
    "apart", "planned", "planning", "sweep", "cli.curves", "cli.running", "runner.backend", "runner.events",
    "runner.local", "runner.logs", "runner.observing", "runner.policy", "runner.ray_backend",
    "runner.ray_cluster", "runner.ray_task", "runner.stopping", "runner.worker",
)  # fmt: skip


def test_analysis_and_reports_and_the_main_process_do_without_torch():
    names = [name for name in MODULES if within(name, *rb("analysis", "report", "store", "record"))]
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
        "finally: print(seconds, *sorted(m for m in sys.modules if '.' not in m), file=sys.stderr)\n"
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
