"""Whole matrices by ByzFL's benchmark runner and by a sweep of this project.

``python -m race.matrix --data-dir FOLDER`` (in ``benchmarks/``; FOLDER holds Fashion-MNIST) runs ten rules ×
five attacks × two shares × three seeds by both, with the same settings and each as its users start it. It
writes ``build/race/matrix/WORKERS.json``: the time from the command to its end, start-up, tables and figures
included, and the last test accuracy of every cell. ``--seeds``, ``--shares`` and ``--attacks`` take a part
of the matrix.

The images are Fashion-MNIST's under ByzFL's key ``mnist``, since its key ``fashionmnist`` mirrors images at
random. Both train FedSGD with worker momentum 0.9 on batches of 25. ByzFL shares the images out among the
honest clients alone, here everybody has some; under label flipping it sends the mean of the flipped
gradients f times, here each malicious client its own.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import struct
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from race.environments import python_of
from race.peers import PEERS
from race.processes import ONE_THREAD, watched

BUILD = Path(__file__).resolve().parents[2] / "build" / "race"
RULES = {
    "Average": "mean",
    "Median": "median",
    "TrMean": "trimmed_mean",
    "GeometricMedian": "geometric_median(start=zero, nu=0.1, steps=3)",
    "Krum": "krum(neighbours=n-f-1)",
    "MultiKrum": "multi_krum(neighbours=n-f-1)",
    "CenteredClipping": "centered_clipping(tau=100)",
    "Meamed": "meamed",
    "CAF": "caf",
    "MoNNA": "monna(trusted=0)",
}
ATTACKS = {
    "SignFlipping": ({}, "sign_flip(of=mean)"),
    "InnerProductManipulation": ({"tau": 2.0}, "ipm(epsilon=2)"),
    "ALittleIsEnough": ({"tau": 1.5}, "alie(z=1.5)"),
    "LabelFlipping": ({}, "label_flip(map=mirror)"),
    "Optimal_ALittleIsEnough": ({"evals": 20}, "optimal(evaluations=20)"),
}
"""ByzFL's attacks with their parameters, and what they are called here."""
CLIENTS, BATCH, LR, MOMENTUM = 20, 25, 0.1, 0.9
LONGEST = 4 * 3600
"""Seconds that one side may take; ByzFL's whole matrix of 50 steps takes an hour on two shared cores."""
MEAN, STD = 0.1307, 0.3081
"""ByzFL's of its key ``mnist``."""


def main() -> None:
    """Run what is asked for by both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--shares", nargs="+", type=float, default=[0.1, 0.2])
    parser.add_argument("--attacks", nargs="+", choices=list(ATTACKS), default=list(ATTACKS))
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--out", type=Path, default=BUILD)
    parser.add_argument("--share-torch", action="store_true", help="as in race.py")
    parser.add_argument("--only", choices=["ours", "byzfl"], nargs="+", default=["ours", "byzfl"])
    parser.add_argument("--add", action="store_true", help="add to what is there: the matrix in several runs")
    given = parser.parse_args()
    folder = given.out / "matrix"
    write_images(given.data_dir, folder)
    file = folder / f"{given.workers}.json"
    found = json.loads(file.read_text()) if file.exists() else {}
    for side in given.only:
        part = {"ours": ours, "byzfl": byzfl}[side](folder, given)
        found[side] = _together(found[side], part) if given.add and side in found else part
        print(f"{side}: {found[side]['cells']} cells, {found[side]['wall']:.0f} s", flush=True)
    file.write_text(json.dumps(found, indent=1))


def write_images(data_dir: Path, folder: Path) -> None:
    """Write Fashion-MNIST as an archive for ours, and as the files that torchvision's MNIST looks for."""
    from robustbench_fl.api.build import make

    if (folder / "data.npz").exists():
        return
    arrays = make("datasets", "fashion_mnist").load(data_dir)
    raw = folder / "byzfl-data" / "MNIST" / "raw"
    raw.mkdir(parents=True, exist_ok=True)
    archive = {}
    for split, images, labels in (
        ("train", arrays.train_images, arrays.train_labels),
        ("test", arrays.test_images, arrays.test_labels),
    ):
        archive |= {f"x_{split}": images[:, 0], f"y_{split}": labels}
        start = {"train": "train", "test": "t10k"}[split]
        header = struct.pack(">IIII", 2051, *images[:, 0].shape)
        (raw / f"{start}-images-idx3-ubyte").write_bytes(header + images.tobytes())
        header = struct.pack(">II", 2049, len(labels))
        (raw / f"{start}-labels-idx1-ubyte").write_bytes(header + labels.astype(np.uint8).tobytes())
    np.savez(folder / "data.npz", **archive)


def ours(folder: Path, given: argparse.Namespace) -> dict[str, Any]:
    """Run the matrix as a sweep of this project."""
    out = folder / "ours"
    shutil.rmtree(out, ignore_errors=True)
    sweep = {
        "dataset": [f"npz(path=data.npz, mean=[{MEAN}], std=[{STD}])"],
        "model": ["mlp(hidden=[100])"],
        "partition": ["iid"],
        "aggregator": list(RULES.values()),
        "attack": [ATTACKS[name][1] for name in given.attacks],
        "malicious": given.shares,
        "seeds": list(range(given.seeds)),
    }
    settings = {
        "clients": CLIENTS, "rounds": given.steps, "local_steps": 1, "batch_size": BATCH, "lr": LR,
        "worker_momentum": MOMENTUM, "eval_every": 50, "validation": 0.0, "root_size": 0,
    }  # fmt: skip
    lines = [f"{key} = {json.dumps(value)}" for key, value in {**sweep, **settings}.items()]
    file = folder / "matrix.toml"
    file.write_text("\n".join(lines) + "\n")
    command = [
        *(sys.executable, "-m", "robustbench_fl", "sweep", str(file), "--out", str(out)),
        *("--data-dir", str(folder), "--jobs", str(given.workers)),
    ]
    found = _run(command, folder / "ours.log", folder)
    records = [json.loads(path.read_text()) for path in sorted((out / "cells").glob("*.json"))]
    rules = {text.partition("(")[0]: name for name, text in RULES.items()}
    attacks = {text.partition("(")[0]: name for name, (_, text) in ATTACKS.items()}
    accuracy = {}
    for record in records:
        cell = record["cell"]
        rule, attack = rules[cell["aggregator"][-1]["name"]], attacks[cell["attack"]["name"]]
        key = _name(rule, attack, round(cell["malicious"] * CLIENTS), cell["seed"])
        accuracy[key] = record["curves"]["accuracy"][-1]
    found |= {"accuracy": accuracy, "cells": len(accuracy)}
    return found


def byzfl(folder: Path, given: argparse.Namespace) -> dict[str, Any]:
    """Run the matrix by ByzFL's benchmark runner."""
    python = python_of(PEERS["byzfl"], given.out / "environments", given.share_torch)
    place = folder / "byzfl"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    config = {
        "benchmark_config": {
            "training_algorithm": {"name": "DSGD", "parameters": {}},
            "nb_steps": given.steps,
            "device": "cpu",
            "training_seed": 0,
            "nb_training_seeds": given.seeds,
            "nb_honest_clients": CLIENTS,
            "set_honest_clients_as_clients": True,
            "f": [round(share * CLIENTS) for share in given.shares],
            "size_train_set": 1.0,
            "data_distribution_seed": 0,
            "nb_data_distribution_seeds": 1,
            "data_distribution": [{"name": "iid", "distribution_parameter": 1.0}],
        },
        "model": {
            "name": "fc_mnist", "dataset_name": "mnist", "nb_labels": 10, "loss": "NLLLoss",
            "learning_rate": LR, "learning_rate_decay": 1.0, "milestones": [],
        },
        "aggregator": [{"name": name, "parameters": _parameters(name)} for name in RULES],
        "pre_aggregators": [],
        "honest_clients": {"momentum": MOMENTUM, "weight_decay": 0.0, "batch_size": BATCH},
        "attack": [{"name": name, "parameters": ATTACKS[name][0]} for name in given.attacks],
        "evaluation_and_results": {
            "evaluation_delta": 50, "batch_size_evaluation": 128, "evaluate_on_test": True,
            "store_per_client_metrics": False, "store_models": False,
            "data_folder": str(folder / "byzfl-data"), "results_directory": "./results",
        },
    }  # fmt: skip
    (place / "config.json").write_text(json.dumps(config))
    start = f"from byzfl import run_benchmark; run_benchmark({given.workers})"
    found = _run([str(python), "-c", start], folder / "byzfl.log", place)
    accuracy = {}
    for path in sorted((place / "results").glob("*/test_accuracy_tr_seed_*.txt")):
        settings = json.loads((path.parent / "config.json").read_text())
        key = _name(
            settings["aggregator"]["name"],
            settings["attack"]["name"],
            settings["benchmark_config"]["f"],
            int(path.name.split("_")[4]),
        )
        accuracy[key] = float(np.loadtxt(path, delimiter=",", ndmin=1)[-1])
    found |= {"accuracy": accuracy, "cells": len(accuracy)}
    return found


def _together(a: dict[str, Any], b: dict[str, Any]) -> dict[str, Any]:
    """Return two runs of one side as one."""
    accuracy = a["accuracy"] | b["accuracy"]
    summed = {name: round(a[name] + b[name], 1) for name in ("wall", "cpu")}
    most = {name: max(a[name], b[name]) for name in ("peak_mb", "load_before")}
    runs = a.get("runs", 1) + 1
    return {**summed, **most, "runs": runs, "accuracy": accuracy, "cells": len(accuracy)}


def _name(rule: str, attack: str, f: int, seed: int) -> str:
    return f"{rule} {attack} f={f} seed={seed}"


def _parameters(rule: str) -> dict[str, Any]:
    return {"GeometricMedian": {"nu": 0.1, "T": 3}, "MoNNA": {"idx": 0}}.get(rule, {})


def _run(command: list[str], log: Path, folder: Path) -> dict[str, Any]:
    load, began = os.getloadavg()[0], time.time()
    seen = watched([command], [{**os.environ, **ONE_THREAD}], [log], LONGEST, folder)
    if seen.failed:
        raise SystemExit(f"{log}: {seen.failed}")
    return {
        "wall": round(time.time() - began, 1), "cpu": round(seen.cpu, 1), "peak_mb": round(seen.peak_mb),
        "load_before": load,
    }  # fmt: skip


if __name__ == "__main__":
    main()
