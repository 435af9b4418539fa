"""Flower with a rule of the catalogue: ten nodes learn handwritten digits, three of them lie.

``python flower_app.py "nnm > krum"`` simulates it on this machine; ``python flower_app.py fedavg`` shows
what happens without a rule. The two apps at the end of the file are what a deployment runs.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import torch
from flwr.app import ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg, Result
from flwr.simulation import run_simulation
from sklearn.datasets import load_digits
from torch import nn
from torch.nn.functional import cross_entropy

from robustbench_fl.flower import RobustStrategy

NODES, LIARS, ROUNDS, ROOT = 10, 3, 5, 100
RECIPE = {"lr": 0.1, "local_epochs": 2, "batch_size": 32}


def network() -> nn.Module:
    """Return the network: 64-32-10, with a batch normalisation."""
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 10))


def digits() -> tuple[torch.Tensor, torch.Tensor]:
    """Return all images [1797, 1, 8, 8] and labels, in an order that mixes the writers."""
    images, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(labels))
    return torch.tensor(images[order] / 16, dtype=torch.float32).view(-1, 1, 8, 8), torch.tensor(
        labels[order]
    )


def train(net: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> None:
    """Train by the recipe."""
    net.train()
    optimiser = torch.optim.SGD(net.parameters(), lr=RECIPE["lr"])
    for _ in range(int(RECIPE["local_epochs"])):
        for batch in torch.randperm(len(labels)).split(int(RECIPE["batch_size"])):
            optimiser.zero_grad()
            cross_entropy(net(images[batch]), labels[batch]).backward()
            optimiser.step()


def root_training(params: torch.Tensor, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return what the same training changes on the server's own data, for rules such as FLTrust."""
    net = network()
    nn.utils.vector_to_parameters(params.clone(), net.parameters())
    train(net, images, labels)
    return nn.utils.parameters_to_vector(net.parameters()).detach() - params


client_app = ClientApp()


@client_app.train()
def train_node(message: Message, context: Context) -> Message:
    """Train on the node's part of the images; a liar sends three times the opposite."""
    torch.set_num_threads(1)
    node = int(context.node_config["partition-id"])
    images, labels = digits()
    mine = slice(400 + node, None, NODES)
    net = network()
    before = message.content["arrays"].to_torch_state_dict()
    net.load_state_dict(before)
    train(net, images[mine], labels[mine])
    after = net.state_dict()
    if node < LIARS:
        after = {k: before[k] - 3 * (v - before[k]) if v.is_floating_point() else v for k, v in after.items()}
    metrics = MetricRecord({"num-examples": len(labels[mine]), "node": node})
    return Message(RecordDict({"arrays": ArrayRecord(after), "metrics": metrics}), reply_to=message)


def accuracy(arrays: ArrayRecord) -> float:
    """Return the accuracy on the 300 images that neither nodes nor server learn from."""
    net = network()
    net.load_state_dict(arrays.to_torch_state_dict())
    images, labels = digits()
    return float((net.eval()(images[ROOT:400]).argmax(1) == labels[ROOT:400]).float().mean())


def strategy_for(rule: str) -> FedAvg:
    """Return the strategy: the rule with all that any rule may need, or plain averaging."""
    if rule == "fedavg":
        return FedAvg(fraction_evaluate=0.0)
    images, labels = digits()
    return RobustStrategy(
        rule,
        f=LIARS,
        model=network(),
        root=(images[:ROOT], labels[:ROOT]),
        recipe=root_training,
        fraction_train=1.0,
        fraction_evaluate=0.0,
        min_train_nodes=NODES,
    )


def server_app(rule: str, results: list[Result]) -> ServerApp:
    """Return the server's app; what comes of it is put into `results`."""
    app = ServerApp()

    @app.main()
    def main(grid: Grid, context: Context) -> None:
        torch.manual_seed(0)
        strategy: Any = strategy_for(rule)
        results.append(
            strategy.start(
                grid=grid,
                initial_arrays=ArrayRecord(network().state_dict()),
                num_rounds=ROUNDS,
                train_config=ConfigRecord(),
                evaluate_fn=lambda round, arrays: MetricRecord({"accuracy": accuracy(arrays)}),
            )
        )

    return app


def simulate(rule: str) -> Result:
    """Run everything on this machine."""
    results: list[Result] = []
    run_simulation(server_app=server_app(rule, results), client_app=client_app, num_supernodes=NODES)
    return results[0]


if __name__ == "__main__":
    result = simulate(sys.argv[1] if len(sys.argv) > 1 else "nnm > krum")
    for round, metrics in result.evaluate_metrics_serverapp.items():
        print(f"round {round}: accuracy {metrics['accuracy']:.3f}")
