"""The client of Flower's protocol, in a module of its own: Ray's actors import it."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from torch.nn import functional

from race.inputs import LR, Inputs

client_app = ClientApp()


@lru_cache(maxsize=1)
def world(folder: str, network: str) -> tuple[Inputs, Any]:
    """Return inputs and module, once a process."""
    torch.set_num_threads(1)
    inputs = Inputs(Path(folder), network)
    return inputs, inputs.module()


@client_app.train()
def train(message: Message, context: Context) -> Message:
    """Train on the batches of the client's place in the round."""
    config = message.content["config"]
    inputs, module = world(config["folder"], config["network"])
    module.load_state_dict(message.content["arrays"].to_torch_state_dict())
    optimiser = torch.optim.SGD(module.parameters(), lr=LR)
    batches = inputs.batches[config["round"], config["place"]]
    images, labels = inputs.batch(batches.reshape(-1))
    size = batches.shape[1]
    for low in range(0, len(labels), size):
        optimiser.zero_grad()
        functional.cross_entropy(module(images[low : low + size]), labels[low : low + size]).backward()
        optimiser.step()
    metrics = MetricRecord({"num-examples": len(labels)})
    content = RecordDict({"arrays": ArrayRecord(module.state_dict()), "metrics": metrics})
    return Message(content, reply_to=message)
