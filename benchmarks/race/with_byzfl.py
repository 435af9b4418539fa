"""The protocol by ByzFL's ``Client`` and ``Server``, in the steps of its ``FedAvg`` training loop."""

from __future__ import annotations

from typing import Any

import byzfl.fed_framework.models as zoo
import torch
from byzfl import Client, Server
from torch.utils.data import DataLoader, TensorDataset

from race.inputs import LR, Inputs
from race.log import Log, options
from race.networks import NETWORKS, load


def main() -> None:
    given = options()
    torch.set_num_threads(1)
    inputs = Inputs(given.folder, given.network)
    zoo.race = NETWORKS[given.network][1]
    settings: dict[str, Any] = {
        "model_name": "race",
        "device": "cpu",
        "optimizer_name": "SGD",
        "learning_rate": LR,
        "weight_decay": 0.0,
        "milestones": [],
        "learning_rate_decay": 1.0,
    }
    steps, size = inputs.batches.shape[2:]

    def loader(samples: Any) -> DataLoader[Any]:
        return DataLoader(TensorDataset(*inputs.batch(samples.reshape(-1))), batch_size=size)

    clients = [
        Client(
            {
                **settings,
                "loss_name": "CrossEntropyLoss",
                "LabelFlipping": False,
                "nb_labels": 10,
                "momentum": 0.0,
                "store_per_client_metrics": False,
                "training_dataloader": loader(samples),
            }
        )
        for samples in inputs.batches[0]
    ]
    server = Server(
        {
            **settings,
            "test_loader": DataLoader(TensorDataset(inputs.test_images, inputs.test_labels), batch_size=200),
            "aggregator_info": {"name": "Average", "parameters": {}},
            "pre_agg_list": [],
        }
    )
    load(server.model, inputs.start)
    log = Log(inputs, given.rounds, "byzfl")
    for number in range(given.rounds):
        with log.round():
            for client, samples in zip(clients, inputs.batches[number], strict=True):
                client.training_dataloader = loader(samples)
                client.train_iterator = iter(client.training_dataloader)
                client.set_model_state(server.get_dict_parameters())
                client.compute_model_update(steps)
            server.update_model_with_weights([client.get_flat_parameters() for client in clients])
        if log.due:
            log.evaluate(server.model)
    log.write(server.model, given.out)


if __name__ == "__main__":
    main()
