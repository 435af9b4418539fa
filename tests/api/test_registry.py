"""Names to methods: lazy names, aliases, clashes, plug-ins; and text to methods and back."""

import subprocess
import sys
from dataclasses import dataclass

import pytest

from robustbench_fl.api import Aggregation, Aggregator, Attack, PreAggregator, build, params, registry
from robustbench_fl.api.registry import PACKAGES, register
from robustbench_fl.core.errors import UsageError, did_you_mean

PLUGIN = """
from dataclasses import dataclass
from robustbench_fl.api import Aggregation, Aggregator
from robustbench_fl.api import register

@register({name!r}, aliases={aliases!r})
@dataclass(frozen=True, kw_only=True)
class {cls}(Aggregator):
    share: float = 0.5

    def aggregate(self, updates, view, state):
        return Aggregation(updates.mean(0)), None
"""


pytestmark = pytest.mark.usefixtures("own_registry")


def plugin(tmp_path, name="my_rule", aliases=(), cls="MyRule", file="plugin.py"):
    path = tmp_path / file
    path.write_text(PLUGIN.format(name=name, aliases=aliases, cls=cls))
    return path


def message(action, *args, **kwargs):
    with pytest.raises(UsageError) as caught:
        action(*args, **kwargs)
    return str(caught.value)


@pytest.mark.parametrize("kind", PACKAGES)
def test_file_stem_is_registered_name(kind):
    stems = registry._file_names(kind)
    assert stems
    for stem in stems:
        entry = registry.entry(kind, stem)
        assert entry.name == stem
        assert entry.cls.__module__ == f"{PACKAGES[kind]}.{stem}"
        assert entry.kind == kind


@pytest.mark.parametrize("kind", PACKAGES)
def test_defaults_survive_text_and_back(kind):
    for entry in registry.load_all(kind):
        if any(p.required for p in params.parameters(entry.cls)):
            continue
        method = params.build(entry.cls, {}, entry.name)
        text = build.text_of(method)
        if issubclass(entry.cls, PreAggregator):
            pipeline = build.make(kind, f"{text} > mean")
            assert build.text_of(pipeline) == f"{text} > mean"
            assert pipeline.stages == (method,)
        else:
            assert build.make(kind, text) == method


def test_names_are_known_without_importing_anything_heavy():
    code = (
        "import sys; from robustbench_fl.api import registry\n"
        "for kind in registry.PACKAGES: print(*registry.names(kind))\n"
        "heavy = {'torch', 'numpy', 'sklearn', 'pandas', 'scipy', 'pydantic'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "krum" in done.stdout.splitlines()[0].split()


def test_unknown_name_suggests_the_nearest():
    assert message(registry.entry, "aggregators", "krumm", "sweep.toml, aggregator #2") == (
        "Unknown aggregator 'krumm' in sweep.toml, aggregator #2.\n"
        "Did you mean krum or multi_krum?   All of them: robustbench-fl list aggregators"
    )
    assert message(registry.entry, "datasets", "zzzzz") == (
        "Unknown data set 'zzzzz'.\n"
        "One of your own needs its file: --plugin FILE.py, or in Python its import.   "
        "All of them: robustbench-fl list datasets"
    )


def test_did_you_mean():
    assert did_you_mean("krumm", ["krum", "median"]) == "Did you mean krum?"
    assert did_you_mean("mean", ["trimmed_mean", "median"]) == "Did you mean median or trimmed_mean?"
    assert did_you_mean("MEDIAN", ["krum", "median"]) == "Did you mean median?"
    assert did_you_mean("", ["krum"]) == ""
    assert did_you_mean("q", []) == ""


def test_alias_gives_the_method_and_canonical_text_its_name():
    assert registry.entry("aggregators", "trmean").name == "trimmed_mean"
    assert build.text_of(build.make("aggregators", "trmean(trim=0)")) == "trimmed_mean(trim=0)"
    assert build.identity_of(build.make("aggregators", "trmean(trim=0)")) == build.identity_of(
        build.make("aggregators", "trimmed_mean(trim=-0.0)")
    )


def test_plugin_adds_a_method(tmp_path):
    path = plugin(tmp_path, aliases=("mine",))
    registry.load_plugin(path)
    registry.load_plugin(path)
    assert "my_rule" in registry.names("aggregators")
    assert build.text_of(build.make("aggregators", "nnm > mine(share=1)")) == "nnm > my_rule(share=1)"


@pytest.mark.parametrize(
    ("name", "aliases", "taken", "owner"),
    [
        ("krum", (), "krum", "robustbench_fl.aggregators.krum.Krum"),
        ("trmean", (), "trmean", "robustbench_fl.aggregators.trimmed_mean.TrimmedMean"),
        ("new", ("median",), "median", "robustbench_fl.aggregators.median.Median"),
        ("new", ("oracle",), "oracle", "robustbench_fl.aggregators.oracle_mean.OracleMean"),
    ],
)
def test_plugin_cannot_take_a_name(tmp_path, name, aliases, taken, owner):
    found = message(registry.load_plugin, plugin(tmp_path, name, aliases))
    assert found.startswith(f"The name {taken!r} of robustbench_fl_plugin_plugin_")
    assert found.endswith(f".MyRule is taken by {owner}. Choose another.")


def test_clash_is_seen_before_the_built_in_was_ever_imported(tmp_path):
    path = plugin(tmp_path, "trmean")
    code = (
        "import pathlib, sys; from robustbench_fl.api import registry\n"
        "registry.load_plugin(pathlib.Path(sys.argv[1]))"
    )
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True)
    assert "UsageError: The name 'trmean'" in done.stderr


def test_two_plugins_of_one_stem_and_class_name_clash(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
    registry.load_plugin(plugin(tmp_path / "a"))
    assert "The name 'my_rule'" in message(registry.load_plugin, plugin(tmp_path / "b"))
    registry.load_plugin(plugin(tmp_path / "b", name="other_rule"))
    assert {"my_rule", "other_rule"} <= set(registry.names("aggregators"))


def test_a_class_may_be_defined_again_in_place():
    for share in (0.1, 0.2):

        @register("again")
        @dataclass(frozen=True, kw_only=True)
        class Again(Aggregator):
            part: float = share

            def aggregate(self, updates, view, state):
                return Aggregation(updates[0]), None

    assert registry.entry("aggregators", "again").cls().part == 0.2


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("def broken(:\n", "failed: SyntaxError: invalid syntax"),
        ("x = 1\nraise RuntimeError('no GPU')\n", "failed in line 2: RuntimeError: no GPU"),
        (
            "import no_such_module\n",
            "failed in line 1: ModuleNotFoundError: No module named 'no_such_module'",
        ),
        ("import sys\nsys.exit(3)\n", "failed in line 2: SystemExit: 3"),
        ("x = 1\n", "registers no method. Put @register(name) above its class."),
    ],
)
def test_broken_plugin(tmp_path, content, expected):
    path = tmp_path / "broken.py"
    path.write_text(content)
    assert message(registry.load_plugin, path).startswith(f"Plug-in {str(path)!r} {expected}")


def test_plugin_that_is_no_python_file(tmp_path):
    assert message(registry.load_plugin, tmp_path / "gone.py") == (
        f"Plug-in {str(tmp_path / 'gone.py')!r} is not a file. Give the path of a Python file."
    )
    assert "is not a file" in message(registry.load_plugin, tmp_path)
    other = tmp_path / "notes.txt"
    other.write_text("")
    assert "is not a Python file (expected a name ending in .py)" in message(registry.load_plugin, other)


class _Point:
    """An entry point as importlib gives it."""

    value = "package.module"

    def __init__(self, load):
        self.load = load


def test_installed_plugins(monkeypatch):
    def fails():
        raise OSError("no driver")

    points = {"absent": _Point(lambda: None), "broken": _Point(fails)}
    monkeypatch.setattr(registry, "_entry_points", lambda kind: points if kind == "attacks" else {})
    assert {"absent", "broken", "alie"} <= set(registry.names("attacks"))
    assert message(registry.entry, "attacks", "broken") == (
        "The installed plug-in 'package.module' failed: OSError: no driver"
    )
    assert message(registry.entry, "attacks", "absent") == (
        "The installed plug-in 'package.module' promises 'absent' (attacks) but does not register it."
    )


def test_installed_plugin_cannot_redefine_a_built_in(monkeypatch):
    import importlib.metadata

    registry._entry_points.cache_clear()
    point = importlib.metadata.EntryPoint("krum", "evil:Krum", "robustbench_fl.aggregators")
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: [point])
    try:
        assert message(registry.names, "aggregators") == (
            "An installed plug-in redefines the built-in aggregators krum. Rename or uninstall it."
        )
    finally:
        registry._entry_points.cache_clear()


def test_only_frozen_dataclasses_of_a_known_kind_can_be_registered():
    @dataclass
    class Thing:
        pass

    assert "derive it from Aggregator" in message(register("thing"), Thing)

    class Bare(Attack):
        scale: float = 1.0

    @dataclass
    class Thawed(PreAggregator):
        s: int = 2

    for cls in (Bare, Thawed):
        assert "@dataclass(frozen=True, kw_only=True)" in message(register("method"), cls)


@pytest.mark.parametrize("word", ["", "3d", "a-b", "a b", "käse"])
def test_a_name_must_be_writable_in_a_spec(word):
    @dataclass(frozen=True, kw_only=True)
    class Method(Attack):
        scale: float = 1.0

    assert "cannot be a name" in message(register(word), Method)


@pytest.mark.parametrize(
    ("kind", "text", "expected"),
    [
        ("attacks", "alie > ipm", "'>' composes aggregators only; found 'alie > ipm' in x."),
        (
            "aggregators",
            "krum > median",
            "'krum' in x is a rule, not a pre-aggregator; it can only come last.",
        ),
        (
            "aggregators",
            "bucketing(s=3)",
            "'bucketing' in x is a pre-aggregator: a rule must follow, as in 'bucketing > median'.",
        ),
        ("attacks", "alie(z=0)", "alie in x: parameter 'z' must be a number in (0, inf) or none, got 0."),
    ],
)
def test_make_refuses(kind, text, expected):
    assert message(build.make, kind, text, "x") == expected


def test_parameter_grids():
    def grid(kind, text):
        return [build.format_chain(c) for c in build.expand_grid(kind, build.parse_chain(text), "x")]

    assert grid("aggregators", "bucketing(s=[2, 3]) > trimmed_mean(trim=[0.1, 0.2])") == [
        "bucketing(s=2) > trimmed_mean(trim=0.1)",
        "bucketing(s=2) > trimmed_mean(trim=0.2)",
        "bucketing(s=3) > trimmed_mean(trim=0.1)",
        "bucketing(s=3) > trimmed_mean(trim=0.2)",
    ]
    assert grid("models", "mlp(hidden=[64, 32])") == ["mlp(hidden=[64, 32])"]
    assert message(grid, "aggregators", "trimmed_mean(trim=[])") == (
        "trimmed_mean in x: parameter 'trim' is an empty list."
    )
    many = "bucketing(s=[{}]) > trimmed_mean(trim=[{}])"
    many = many.format(",".join(map(str, range(2, 103))), ",".join(f"0.{n}" for n in range(100, 200)))
    assert message(grid, "aggregators", many).startswith(
        "trimmed_mean in x: with its lists of parameters these are 10,100 forms; at most 10,000 are allowed."
    )


def test_identity_holds_names_versions_and_all_parameters():
    assert build.identity_of(build.make("aggregators", "nnm > trimmed_mean(trim=0.1)")) == [
        {"name": "nnm", "version": 1, "params": {}},
        {"name": "trimmed_mean", "version": 1, "params": {"trim": 0.1}},
    ]
