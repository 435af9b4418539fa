"""Local training of a round, side by side with ByzFL's clients, and where a round's time goes.

Run ``python benchmarks/training.py`` (needs ``pip install byzfl``). 100 clients × 64 samples of
1×28×28, one epoch, batch 32, one thread; both sides get the same tensors, the same start and the
same batches, in turns, in the same process. CPU seconds of this process; the median over turns.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable
from pathlib import Path
from time import process_time

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from robustbench_fl.api.build import make
from robustbench_fl.api.model import Model
from robustbench_fl.core.cell import World
from robustbench_fl.core.seeding import stream
from robustbench_fl.data.federation import Federation, make_federation
from robustbench_fl.data.spread import spread
from robustbench_fl.engine.client_jobs import make_jobs
from robustbench_fl.engine.evaluation import evaluate
from robustbench_fl.engine.jobs import Recipe
from robustbench_fl.engine.training import train

CLIENTS, SAMPLES = 100, 64
RECIPE = Recipe(lr=0.05, batch_size=32)
MODELS = {"logistic": 5.0, "mlp(hidden=[100])": 2.0, "lenet5": 1.4}
"""Model and how many times faster than ByzFL's clients it is expected to train."""


def federation() -> Federation:
    dataset = f"synthetic(side=28, samples={CLIENTS * SAMPLES}, test=10000)"
    arrays = make("datasets", dataset).load(Path())
    world = World(dataset, "iid", seed=0, clients=CLIENTS, root_size=0, validation=0.0)
    return make_federation(arrays, spread(world, arrays))


class LogisticModule(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(nn.Flatten(), nn.Linear(784, 10))


class MlpModule(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(nn.Flatten(), nn.Linear(784, 100), nn.ReLU(), nn.Linear(100, 10))


class LeNetModule(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(
            *(nn.Conv2d(1, 6, 5), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()),
            *(nn.Linear(256, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10)),
        )


MODULES = dict(zip(MODELS, (LogisticModule, MlpModule, LeNetModule), strict=True))


def ours(model: Model, data: Federation, start: Tensor) -> Tensor:
    jobs = make_jobs(data, range(CLIENTS), RECIPE, 0, 0)
    return train(model, data, start, jobs, RECIPE)


def byzfl_clients(name: str, data: Federation) -> list:
    """Return ByzFL clients whose loaders walk through the batches that ours draw."""
    import byzfl.fed_framework.models as zoo
    from byzfl import Client

    setattr(zoo, MODULES[name].__name__, MODULES[name])
    jobs = make_jobs(data, range(CLIENTS), RECIPE, 0, 0)
    settings = {
        "model_name": MODULES[name].__name__,
        "device": "cpu",
        "loss_name": "CrossEntropyLoss",
        "LabelFlipping": False,
        "nb_labels": 10,
        "momentum": 0.0,
        "store_per_client_metrics": False,
        "optimizer_name": "SGD",
        "learning_rate": RECIPE.lr,
        "weight_decay": 0.0,
        "milestones": [],
        "learning_rate_decay": 1.0,
    }
    clients = []
    for i in range(CLIENTS):
        order = jobs.samples[i].flatten()
        own = TensorDataset(data.images(order), data.labels(order))
        loader = DataLoader(own, batch_size=RECIPE.batch_size)
        clients.append(Client({**settings, "training_dataloader": loader}))
    return clients


def theirs(clients: list, model: Model, start: Tensor) -> Tensor:
    """One round of ByzFL: hand out the model, train, collect the flat parameters."""
    names = list(clients[0].get_dict_parameters())
    state = dict(zip(names, model.split(start), strict=True))
    rows = []
    for client in clients:
        client.set_model_state(state)
        client.compute_model_update(SAMPLES // RECIPE.batch_size)
        rows.append(client.get_flat_parameters() - start)
    return torch.stack(rows)


def seconds(run: Callable[[], Tensor]) -> tuple[float, Tensor]:
    before = process_time()
    result = run()
    return process_time() - before, result


def compare(name: str, data: Federation, turns: int) -> str:
    model = make("models", name).build(data.image_shape, data.n_classes)
    start = model.init(stream("benchmark"))
    clients = byzfl_clients(name, data)
    runs = {"ours": lambda: ours(model, data, start), "byzfl": lambda: theirs(clients, model, start)}
    times: dict[str, list[float]] = {"ours": [], "byzfl": []}
    for turn in range(turns + 1):
        results = {}
        for side, run in runs.items():
            spent, results[side] = seconds(run)
            if turn:  # the first turn warms up
                times[side].append(spent)
    difference = float(
        ((results["ours"] - results["byzfl"]).norm(dim=1) / results["byzfl"].norm(dim=1)).max()
    )
    ours_ms, byzfl_ms = (1e3 * statistics.median(times[side]) for side in ("ours", "byzfl"))
    ratio = statistics.median(b / o for o, b in zip(times["ours"], times["byzfl"], strict=True))
    return (
        f"| {name} ({model.n_params:,}) | {byzfl_ms:.1f} | {ours_ms:.1f} | {ratio:.1f}× | {MODELS[name]}× "
        f"| {difference:.0e} |"
    )


def profile(name: str, data: Federation, rounds: int) -> str:
    """Return where the rounds of a cell spend their time, the server left out."""
    model = make("models", name).build(data.image_shape, data.n_classes)
    params = model.init(stream("benchmark"))
    spent = {"jobs": 0.0, "training": 0.0, "evaluation": 0.0}

    def timed(phase: str, run: Callable):
        before = process_time()
        result = run()
        spent[phase] += process_time() - before
        return result

    for round in range(rounds):
        jobs = timed("jobs", lambda r=round: make_jobs(data, range(CLIENTS), RECIPE, 0, r))
        updates = timed("training", lambda j=jobs, p=params: train(model, data, p, j, RECIPE))
        params = params + updates.mean(dim=0)
        timed("evaluation", lambda p=params: evaluate(model, p, data.test_images, data.test_labels))
    total = sum(spent.values())
    cells = " | ".join(f"{1e3 * t / rounds:.1f} ({t / total:.0%})" for t in spent.values())
    return f"| {name} | {cells} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--turns", type=int, default=9, help="timed turns of each side")
    parser.add_argument("--models", nargs="*", default=list(MODELS), choices=list(MODELS))
    parser.add_argument("--no-peer", action="store_true", help="only the profile; needs no ByzFL")
    options = parser.parse_args()
    torch.set_num_threads(1)
    data = federation()
    if not options.no_peer:
        print("| model (parameters) | ByzFL ms | ours ms | ratio | wanted | relative difference |")
        print("|---|---|---|---|---|---|")
        for name in options.models:
            print(compare(name, data, options.turns), flush=True)
        print()
    print("| CPU ms a round | jobs | training | evaluation, 10,000 images |")
    print("|---|---|---|---|")
    for name in options.models:
        print(profile(name, data, options.turns), flush=True)


if __name__ == "__main__":
    main()
