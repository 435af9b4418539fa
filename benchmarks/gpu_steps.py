"""Milliseconds a step of training for many clients: stacked, one by one, and each captured as a CUDA graph.

``python benchmarks/gpu_steps.py`` prints one line a network; ``--no-tf32`` lets cuDNN use no TF32.
``--device cpu`` tries the script, without graphs.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable

import torch

from robustbench_fl.api import build
from robustbench_fl.core.seeding import stream
from robustbench_fl.engine.descent import Descent, mlp_step, single_step, stacked_step
from robustbench_fl.engine.jobs import Recipe
from robustbench_fl.models.zoo.mlp import MlpModel

NETWORKS = (
    ("mlp(hidden=[100])", (1, 28, 28)),
    ("lenet5", (1, 28, 28)),
    ("convnet(width=128, depth=3)", (1, 28, 28)),
    ("convnet(width=128, depth=3)", (3, 32, 32)),
    ("resnet8", (3, 32, 32)),
)


def main(arguments: list[str] | None = None) -> list[dict[str, float]]:
    """Measure every network, and return the milliseconds of each way."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--clients", type=int, default=100)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--only", help="networks whose name begins with this")
    parser.add_argument("--no-tf32", action="store_true")
    given = parser.parse_args(arguments)
    found = []
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=not given.no_tf32):
        for name, shape in NETWORKS:
            if name.startswith(given.only or ""):
                row = ways(name, shape, given.clients, given.batch, given.device)
                print(name, shape, {way: round(value, 3) for way, value in row.items()}, flush=True)
                found.append(row)
    return found


def ways(name: str, shape: tuple[int, int, int], clients: int, batch: int, device: str) -> dict[str, float]:
    """Return the milliseconds that a step of all clients takes, by the way it is done."""
    model = build.make("models", name).build(shape, 10)
    start = model.init(stream("benchmark")).to(device).expand(clients, -1)
    images = torch.randn(clients, batch, *shape, device=device)
    labels = torch.randint(0, 10, (clients, batch), device=device)
    weights = torch.full((clients, batch), 1 / batch, device=device)
    recipe = Recipe(lr=0.05, batch_size=batch)
    many, one = Descent.begin(model, start, recipe, None), Descent.begin(model, start[0], recipe, None)

    def together() -> None:
        if isinstance(model, MlpModel):
            mlp_step(model, many, images, labels, weights)
        else:
            stacked_step(model, many, images, labels, weights)

    def alone() -> None:
        single_step(model, one, images[0], labels[0])

    row = {"stacked": milliseconds(together, device), "one by one": clients * milliseconds(alone, device)}
    if device == "cuda":
        row["stacked, captured"] = milliseconds(captured(together), device)
        row["one by one, captured"] = clients * milliseconds(captured(alone), device)
    return row


def captured(step: Callable[[], None]) -> Callable[[], None]:
    """Return what plays the kernels of a step again."""
    beside = torch.cuda.Stream()
    beside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(beside):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(beside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph.replay


def milliseconds(run: Callable[[], None], device: str, times: int = 10) -> float:
    """Return what a call takes, after one to warm up."""
    wait = torch.cuda.synchronize if device == "cuda" else lambda: None
    run()
    wait()
    began = time.perf_counter()
    for _ in range(times):
        run()
    wait()
    return 1e3 * (time.perf_counter() - began) / times


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()
