"""What a data set costs in memory when several worker processes hold it.

Run ``python benchmarks/memory.py --data-dir DIR`` (DIR holds FashionMNIST/raw). Every worker imports
what cells need and holds a small synthetic set, so that library code in use counts as imported; then it
builds a federation as a cell does and reads every image. Nothing is trained.

Counted is the proportional set size (PSS, Linux): a page that k processes map counts 1/k in each, so
the sum over the workers is what they take together. One line of JSON.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

ROLLUP = Path("/proc/self/smaps_rollup")


def pss_bytes() -> int:
    """Return this process's share of the memory it uses."""
    line = next(line for line in ROLLUP.read_text().splitlines() if line.startswith("Pss:"))
    return 1024 * int(line.split()[1])


def worker(pipe: Connection, dataset: str, data_dir: Path) -> None:
    """Import, load, and tell PSS when asked."""
    held: list[Any] = []
    steps = {"import": import_all, "load": lambda: held.append(loaded(dataset, data_dir))}
    while (order := pipe.recv()) != "end":
        pipe.send(pss_bytes() if order == "pss" else bool(steps[order]() or True))


def import_all() -> None:
    """Import what a cell needs and use it once."""
    import torch

    import robustbench_fl.sweep.runner.execute  # noqa: F401

    torch.set_num_threads(1)
    loaded("synthetic", Path())


def loaded(dataset: str, data_dir: Path) -> Any:
    """Return a federation, every image of which has been read."""
    from robustbench_fl.api.build import make
    from robustbench_fl.core.cell import World
    from robustbench_fl.data.federation import make_federation
    from robustbench_fl.data.shared import shared
    from robustbench_fl.data.spread import spread

    arrays = shared(make("datasets", dataset), data_dir)
    world = World(dataset, "iid", seed=0, clients=20, root_size=None, validation=0.1)
    federation = make_federation(arrays, spread(world, arrays))
    for images in (federation.train_images, federation.test_images):
        for low in range(0, len(images), 50):
            images[low : low + 50].sum()
    return federation


def total(pipes: list[Connection]) -> int:
    """Return the memory of all workers together."""
    return sum(asked(pipes, "pss"))


def asked(pipes: list[Connection], order: str) -> list[Any]:
    """Return every worker's answer."""
    for pipe in pipes:
        pipe.send(order)
    return [pipe.recv() for pipe in pipes]


def pinned(dataset: str, data_dir: Path) -> str:
    """Return the text of `dataset` as a plan has it."""
    from robustbench_fl.api.build import make, text_of

    return text_of(make("datasets", dataset).pinned(data_dir))


def one_copy(dataset: str, data_dir: Path) -> int:
    """Return the bytes of the arrays, written for the workers to share."""
    from robustbench_fl.api.build import make
    from robustbench_fl.data.shared import share

    method = make("datasets", dataset)
    share(method, data_dir)
    arrays = method.load(data_dir)
    parts = (arrays.train_images, arrays.train_labels, arrays.test_images, arrays.test_labels)
    return sum(part.nbytes for part in parts)


def measured(dataset: str, data_dir: Path, workers: int) -> dict[str, Any]:
    """Return what `workers` processes take over their imports, in bytes and copies of the data."""
    dataset = pinned(dataset, data_dir)
    copy = one_copy(dataset, data_dir)
    context = multiprocessing.get_context("spawn")
    pairs = [context.Pipe() for _ in range(workers)]
    processes = [context.Process(target=worker, args=(theirs, dataset, data_dir)) for _, theirs in pairs]
    pipes = [ours for ours, _ in pairs]
    for process in processes:
        process.start()
    asked(pipes, "import")
    before = total(pipes)
    asked(pipes, "load")
    taken = total(pipes) - before
    for pipe, process in zip(pipes, processes, strict=True):
        pipe.send("end")
        process.join()
    return {
        "dataset": dataset,
        "workers": workers,
        "one_copy_bytes": copy,
        "imports_bytes": before,
        "taken_bytes": taken,
        "copies": round(taken / copy, 3),
    }


def main() -> None:
    """Measure and print."""
    from robustbench_fl.data.locations import default_data_dir

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dataset", default="fashion_mnist")
    parser.add_argument("--data-dir", type=Path, default=default_data_dir())
    parser.add_argument("--workers", type=int, default=4)
    given = parser.parse_args()
    print(json.dumps(measured(given.dataset, given.data_dir, given.workers)))


if __name__ == "__main__":
    main()
