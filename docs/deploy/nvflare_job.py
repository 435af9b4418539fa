"""NVFlare with a rule of the catalogue: ten clients learn handwritten digits, three of them lie.

``python nvflare_job.py "nnm > trimmed_mean" /tmp/digits`` runs the job in NVFlare's simulator in that folder.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
from nvflare.apis.dxo import DXO, DataKind, MetaKey, from_shareable
from nvflare.apis.executor import Executor
from nvflare.apis.fl_constant import ReturnCode
from nvflare.apis.fl_context import FLContext
from nvflare.apis.shareable import Shareable, make_reply
from nvflare.apis.signal import Signal
from nvflare.app_common.np.np_model_persistor import NPModelPersistor
from nvflare.app_common.shareablegenerators.full_model_shareable_generator import FullModelShareableGenerator
from nvflare.app_common.workflows.scatter_and_gather import ScatterAndGather
from nvflare.job_config.api import FedJob
from sklearn.datasets import load_digits

CLIENTS, LIARS, ROUNDS, TESTED = 10, 3, 3, 400


def digits() -> tuple[np.ndarray, np.ndarray]:
    """Return inputs [1797, 65], the last of them 1, and labels, in an order that mixes the writers."""
    images, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(labels))
    return np.c_[images[order] / 16, np.ones(len(labels))].astype(np.float32), labels[order]


def gradient(weights: np.ndarray, inputs: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the gradient [65, 10] of softmax regression."""
    logits = inputs @ weights
    shares = np.exp(logits - logits.max(1, keepdims=True))
    shares /= shares.sum(1, keepdims=True)
    result: np.ndarray = inputs.T @ (shares - np.eye(10)[labels]) / len(labels)
    return result


class Digits(Executor):  # type: ignore[misc]
    """A client: thirty steps on its part of the images; a liar sends three times the opposite."""

    def execute(self, task_name: str, shareable: Shareable, fl_ctx: FLContext, abort: Signal) -> Shareable:
        """Return the difference of the weights."""
        if task_name != "train":
            return make_reply(ReturnCode.TASK_UNKNOWN)
        data: dict[str, Any] = from_shareable(shareable).data
        ((name, start),) = data.items()
        client = int(fl_ctx.get_identity_name().split("-")[-1]) - 1  # site-1, site-2 …
        inputs, labels = digits()
        mine = slice(TESTED + client, None, CLIENTS)
        weights = np.asarray(start, dtype=np.float32)
        for _ in range(30):
            weights = weights - 0.5 * gradient(weights, inputs[mine], labels[mine])
        change = (weights - start) * (-3 if client < LIARS else 1)
        dxo = DXO(DataKind.WEIGHT_DIFF, data={name: change.astype(np.float32)})
        dxo.set_meta_prop(MetaKey.NUM_STEPS_CURRENT_ROUND, 30)
        return dxo.to_shareable()


def job_for(rule: str) -> FedJob:
    """Return the job: NVFlare's own workflow, with the rule as its aggregator."""
    from robustbench_fl.integrations.nvflare import RobustAggregator  # here, since no client needs it

    job = FedJob(name="digits", min_clients=CLIENTS)
    persistor = job.to_server(NPModelPersistor(model=np.zeros((65, 10)).tolist()), id="persistor")
    generator = job.to_server(FullModelShareableGenerator(), id="generator")
    aggregator = job.to_server(RobustAggregator(rule, f=LIARS), id="aggregator")
    job.to_server(
        ScatterAndGather(
            min_clients=CLIENTS,
            num_rounds=ROUNDS,
            wait_time_after_min_received=0,
            aggregator_id=aggregator,
            persistor_id=persistor,
            shareable_generator_id=generator,
        )
    )
    job.to_clients(Digits(), tasks=["train"])
    return job


def simulate(rule: str, folder: Path) -> float:
    """Run the job in `folder`; return the accuracy on the images that nobody learned from."""
    job_for(rule).simulator_run(str(folder), n_clients=CLIENTS, threads=CLIENTS)
    (found,) = folder.rglob("server.npy")
    inputs, labels = digits()
    weights = np.load(found)
    return float(((inputs[:TESTED] @ weights).argmax(1) == labels[:TESTED]).mean())


if __name__ == "__main__":
    print(f"accuracy {simulate(sys.argv[1], Path(sys.argv[2])):.3f}")
