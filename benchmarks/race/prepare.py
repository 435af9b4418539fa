"""Make what all peers are given, from the draws of this project: its cell and the others do the same work."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from race.inputs import DATA, LR, TASK
from race.networks import CHANNELS, CLASSES, NETWORKS, SIDE
from robustbench_fl.core.seeding import stream
from robustbench_fl.engine.client_jobs import make_jobs
from robustbench_fl.engine.simulation import Simulation
from robustbench_fl.store import Store
from robustbench_fl.sweep.config import make_sweep
from robustbench_fl.sweep.run import prepare as planned
from robustbench_fl.sweep.runner.environment import Environment
from robustbench_fl.sweep.runner.execute import prepared

MEAN = STD = (0.5, 0.5, 0.5)
BATCH = 10


def make(folder: Path, *, users: int, samples: int, cohort: int, rounds: int, test: int = 2000) -> None:
    """Write the data set and the task into `folder`, unless they are there for as many rounds or more.

    Parameters
    ----------
    folder : Path
        Where to.
    users, samples, cohort, rounds : int
        Users, samples of each, users of a round, rounds.
    test : int
        Test images.
    """
    size = [users, samples, cohort, test]
    if (folder / TASK).exists():
        with np.load(folder / TASK) as there:
            if there["size"].tolist() == size and len(there["cohorts"]) >= rounds:
                return
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / DATA, **_images(users * samples, test))
    cells = {name: simulation(folder, name, rounds, cohort / users, users) for name in NETWORKS}
    first = next(iter(cells.values()))
    cohorts = np.empty((rounds, cohort), np.int64)
    batches = np.empty((rounds, cohort, -(-samples // BATCH), BATCH), np.int64)
    for number in range(rounds):
        first.round = number
        cohorts[number] = first._participants()
        recipe = first.training.recipe(number)
        ids = [int(user) for user in cohorts[number]]
        batches[number] = make_jobs(first.federation, ids, recipe, first.cell.seed, number).samples.numpy()
    assert (batches >= 0).all(), "samples of a user must fill its batches"
    starts = {f"start_{name}": cell.params.numpy() for name, cell in cells.items()}
    scale = np.float32([1 / (255 * s) for s in STD])
    shift = np.float32([-m / s for m, s in zip(MEAN, STD)])
    np.savez(folder / TASK, size=size, cohorts=cohorts, batches=batches, scale=scale, shift=shift, **starts)


def simulation(
    folder: Path, network: str, rounds: int, participation: float | None = None, users: int | None = None
) -> Simulation:
    """Return the protocol as a cell of this project before its first round; its last round is evaluated.

    Parameters
    ----------
    folder : Path
        Holds the data set.
    network : str
        A name of :data:`~race.networks.NETWORKS`.
    rounds : int
        Server rounds.
    participation, users
        Share of the users of a round, and their number; by default as the task says.
    """
    if participation is None or users is None:
        users, _, cohort, _ = np.load(folder / TASK)["size"].tolist()
        participation = cohort / users
    mean, std = (", ".join(map(str, values)) for values in (MEAN, STD))
    settings = {
        "dataset": f"npz(path={DATA}, mean=[{mean}], std=[{std}])",
        "model": NETWORKS[network][0],
        "partition": "iid",
        "aggregator": "mean",
        "attack": "none",
        "clients": users,
        "participation": participation,
        # One more than is run: no round is evaluated by the cell itself.
        "rounds": rounds + 1,
        "eval_every": rounds + 1,
        "batch_size": BATCH,
        "lr": LR,
        "validation": 0.0,
        "root_size": 0,
        "seeds": [0],
    }
    plan = planned(make_sweep({}, settings), Store(folder / "ours"), data_dir=folder)
    return prepared(plan.pending[0].cell, Environment(data_dir=folder))


def _images(train: int, test: int) -> dict[str, np.ndarray]:
    """Return classes that a network tells apart after some rounds: coarse patterns under pixel noise."""
    rng = stream("race")
    blocks = rng.normal(0, 14, (CLASSES, SIDE // 4, SIDE // 4, CHANNELS))
    means = 128 + blocks.repeat(4, 1).repeat(4, 2)
    found = {}
    for split, n in (("train", train), ("test", test)):
        labels = rng.permutation(np.arange(n, dtype=np.int64) % CLASSES)
        noise = rng.standard_normal((n, SIDE, SIDE, CHANNELS), np.float32) * 60
        found[f"x_{split}"] = (means[labels] + noise).clip(0, 255).astype(np.uint8)
        found[f"y_{split}"] = labels
    return found
