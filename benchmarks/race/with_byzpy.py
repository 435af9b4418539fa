"""The protocol by ByzPy's parameter server: a node's "gradient" is what its training took away.

Its nodes are actors in threads of this process, or for two workers in threads on two cores; with actors in
processes each of the fifty would hold a copy of torch.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from typing import Any

import torch
from byzpy.aggregators.base import Aggregator
from byzpy.engine.actor.backends.thread import ThreadActorBackend
from byzpy.engine.node.actors import HonestNodeActor
from byzpy.engine.node.base import HonestNode
from byzpy.engine.parameter_server.ps import ParameterServer
from byzpy.engine.storage.shared_store import open_tensor
from torch import Tensor
from torch.nn import functional

from race.inputs import LR, Inputs
from race.log import Log, options
from race.networks import flat, load


class Average(Aggregator):
    """The mean, which ByzPy has no rule for."""

    name = "average"

    def aggregate(self, gradients: Sequence[Any]) -> Tensor:
        total = None
        for gradient in gradients:
            with open_tensor(gradient) as row:
                row = torch.from_numpy(row)
                total = row.clone() if total is None else total.add_(row)
        assert total is not None
        return total / len(gradients)


class Node(HonestNode):
    """One place of the cohort: each round it trains on that round's batches."""

    def __init__(self, inputs: Inputs, place: int) -> None:
        self.inputs, self.place, self.number = inputs, place, 0
        self.module = inputs.module()
        self.optimiser = torch.optim.SGD(self.module.parameters(), lr=LR)
        self.params = flat(self.module)

    def next_batch(self) -> tuple[Tensor, Tensor]:
        return self.inputs.batch(self.inputs.batches[self.number, self.place].reshape(-1))

    def honest_gradient(self, x: Tensor, y: Tensor) -> Tensor:
        load(self.module, self.params)
        size = self.inputs.batches.shape[3]
        for low in range(0, len(y), size):
            self.optimiser.zero_grad()
            functional.cross_entropy(self.module(x[low : low + size]), y[low : low + size]).backward()
            self.optimiser.step()
        return self.params - flat(self.module)

    def apply_server_gradient(self, grad_vec: Tensor) -> None:
        self.params = self.params - grad_vec
        self.number += 1


async def run(given: Any) -> None:
    inputs = Inputs(given.folder, given.network)
    module = inputs.module()
    nodes = [
        await HonestNodeActor.spawn(Node, backend=ThreadActorBackend(), args=(inputs, place))
        for place in range(inputs.cohorts.shape[1])
    ]
    server = ParameterServer(nodes, [], Average())
    log = Log(inputs, given.rounds, "byzpy")
    params = inputs.start
    for _ in range(given.rounds):
        with log.round():
            params = params - await server.round()
        if log.due:
            load(module, params)
            log.evaluate(module)
    await server.shutdown()
    log.write(module, given.out)


def main() -> None:
    given = options()
    torch.set_num_threads(1)
    if given.workers == 1:
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    asyncio.run(run(given))


if __name__ == "__main__":
    main()
