"""Tables and figure of the race, from the files of its runs."""

from __future__ import annotations

import json
import os
import re
import statistics
import sys
from pathlib import Path
from typing import Any

import numpy as np

from race.networks import NETWORKS
from race.peers import PEERS

sys.path.append(str(Path(__file__).resolve().parents[2] / "docs"))
from marked import with_made

Run = dict[str, Any]


def write_readme(readme: Path, build: Path, figure: Path) -> None:
    """Write tables between the marks of `readme`, and the curves beside it.

    What was not raced, matrices or networks, keeps the table that is there.

    Parameters
    ----------
    readme : Path
        Holds the marks ``race`` and ``matrices``.
    build : Path
        Holds ``runs/*.json``, and ``matrix/*.json`` if matrices were raced.
    figure : Path
        Where the curves go.
    """
    runs = [json.loads(path.read_text()) for path in (build / "runs").glob("*.json")]
    runs.sort(key=lambda run: (list(NETWORKS).index(run["network"]), list(PEERS).index(run["peer"])))
    parts = [_machine(runs)] if runs else []
    for network in dict.fromkeys(run["network"] for run in runs):
        parts.append(_protocol(network, [run for run in runs if run["network"] == network], build / "runs"))
    parts.append(_remarks(runs))
    matrices = {
        int(path.stem): json.loads(path.read_text()) for path in sorted((build / "matrix").glob("[0-9].json"))
    }
    made = {"race": "\n\n".join(filter(None, parts)), "matrices": _matrices(matrices) if matrices else ""}
    raced = {name: new for name, new in made.items() if new}
    readme.write_text(with_made(readme.read_text(), raced, readme.name))
    _draw(runs, figure)


def _machine(runs: list[Run]) -> str:
    found = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    versions: dict[str, str] = {}
    for run in runs:
        for copy in run.get("copies", []):
            versions |= copy["versions"]
    loads = sorted({round(run["load_before"], 1) for run in runs if "load_before" in run})
    said = ", ".join(f"{name} {version}" for name, version in versions.items())
    return (
        f"{os.cpu_count()} cores of an {found[1] if found else 'unknown processor'}, "
        f"one thread a process; {said}. "
        f"Load of the machine before the runs: {loads[0]} to {loads[-1]}."
    )


def _protocol(network: str, runs: list[Run], folder: Path) -> str:
    by = {(run["peer"], run["workers"]): run for run in runs}
    loop = by.get(("loop", 1), {})
    rounds = [len(copy["seconds"]) for run in runs for copy in run.get("copies", [])]
    lines = [
        f"#### {network}, {max(rounds, default=0)} rounds",
        "",
        "| | CPU ms a round: least (median) | of the loop's | rounds a minute, one / two workers "
        "| start-up, s | peak MB, one / two workers | last accuracy | loss | model beside the loop's |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for name, peer in PEERS.items():
        one, two = by.get((name, 1), {}), by.get((name, 2), {})
        if not one and not two:
            continue
        cells = [
            _times(one),
            _ratio(one, loop),
            f"{_together(one)} / {_together(two)}",
            _of(one, lambda copy: f"{_start_up(copy):.1f}"),
            " / ".join(str(run.get("peak_mb", "–")) if "copies" in run else "–" for run in (one, two)),
            _of(one, lambda copy: f"{copy['accuracy'][-1]:.4f}"),
            _of(one, lambda copy: f"{copy['loss'][-1]:.5f}"),
            _difference(network, name, folder) if "copies" in one else "–",
        ]
        lines.append(f"| {peer.name} | " + " | ".join(cells) + " |")
    return "\n".join([*lines, *_verdict(by)])


def _verdict(by: dict[tuple[str, int], Run]) -> list[str]:
    """Say how ours stands to the loop and to the best of the others, by their quickest rounds."""
    times = {name: _least(run) for (name, workers), run in by.items() if workers == 1 and "copies" in run}
    if not {"ours", "loop"} <= set(times) or len(times) == 2:
        return []
    best = min(times.keys() - {"ours", "loop"}, key=lambda name: times[name])
    return [
        "",
        f"The plain loop takes {times['loop'] / times['ours']:.2f} times the time of robustbench-fl, and the "
        f"best other simulator, {PEERS[best].name}, {times[best] / times['ours']:.2f} times.",
    ]


def _of(run: Run, say: Any) -> str:
    return say(run["copies"][0]) if "copies" in run else "–"


def _start_up(copy: Run) -> float:
    """Return the seconds to the first round, and what the first takes longer than most."""
    return copy["start_up"] + copy["seconds"][0] - statistics.median(copy["seconds"])


def _least(run: Run) -> float:
    return min(run["copies"][0]["cpu"])


def _times(run: Run) -> str:
    if "copies" not in run:
        return "failed" if run else "–"
    return f"{1e3 * _least(run):.0f} ({1e3 * statistics.median(run['copies'][0]['cpu']):.0f})"


def _ratio(run: Run, loop: Run) -> str:
    return f"{_least(run) / _least(loop):.2f}" if "copies" in run and "copies" in loop else "–"


def _together(run: Run) -> str:
    """Return the rounds a minute of all copies together, by each one's median round."""
    if "copies" not in run:
        return "failed" if run else "–"
    return f"{sum(60 / statistics.median(copy['seconds']) for copy in run['copies']):.0f}"


def _difference(network: str, name: str, folder: Path) -> str:
    """Return how far the last model is from the plain loop's, relative to how far that has come."""
    mine, loop = (folder / f"{network}-1-{who}.npy" for who in (name, "loop"))
    if name == "loop" or not mine.exists() or not loop.exists():
        return "–"
    a, b = np.load(mine), np.load(loop)
    return f"{np.linalg.norm(a - b) / np.linalg.norm(b):.0e}"


def _remarks(runs: list[Run]) -> str:
    taking_part = dict.fromkeys(run["peer"] for run in runs)
    lines = [f"* {PEERS[n].name}: {PEERS[n].remark}." for n in taking_part if PEERS[n].remark]
    for run in runs:
        if "failed" in run:
            name = PEERS[run["peer"]].name
            lines.append(f"* {name}, {run['network']}, {run['workers']} worker(s): {run['failed']}.")
    return "\n".join(lines)


def _matrices(matrices: dict[int, Run]) -> str:
    lines = [
        "| workers | | cells | minutes | cells a minute | CPU s a cell | peak MB |",
        "|--:|---|--:|--:|--:|--:|--:|",
    ]
    notes = []
    for workers, found in matrices.items():
        for side, name in (("byzfl", "ByzFL"), ("ours", "robustbench-fl")):
            run = found.get(side)
            if run is None:
                continue
            lines.append(
                f"| {workers} | {name} | {run['cells']} | {run['wall'] / 60:.1f} "
                f"| {60 * run['cells'] / run['wall']:.1f} | {run['cpu'] / run['cells']:.2f} "
                f"| {run['peak_mb']} |"
            )
        if "byzfl" in found and "ours" in found:
            a, b = found["byzfl"], found["ours"]
            both = sorted(set(a["accuracy"]) & set(b["accuracy"]))
            gaps = [b["accuracy"][key] - a["accuracy"][key] for key in both]
            ratio = b["cells"] / b["wall"] / (a["cells"] / a["wall"])
            notes.append(
                f"With {workers} worker(s) **{ratio:.1f} times** ByzFL's cells a minute. In {len(both)} "
                f"cells that both have the last accuracy differs by "
                f"{statistics.median(map(abs, gaps)):.3f} in the median "
                f"(mean {statistics.mean(gaps):+.3f}; batches and starts are drawn by each side itself)."
            )
    return "\n".join([*lines, "", *notes])


def _draw(runs: list[Run], figure: Path) -> None:
    """Draw test loss over rounds: curves that lie on each other did the same work."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    networks = list(dict.fromkeys(run["network"] for run in runs))
    if not networks:
        return
    drawing, axes = pyplot.subplots(
        2, len(networks), figsize=(3.4 * len(networks), 4.6), squeeze=False, sharex="col"
    )
    widths = dict(zip(PEERS, (7.0, 5.2, 3.8, 2.6, 1.6, 0.8), strict=True))
    for column, network in zip(axes.T, networks):
        for run in runs:
            if run["network"] == network and run["workers"] == 1 and "copies" in run:
                copy, name = run["copies"][0], run["peer"]
                for axis, curve in zip(column, ("accuracy", "loss")):
                    axis.plot(
                        copy["evaluated"], copy[curve], label=PEERS[name].name, linewidth=widths[name],
                        marker="o", markersize=2 + widths[name],
                        color=f"C{list(PEERS).index(name)}",
                    )  # fmt: skip
        column[0].set_title(network)
        column[1].set_xlabel("round")
    axes[0, 0].set_ylabel("test accuracy")
    axes[1, 0].set_ylabel("test loss")
    axes[1, 0].legend(frameon=False, fontsize=7, loc="upper right")
    drawing.tight_layout()
    drawing.savefig(figure, dpi=110)
    pyplot.close(drawing)
