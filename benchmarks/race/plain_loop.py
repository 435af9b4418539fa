"""The protocol as a loop in plain PyTorch: one module, set back for each client, and a running mean."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from race.inputs import LR, Inputs
from race.log import Log, options
from race.networks import flat, load


def one_round(
    inputs: Inputs, module: nn.Sequential, optimiser: torch.optim.SGD, params: Tensor, number: int
) -> Tensor:
    """Return the global parameters after round `number` that began with `params`."""
    total = torch.zeros_like(params)
    for batches in inputs.batches[number]:
        load(module, params)
        images, labels = inputs.batch(batches.reshape(-1))
        size = batches.shape[1]
        for low in range(0, len(labels), size):
            optimiser.zero_grad()
            logits = module(images[low : low + size])
            functional.cross_entropy(logits, labels[low : low + size]).backward()
            optimiser.step()
        total += flat(module)
    return total / len(inputs.batches[number])


def main() -> None:
    given = options()
    torch.set_num_threads(1)
    inputs = Inputs(given.folder, given.network)
    module = inputs.module()
    optimiser = torch.optim.SGD(module.parameters(), lr=LR)
    log = Log(inputs, given.rounds)
    params = flat(module)
    for number in range(given.rounds):
        with log.round():
            params = one_round(inputs, module, optimiser, params, number)
            load(module, params)
        if log.due:
            log.evaluate(module)
    log.write(module, given.out)


if __name__ == "__main__":
    main()
