"""The protocol by pfl on its simulated backend; two workers are two of its processes."""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from race.inputs import LR, Inputs
from race.log import Log, options

ADDRESSES, RANK = "PFL_WORKER_ADDRESSES", "PFL_WORKER_RANK"
PORTS = (29871, 29872)


def main() -> None:
    given = options()
    second = None
    if given.workers == 2 and RANK not in os.environ:
        os.environ[ADDRESSES] = ",".join(f"127.0.0.1:{port}" for port in PORTS)
        second = subprocess.Popen(
            [sys.executable, "-m", "race.with_pfl", *sys.argv[1:]], env={**os.environ, RANK: "1"}
        )
        os.environ[RANK] = "0"
    run(given)
    if second is not None and second.wait():
        raise SystemExit("the second worker failed")


def run(given: Any) -> None:
    from pfl.aggregate.simulate import SimulatedBackend
    from pfl.aggregate.weighting import WeightByUser
    from pfl.algorithm.base import NNAlgorithmParams
    from pfl.algorithm.federated_averaging import FederatedAveraging
    from pfl.callback.base import TrainingProcessCallback
    from pfl.data.dataset import Dataset
    from pfl.data.federated_dataset import FederatedDataset
    from pfl.hyperparam import NNTrainHyperParams
    from pfl.metrics import Metrics
    from pfl.model.pytorch import PyTorchModel

    torch.set_num_threads(1)
    inputs = Inputs(given.folder, given.network)

    class Module(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = inputs.module()

        def loss(self, images: Tensor, labels: Tensor) -> Tensor:
            return functional.cross_entropy(self.network(images), labels)

        def metrics(self, images: Tensor, labels: Tensor) -> dict[str, Any]:
            return {}

    module = Module()
    log = Log(inputs, given.rounds, "pfl")

    class Rounds(TrainingProcessCallback):
        def on_train_begin(self, *, model: Any) -> Any:
            log.begin_round()
            return Metrics()

        def after_central_iteration(self, metrics: Any, model: Any, *, central_iteration: int) -> Any:
            if log.end_round() and log.due:
                log.evaluate(module.network)
            log.begin_round()
            return False, Metrics()

    # A user of the cohort is named by its place in the protocol, and its data are that round's batches.
    rounds, cohort = inputs.cohorts.shape
    places = chain(((r, j) for r in range(rounds) for j in range(cohort)), iter(lambda: (0, 0), None))
    users = FederatedDataset(
        lambda place: Dataset(inputs.batch(inputs.batches[place].reshape(-1))), lambda: next(places)
    )
    model = PyTorchModel(
        model=module,
        local_optimizer_create=torch.optim.SGD,
        central_optimizer=torch.optim.SGD(module.parameters(), 1.0),
    )
    FederatedAveraging().run(
        algorithm_params=NNAlgorithmParams(
            central_num_iterations=given.rounds,
            evaluation_frequency=10 * given.rounds,
            train_cohort_size=cohort,
            val_cohort_size=None,
        ),
        backend=SimulatedBackend(training_data=users, val_data=users, postprocessors=[WeightByUser()]),
        model=model,
        model_train_params=NNTrainHyperParams(
            local_learning_rate=LR, local_num_epochs=1, local_batch_size=inputs.batches.shape[3]
        ),
        callbacks=[Rounds()],
    )
    if os.environ.get(RANK, "0") == "0":
        log.write(module.network, given.out)


if __name__ == "__main__":
    main()
