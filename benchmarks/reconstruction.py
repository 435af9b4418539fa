"""Batched reconstruction against a plain loop: one client at a time, double backward through the unroll.

Run ``OMP_NUM_THREADS=1 python benchmarks/reconstruction.py``; one line a problem. Times are CPU
milliseconds per client and iteration on one thread, the best of a few interleaved repeats (neighbours
on a machine only ever add), both sides with the released settings (S = 5, all three data learned). Memory is
measured in a process of its own: the peak over what the imports take.

With ``--rounds`` instead: what whole rounds cost the server under the presets ``fast`` and
``calibrated``, and under ``calibrated`` with a budget that is given, so that nothing is calibrated.
Fashion-MNIST needs ``--data-dir``.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from robustbench_fl.aggregators._reconstruction_call import reconstruct
from robustbench_fl.api.model import Model
from robustbench_fl.core.seeding import stream, torch_generator
from robustbench_fl.models.zoo.convnet import ConvNetModel
from robustbench_fl.models.zoo.mlp import MlpModel
from robustbench_fl.notebook import run_cell

PROBLEMS: dict[str, Callable[[], Model]] = {
    "mlp 64-200-10": lambda: MlpModel((1, 8, 8), 10, [200]),
    "mlp 784-200-10": lambda: MlpModel((1, 28, 28), 10, [200]),
    "convnet 8x8 width 16 depth 2": lambda: ConvNetModel((1, 8, 8), 10, width=16, depth=2),
}
WANTED = {"mlp 64-200-10": 8.0, "mlp 784-200-10": 7.0, "convnet 8x8 width 16 depth 2": 6.0}
"""Speed-ups that the project promises."""
PRESETS = {
    "fast": "fedredefense(preset=fast)",
    "calibrated": "fedredefense",
    "no calibration": "fedredefense(first_budget=400)",
}
WORLDS = {
    "digits": {"dataset": "digits"},
    "Fashion-MNIST": {"dataset": "fashion_mnist(train=6000, test=2000)", "model": "mlp(hidden=[100])"},
}
ROUND_SEEDS, ROUNDS = range(3), 6
RATES: dict[str, float] = {"lr_image": 0.5, "lr_label": 0.2, "lr_step": 5e-6}
STEP, UNROLL_STEPS = 0.1, 5


class Problem:
    """A start, some clients' ends and the first synthetic images."""

    def __init__(self, name: str, clients: int) -> None:
        self.model = PROBLEMS[name]()
        generator = torch_generator(stream("benchmark", name))
        self.start = self.model.init(stream("benchmark", name, "start"))
        self.ends = self.start + 0.01 * torch.randn(clients, self.model.n_params, generator=generator)
        self.images = torch.randn(10, *self.model.input_shape, generator=generator)


def one_by_one(problem: Problem, clients: int, iterations: int) -> Tensor:
    """Return E of the first `clients`, each reconstructed by itself."""
    errors = []
    for end in problem.ends[:clients]:
        data = [problem.images.clone(), torch.zeros(10, 10), torch.tensor(STEP)]
        rates = zip(data, RATES.values(), strict=True)
        groups = [{"params": [part.requires_grad_()], "lr": lr} for part, lr in rates]
        optimizer = torch.optim.SGD(groups, momentum=0.5)
        for _ in range(iterations):
            params = problem.start.clone().requires_grad_()
            for _ in range(UNROLL_STEPS):
                logits = problem.model.apply(params, data[0])
                loss = -(data[1].softmax(1) * logits.log_softmax(1)).mean()
                (gradient,) = torch.autograd.grad(loss, params, create_graph=True)
                params = params - data[2] * gradient
            error = ((params - end).square().sum() + 1e-9) / ((problem.start - end).square().sum() + 1e-9)
            optimizer.zero_grad()
            error.backward()
            optimizer.step()
        errors.append(error.detach())
    return torch.stack(errors)


def batched(problem: Problem, iterations: int, path: str) -> Tensor:
    """Return E of all clients."""
    options: dict[str, Any] = {"path": path, "early_stop": False, "budget": iterations, **RATES}
    found = reconstruct(
        problem.model,
        problem.start,
        problem.ends,
        images=problem.images,
        labels=torch.zeros(10, 10),
        step=STEP,
        unroll_steps=UNROLL_STEPS,
        **options,
    )
    return found.errors


def compare(name: str, clients: int, iterations: int, repeats: int, path: str) -> None:
    """Print one line for one problem."""
    problem = Problem(name, clients)
    few = max(2, clients // 25)
    expected = one_by_one(problem, few, iterations)
    found = batched(problem, iterations, path)[:few]
    difference = (found / expected - 1).abs().max().item()
    slow = fast = float("inf")
    for _ in range(repeats):
        slow = min(slow, timed(lambda: one_by_one(problem, few, iterations)) / few)
        fast = min(fast, timed(lambda: batched(problem, iterations, path)) / clients)
    print(
        f"{name:30}{slow / iterations * 1e3:9.2f} ms{fast / iterations * 1e3:9.2f} ms"
        f"{slow / fast:8.1f} x (wanted {WANTED[name]:g} x){difference:12.1e}{memory(name, clients):9.0f} MB",
        flush=True,
    )


def timed(call: Callable[[], object]) -> float:
    """Return the CPU seconds of `call`."""
    before = time.process_time()
    call()
    return time.process_time() - before


def memory(name: str, clients: int) -> float:
    """Return the peak MB of three iterations over the imports, in a fresh process."""
    command = [sys.executable, __file__, "--memory-of", name, "--clients", str(clients)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def print_memory(name: str, clients: int) -> None:
    """Print what :func:`memory` reads (Linux only: the kernel's own high-water mark, set back first)."""
    batched(Problem(name, 1), 1, "auto")  # loads the kernels
    Path("/proc/self/clear_refs").write_text("5")
    before = status("VmRSS")
    batched(Problem(name, clients), 3, "auto")
    print(status("VmHWM") - before)


def status(field: str) -> float:
    """Return one entry of the process's status in MB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(field))


def compare_rounds(world: str, alpha: float, attack: str, repeats: int, data_dir: str | None) -> None:
    """Print one line for one world: CPU milliseconds of the server a round, mean over the seeds."""
    best: dict[tuple[str, int], float] = {}
    for _ in range(repeats):
        for seed in ROUND_SEEDS:
            for name, rule in PRESETS.items():
                cell = run_cell(
                    aggregator=rule,
                    attack=attack,
                    partition=f"balanced_dirichlet(alpha={alpha:g})",
                    seed=seed,
                    rounds=ROUNDS,
                    root_size=100,
                    data_dir=data_dir,
                    **WORLDS[world],
                )
                spent = cell.record.costs.aggregate_seconds if cell.record.costs else float("nan")
                best[name, seed] = min(best.get((name, seed), float("inf")), spent / ROUNDS)
    fast, calibrated, given = (sum(best[name, s] for s in ROUND_SEEDS) / len(ROUND_SEEDS) for name in PRESETS)
    print(
        f"{f'{world}, alpha {alpha:g}, {attack}':34}{fast * 1e3:9.1f} ms{calibrated * 1e3:9.1f} ms"
        f"{given * 1e3:9.1f} ms{calibrated / fast:9.2f} x{calibrated / given - 1:+10.0%}",
        flush=True,
    )


def print_rounds(repeats: int, data_dir: str | None) -> None:
    """Print a line for each world, partition and attack."""
    print(f"{'':34}{'fast':>12}{'calibrated':>12}{'given':>12}{'of fast':>11}{'calibration':>11}")
    for world in WORLDS:
        if world != "digits" and data_dir is None:
            continue
        for alpha in (0.1, 1.0):
            for attack in ("none", "min_max"):
                compare_rounds(world, alpha, attack, repeats, data_dir)


def main() -> None:
    """Read the options and print a line a problem."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=100)
    parser.add_argument("--iterations", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--path", default="auto", help="auto, vmap, stacked or lowrank")
    parser.add_argument("--rounds", action="store_true", help="compare whole rounds of two presets")
    parser.add_argument("--data-dir", help="with Fashion-MNIST, for --rounds")
    parser.add_argument("--memory-of", choices=PROBLEMS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.memory_of:
        print_memory(options.memory_of, options.clients)
        return
    if options.rounds:
        print_rounds(options.repeats, options.data_dir)
        return
    print(f"{'':30}{'loop':>12}{'batched':>12}{'speed-up':>23}{'difference':>12}{'memory':>12}")
    for name in PROBLEMS:
        if options.path != "lowrank" or "mlp" in name:
            compare(name, options.clients, options.iterations, options.repeats, options.path)


if __name__ == "__main__":
    main()
