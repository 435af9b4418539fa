"""Sweeps on a real Ray cluster of two nodes on this machine, one of which is killed in the middle."""

from __future__ import annotations

import importlib.util
import json
import linecache
import os
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from robustbench_fl.api import registry
from robustbench_fl.core.cell import Planned
from robustbench_fl.core.record import CellRecord
from robustbench_fl.core.seeding import stream
from robustbench_fl.data.shared import _given, give, shared
from robustbench_fl.sweep.config import make_sweep
from robustbench_fl.sweep.expand import canonical, expand
from robustbench_fl.sweep.plan import copies_of, prepare_data
from robustbench_fl.sweep.runner.backend import Event
from robustbench_fl.sweep.runner.environment import Environment
from robustbench_fl.sweep.runner.execute import execute
from robustbench_fl.sweep.runner.policy import RunPolicy
from robustbench_fl.sweep.runner.ray_task import _loaded
from robustbench_fl.sweep.runner.stopping import Stop

needs_ray = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None,
    reason="NOT TESTED: Ray is not installed (pip install 'robustbench-fl[ray]')",
)
SOAK = bool(os.environ.get("ROBUSTBENCH_FL_SOAK"))
STORE = 80 * 2**20
LOOPBACK = "127.0.0.2"
"""Not 127.0.0.1, in place of which Ray puts the address that other machines would use."""
_SLOW = """
import ctypes, signal, time
from dataclasses import dataclass
from pathlib import Path
from robustbench_fl.api import Aggregation, Aggregator
from robustbench_fl.api import register

HERE = Path(__file__).parent

@register("slow")
@dataclass(frozen=True, kw_only=True)
class Slow(Aggregator):
    '''The mean; takes its time where a file says so.'''
    def aggregate(self, updates, view, state):
        if (HERE / "slowly").exists():
            time.sleep(0.8)
        return Aggregation(updates.mean(0)), state

@register("hangs")
@dataclass(frozen=True, kw_only=True)
class Hangs(Aggregator):
    '''Hangs in C with the interpreter's lock held and all signals blocked.'''
    def aggregate(self, updates, view, state):
        if view.round == 1:
            signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
            ctypes.PyDLL(None).sleep(600)
        return Aggregation(updates.mean(0)), state
"""


def patiently(start: Callable[..., Any], **named: Any) -> Any:
    """Call `start` again if it fails: Ray gives a node 30 seconds, too few on a machine that is busy."""
    for _ in range(3):
        try:
            return start(**named)
        except Exception as error:
            said = error
    pytest.skip(f"NOT TESTED: this machine is too busy to start a Ray node ({said})")


class TwoNodes:
    """A Ray cluster whose second node may be killed, and is back for the next test."""

    def __init__(self) -> None:
        from ray.cluster_utils import Cluster

        self._node: dict[str, Any] = {
            "num_cpus": 1, "object_store_memory": STORE, "node_ip_address": LOOPBACK,
        }  # fmt: skip
        self.cluster = Cluster()
        self.second: Any = None
        patiently(self.cluster.add_node, **self._node, include_dashboard=False)
        self.whole()

    @property
    def address(self) -> str:
        return str(self.cluster.address)

    def whole(self) -> None:
        """Start the second node if it is not there."""
        if self.second is None:
            self.second = patiently(self.cluster.add_node, **self._node)

    def kill_second(self) -> None:
        """Kill all processes of the second node, and with its raylet its workers."""
        self.cluster.remove_node(self.second, allow_graceful=False)
        self.second = None

    def is_on_second(self, pid: int) -> bool:
        """Whether a worker process belongs to the second node."""
        raylets = {info.process.pid for info in self.second.all_processes["raylet"]}
        parent = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        return parent in raylets


@pytest.fixture(scope="module")
def nodes(own_cache: None) -> Iterator[TwoNodes]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        made = TwoNodes()
        try:
            yield made
        finally:
            made.cluster.shutdown()


@pytest.fixture
def place(tmp_path: Path, own_registry: None) -> Path:
    """Give a folder with a plug-in, which is loaded, and a data set in files."""
    plugin = tmp_path / "slow.py"
    plugin.write_text(_SLOW)
    registry.load_plugin(plugin)
    rng = np.random.default_rng(0)
    (tmp_path / "data").mkdir()
    labels = np.arange(300) % 3
    images = rng.integers(0, 128, (300, 6, 6), dtype=np.uint8) + 40 * labels[:, None, None].astype(np.uint8)
    parts = {"x_train": images[:240], "y_train": labels[:240], "x_test": images[240:], "y_test": labels[240:]}
    np.savez(tmp_path / "data" / "mine.npz", **parts)
    return tmp_path


def planned(place: Path, **axes: Any) -> list[Planned]:
    base = {
        "dataset": "npz(path=mine.npz)", "model": "mlp(hidden=[8])", "clients": 6, "rounds": 3,
        "malicious": 0.2, "root_size": 12,
    }  # fmt: skip
    return expand(canonical(make_sweep({}, {**base, **axes}), "", place / "data"))


def environment_at(place: Path) -> Environment:
    return Environment(data_dir=place / "data", plugins=(place / "slow.py",))


def outcome(record: CellRecord) -> dict[str, Any]:
    return record.model_dump(mode="json", exclude={"costs", "provenance"})


@needs_ray
def test_a_node_that_is_killed_costs_its_cells_in_flight_one_try(nodes: TwoNodes, place: Path) -> None:
    from robustbench_fl.sweep.runner.ray_backend import RayBackend
    from robustbench_fl.sweep.runner.ray_cluster import RayCluster

    cells = planned(place, aggregator=["slow", "mean", "median", "krum"], attack=["none", "ipm"], seeds="2")
    assert len(cells) == 16
    environment = environment_at(place)
    prepare_data({cells[0].cell.dataset}, environment.data_dir, download=False)
    copies = copies_of({cells[0].cell.dataset}, environment.data_dir)
    alone = {p.cell.key: outcome(execute(p, environment)) for p in cells}
    # From here on no node finds the data set's files: it comes from the object store.
    (place / "data").rename(place / "elsewhere")
    (place / "slowly").touch()
    events: list[Event] = []
    killed: list[str] = []
    records: list[CellRecord] = []

    def tell(event: Event) -> None:
        events.append(event)
        if event.kind == "cell_started" and not killed and records:
            slow = event.planned.cell.aggregator == "slow"
            if slow and nodes.is_on_second(event.facts["pid"]):
                nodes.kill_second()
                killed.append(event.planned.cell.key)

    nodes.whole()
    # The slow ones last but four, so that there are records by then and cells after it.
    ordered = sorted(cells, key=lambda p: (p.cell.aggregator in ("slow", "krum"), p.cell.key))
    with RayCluster(nodes.address) as cluster:
        assert cluster.slots == 2
        for record in RayBackend(cluster, environment, copies=copies).run(ordered, Stop(), tell):
            records.append(record)
    assert killed, "the node was not killed in mid-run"
    assert Counter(record.key for record in records) == Counter(list(alone))
    assert {record.key: outcome(record) for record in records} == alone
    started = Counter(e.planned.cell.key for e in events if e.kind == "cell_started")
    twice = {key for key, times in started.items() if times > 1}
    lost = {e.planned.cell.key for e in events if e.kind == "worker_lost"}
    assert killed[0] in twice
    assert twice == lost
    assert len(twice) <= 2, "more than what was in flight on that node"


@needs_ray
@pytest.mark.skipif(not SOAK, reason="one of the long proofs: make soak")
def test_twenty_node_kills_at_random_moments_of_200_cells(nodes: TwoNodes, place: Path) -> None:
    from robustbench_fl.sweep.runner.ray_backend import RayBackend
    from robustbench_fl.sweep.runner.ray_cluster import RETRIES, RayCluster

    cells = planned(place, aggregator=["slow"], attack=["none", "ipm"], seeds="100")
    assert len(cells) == 200
    environment = environment_at(place)
    prepare_data({cells[0].cell.dataset}, environment.data_dir, download=False)
    copies = copies_of({cells[0].cell.dataset}, environment.data_dir)
    alone = {p.cell.key: outcome(execute(p, environment)) for p in cells}
    (place / "slowly").touch()
    rng = stream("test of Ray", "node kills", 0)
    records: list[CellRecord] = []
    started: Counter[str] = Counter()
    lost: Counter[str] = Counter()
    landed: list[str] = []
    due = [2]

    def tell(event: Event) -> None:
        key = event.planned.cell.key
        started[key] += event.kind == "cell_started"
        lost[key] += event.kind == "worker_lost"
        wanted = event.kind == "cell_started" and len(landed) < 20 and len(records) >= due[0]
        wanted &= landed.count(key) < RETRIES  # once more, and the cell would rightly end as failed
        if wanted and nodes.is_on_second(event.facts["pid"]):
            nodes.kill_second()
            landed.append(key)
            due[0] = len(records) + int(rng.integers(1, 6))
            nodes.whole()

    nodes.whole()
    with RayCluster(nodes.address) as cluster:
        for record in RayBackend(cluster, environment, copies=copies).run(cells, Stop(), tell):
            records.append(record)
    again = {key for key, times in started.items() if times > 1}
    print(
        f"\n200 cells on two Ray nodes; nodes killed in mid-run: {len(landed)}. Cells lost: "
        f"{len(alone) - len(records)}. Cells begun again: {len(again)}, "
        f"of them not lost with a node: {len(again - set(+lost))}."
    )
    assert len(landed) >= 15
    assert {record.key: outcome(record) for record in records} == alone
    assert set(landed) <= again <= set(+lost)


@needs_ray
def test_what_hangs_in_native_code_is_killed_and_the_rest_goes_on(nodes: TwoNodes, place: Path) -> None:
    from robustbench_fl.sweep.runner.ray_backend import RayBackend
    from robustbench_fl.sweep.runner.ray_cluster import RayCluster

    cells = planned(place, dataset="synthetic", aggregator=["hangs", "mean"], attack=["none"], seeds="1")
    events: list[Event] = []
    with RayCluster(nodes.address) as cluster:
        backend = RayBackend(cluster, environment_at(place), RunPolicy(timeout=4))
        records = {r.labels.aggregator: r for r in backend.run(cells, Stop(), events.append)}
        assert {rule: record.status for rule, record in records.items()} == {
            "hangs": "timeout",
            "mean": "done",
        }
        assert (records["hangs"].reason or "").startswith(
            "Killed after 4 s (--timeout) and 2 s of grace with"
        )
        assert [e.kind for e in events if e.planned.cell.aggregator == "hangs"] == ["cell_started", "timeout"]
        # The worker is really gone: the processor it had is free again for another cell.
        again = backend.run([p for p in cells if p.cell.aggregator == "mean"], Stop())
        assert [record.status for record in again] == ["done"]


@needs_ray
def test_a_stop_records_what_was_in_flight_and_leaves_the_cluster_alone(nodes: TwoNodes, place: Path) -> None:
    from robustbench_fl.sweep.runner.ray_backend import RayBackend
    from robustbench_fl.sweep.runner.ray_cluster import RayCluster

    (place / "slowly").touch()
    cells = planned(place, dataset="synthetic", aggregator=["slow"], attack=["none"], seeds="8", rounds=50)
    stop = Stop()

    def tell(event: Event) -> None:
        threading.Timer(1.0, stop.request, ["SIGTERM"]).start()

    with RayCluster(nodes.address) as cluster:
        records = list(RayBackend(cluster, environment_at(place)).run(cells, stop, tell))
    assert 1 <= len(records) <= 2, "those that had begun"
    assert {record.status for record in records} == {"interrupted"}
    assert all((r.reason or "").startswith("Stopped (SIGTERM) with ") for r in records)
    with RayCluster(nodes.address) as cluster:
        assert cluster.slots >= 1


@needs_ray
def test_the_command_line_runs_a_sweep_on_a_cluster_without_torch_in_its_own_process(
    nodes: TwoNodes, tmp_path: Path
) -> None:
    flags = "-d synthetic -a mean -t none -m mlp(hidden=[8]) --clients 6 --rounds 2 --seeds 2"
    code = (
        "import sys; from robustbench_fl.cli.main import main\n"
        "try: main()\n"
        "finally: print(any(name.startswith('torch.') for name in sys.modules), file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "sweep", *flags.split(), "--backend", "ray", "--address", nodes.address,
         "-o", str(tmp_path / "out"), "--events", str(tmp_path / "events.jsonl")],
        capture_output=True, text=True, timeout=600, env={**os.environ},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines()[-1] == "False"
    told = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    assert Counter(row["event"] for row in told)["cell_finished"] == 2
    assert len(list((tmp_path / "out" / "cells").glob("*.json"))) == 2


@needs_ray
def test_an_address_where_no_cluster_is_is_an_error_with_a_remedy() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "robustbench_fl", "sweep", "-d", "synthetic", "-a", "mean", "-t", "none",
         "--backend", "ray", "--address", "127.0.0.1:1", "--name", "nowhere"],
        capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert "--address 127.0.0.1:1: no Ray cluster answers" in done.stderr
    assert "ray start --head" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.usefixtures("own_registry")
def test_a_plugin_is_loaded_from_what_was_sent_where_the_node_has_no_such_file(tmp_path: Path) -> None:
    missing = tmp_path / "not_there" / "slow.py"
    loaded = _loaded(missing, _SLOW.encode())
    assert "slow" in registry.names("aggregators")
    assert loaded.name == "slow.py"
    assert not loaded.exists()
    assert linecache.getline(str(loaded), 2) == "import ctypes, signal, time\n"
    linecache.checkcache(str(loaded))
    assert linecache.getline(str(loaded), 2), "tracebacks show its lines"
    there = tmp_path / "here.py"
    there.write_text(_SLOW.replace('"slow"', '"slow2"').replace('"hangs"', '"hangs2"'))
    assert _loaded(there, there.read_bytes()) == there


def test_arrays_that_were_given_need_no_files(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from robustbench_fl.api import build

    monkeypatch.setattr("robustbench_fl.data.shared._given", dict(_given))
    text = planned(place, aggregator=["mean"], attack=["none"])[0].cell.dataset
    method = build.make("datasets", text)
    arrays = method.load(place / "data")
    give(text, arrays)
    assert shared(method, place / "nowhere") is arrays


def test_without_ray_an_error_says_how_to_install_it(tmp_path: Path) -> None:
    code = "import sys; sys.modules['ray'] = None\nfrom robustbench_fl.cli.main import main\nmain()\n"
    done = subprocess.run(
        [sys.executable, "-c", code, "sweep", "-d", "synthetic", "-a", "mean", "-t", "none",
         "--backend", "ray", "-o", str(tmp_path / "out")],
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert "pip install 'robustbench-fl[ray]'" in done.stderr


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ("--address auto", "--address is for --backend ray"),
        ("--gpus-per-cell 0.5", "--gpus-per-cell is for --backend ray"),
        ("--backend ray -j 2", "--jobs is for --backend local"),
        ("--backend ray --device cuda", "needs --gpus-per-cell"),
        ("--backend ray --device cpu --gpus-per-cell 1", "give one of them"),
    ],
)
def test_flags_that_would_be_ignored_are_refused(flags: str, said: str) -> None:
    from click.testing import CliRunner

    from robustbench_fl.cli.main import cli

    result = CliRunner().invoke(cli, ["sweep", "-a", "mean", "-t", "none", *flags.split()])
    assert result.exit_code != 0
    assert said in f"{result.output}{result.exception}"
