"""How many iterations honest, crafted and virtual clients take from the start of FedREDefense's `calibrated`.

Run ``OMP_NUM_THREADS=1 python benchmarks/calibration.py record digits >> docs/fedredefense_iterations.csv``
for a data set (``fashion_mnist`` and ``cifar10`` with ``--data-dir``), then ``… draw``. The server takes the
mean of the honest updates. In rounds 1 and 5 all clients, what each attack would send, and three virtual
clients of each kind are reconstructed from fresh synthetic data until E < 0.6, in at most 120 iterations;
``0`` stands for none of them.
"""

from __future__ import annotations

import argparse
import csv
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from robustbench_fl.aggregators._reconstruction import Rates, first_steps, solve
from robustbench_fl.aggregators._reconstruction_paths import distance_for
from robustbench_fl.aggregators._reconstruction_screen import common, unlike_training
from robustbench_fl.aggregators._reconstruction_virtual import smoothed
from robustbench_fl.api.build import make
from robustbench_fl.core.seeding import stream, torch_generator
from robustbench_fl.engine.simulation import Simulation
from robustbench_fl.sweep.config import make_sweep
from robustbench_fl.sweep.expand import canonical, expand
from robustbench_fl.sweep.runner.environment import Environment
from robustbench_fl.sweep.runner.execute import prepared

TABLE = Path(__file__).parent.parent / "docs" / "fedredefense_iterations.csv"
PROBLEMS = {
    "digits": ("digits", "mlp(hidden=[200])"),
    "fashion_mnist": ("fashion_mnist(train=6000, test=2000)", "mlp(hidden=[100])"),
    "cifar10": ("npz(path=cifar10_subset.npz, train=6000, test=2000)", "mlp(hidden=[100])"),
}
RECIPES = ((0.001, 1), (0.01, 1), (0.05, 1), (0.1, 1), (0.01, 2), (0.05, 5))
ATTACKS = (
    "min_max", "min_sum", "fang_trimmed_mean", "alie", "alie(z=1.5)", "mpaf", "mpaf(target=random)",
)  # fmt: skip
ROUNDS, MOST = (0, 4), 120
COLUMNS = ["dataset", "alpha", "lr", "local_epochs", "round", "who", "iterations", "class_sums"]
COLOURS = {
    "honest": "#0072B2",
    "virtual": "#009E73",
    "crafted": "#D55E00",
    "refused for its class sums (how many)": "0.5",
}


def simulation(name: str, alpha: float, lr: float, epochs: int, seed: int, data_dir: Path) -> Simulation:
    """Return a cell before its first round, 6 of 20 clients malicious."""
    dataset, model = PROBLEMS[name]
    point = {
        "aggregator": "mean", "attack": "alie", "dataset": dataset, "model": model, "seeds": [seed],
        "partition": f"balanced_dirichlet(alpha={alpha})", "malicious": 0.3, "lr": lr, "local_epochs": epochs,
        "root_size": 100,
    }  # fmt: skip
    plan = expand(canonical(make_sweep({}, point, "calibration"), data_dir=data_dir))
    return prepared(plan[0].cell, Environment(data_dir=data_dir))


def groups(
    at: Simulation, states: dict[str, object], honest: Tensor, clients: np.ndarray
) -> dict[str, Tensor]:
    """Return the updates to be reconstructed, by who sends them."""
    positions = np.flatnonzero(at.malicious[clients])
    found = {"honest": honest}
    for text in ATTACKS:
        at.attack, at.attack_state = make("attacks", text), states[text]
        attacked = honest.clone()
        at._attack(attacked, clients, positions, None, None, None)
        found[text] = attacked[torch.from_numpy(positions[:1])]
        states[text] = at.attack_state
    samples = int(at.sample_counts.median())
    recipe = at.training.client_recipe(at.params, at.round, samples)
    generator = torch_generator(stream("calibration", at.cell.seed, at.round))
    shape = (3, samples, *at.model.input_shape)
    labels = (torch.arange(samples) % at.model.n_classes).expand(3, -1).contiguous()
    white = torch.randn(shape, generator=generator)
    found["white noise"] = recipe.train(white, labels)
    found["smooth noise"] = recipe.train(smoothed(torch.randn(shape, generator=generator)), labels)
    found["white noise, two classes"] = recipe.train(white, labels % 2)
    return found


def iterations(at: Simulation, updates: Tensor, images: Tensor) -> list[int]:
    """Return iterations until E < 0.6, 0 where it stays above."""
    distance, labels = distance_for(at.model, at.params, 5), 2 * torch.eye(at.model.n_classes)
    n = len(updates)
    found = solve(
        distance, updates, images=images.expand(n, *images.shape), labels=labels.expand(n, *labels.shape),
        steps=first_steps(distance, updates, images, labels, 1.0),
        rates=Rates(image=20.0, label=2.0, step=0.0, back_off=5.0), budget=torch.full((n,), MOST),
    )  # fmt: skip
    return torch.where(found.errors < 0.6, found.iterations, 0).tolist()


def rows(name: str, seed: int, data_dir: Path) -> Iterator[list[object]]:
    """Yield the table's rows for a data set."""
    for alpha in (0.1, 1.0):
        for lr, epochs in RECIPES:
            at = simulation(name, alpha, lr, epochs, seed, data_dir)
            first, states = at.attack, {t: make("attacks", t).init_state(at.attack_spec) for t in ATTACKS}
            draw = torch_generator(stream("calibration", seed))
            images = torch.randn(at.model.n_classes, *at.model.input_shape, generator=draw)
            images *= math.sqrt(64 / math.prod(at.model.input_shape))
            for number in range(max(ROUNDS) + 1):
                at.attack = first
                clients = np.arange(at.settings.clients)
                honest = at._updates(clients, clients[:0], None)
                if number in ROUNDS:
                    for who, updates in groups(at, states, honest, clients).items():
                        sent = updates[updates.norm(dim=1) > 1e-12]
                        if not len(sent):  # mpaf's first update is zero
                            continue
                        shares = (common(sent, at.model.layer_shapes) / sent.double().norm(dim=1)).tolist()
                        for count, share in zip(iterations(at, sent, images), shares, strict=True):
                            yield [name, alpha, lr, epochs, number + 1, who, count, f"{share:.1e}"]
                at.last_step = honest.mean(0)
                at.params, at.round = at.params + at.last_step, at.round + 1


def draw() -> None:
    """Draw the table: one panel a data set, honest clients against everybody else."""
    import matplotlib.pyplot as plt
    import pandas as pd
    from matplotlib.lines import Line2D

    table = pd.read_csv(TABLE)
    shares = torch.tensor(table.class_sums.to_numpy(), dtype=torch.float64)
    table["refused"] = unlike_training(shares, torch.ones(len(shares)), 0.0).numpy()
    names = list(dict.fromkeys(table.dataset))
    figure, axes = plt.subplots(1, len(names), figsize=(4.2 * len(names), 4.8), sharey=True, squeeze=False)
    noise = [who for who in dict.fromkeys(table.who) if "noise" in who]
    order = ["honest", *ATTACKS, *noise][::-1]
    for axis, name in zip(axes[0], names, strict=True):
        own = table[table.dataset == name]
        for at, who in enumerate(order):
            rows = own[own.who == who]
            counts, gone = rows.iterations.to_numpy(), rows.refused.to_numpy()
            spread = np.random.default_rng(0).uniform(-0.28, 0.28, len(counts))
            kind = "honest" if who == "honest" else "virtual" if "noise" in who else "crafted"
            for colour, some in (
                (COLOURS[kind], ~gone),
                (COLOURS["refused for its class sums (how many)"], gone),
            ):
                seen = some & (counts > 0)
                axis.scatter(counts[seen], at + spread[seen], s=5, alpha=0.6, color=colour, linewidths=0)
            never = int((counts == 0).sum())
            if never:
                axis.text(MOST + 6, at, f"{never} of {len(counts)}", va="center", fontsize=7)
        axis.set(title=name, xlabel="iterations until E < 0.6", yticks=range(len(order)), xlim=(0, MOST + 42))
        axis.set_yticklabels([_with_reason(who, table) for who in order])
        axis.axvline(MOST, color="0.7", linewidth=0.8)
        axis.set_ylim(-0.7, len(order) + 0.1)
        axis.text(MOST + 6, len(order) - 0.4, "never", fontsize=7)
    dots = [Line2D([], [], marker="o", linestyle="", color=c, markersize=4) for c in COLOURS.values()]
    figure.legend(dots, COLOURS, loc="lower center", ncols=len(COLOURS), fontsize=8, frameon=False)
    figure.tight_layout(rect=(0, 0.05, 1, 1))
    figure.savefig(TABLE.with_suffix(".png"), dpi=110)


def _with_reason(who: str, table: Any) -> str:
    """Return the name, and how many of those updates are refused for their class sums, if any."""
    gone = table.refused[table.who == who]
    return f"{who} ({gone.sum()} of {len(gone)})" if gone.any() else who


def main() -> None:
    """Record or draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("record", "draw"))
    parser.add_argument("dataset", choices=PROBLEMS, nargs="?", default="digits")
    parser.add_argument("--seed", type=int, default=1000)
    parser.add_argument("--data-dir", type=Path, default=Path("data"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.what == "draw":
        draw()
        return
    writer = csv.writer(sys.stdout)
    if not TABLE.exists() or not TABLE.stat().st_size:
        writer.writerow(COLUMNS)
    for row in rows(options.dataset, options.seed, options.data_dir):
        writer.writerow(row)
        sys.stdout.flush()


if __name__ == "__main__":
    main()
