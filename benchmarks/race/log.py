"""What a peer's script reports: when it was ready, how long each round took, how good the model was."""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from race.inputs import EVALUATE_EVERY, Inputs
from race.networks import flat
from race.processes import tree_seconds

BEGAN = "RACE_BEGAN"
"""Environment variable: the time at which the script's process was started."""


def options() -> argparse.Namespace:
    """Return what ``race.py`` gives every script."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("network")
    parser.add_argument("out", type=Path)
    parser.add_argument("--rounds", type=int, required=True)
    parser.add_argument("--workers", type=int, default=1)
    return parser.parse_args()


class Log:
    """Times and curves of one run.

    Parameters
    ----------
    inputs : Inputs
        Holds the test images.
    rounds : int
        How many there will be.
    packages : str
        Whose versions are noted.
    """

    def __init__(self, inputs: Inputs, rounds: int, *packages: str) -> None:
        self._inputs, self._rounds = inputs, rounds
        self._curves: list[tuple[int, float, float]] = []
        self._seconds: list[float] = []
        self._cpu: list[float] = []
        self._start_up: float | None = None
        self._since = self._cpu_since = 0.0
        self._versions = {name: metadata.version(name) for name in ("torch", "numpy", *packages)}

    def begin_round(self) -> None:
        """Note that a round begins; the first one ends the start-up."""
        if self._start_up is None:
            self._start_up = time.time() - float(os.environ[BEGAN])
        self._cpu_since, self._since = tree_seconds(), time.perf_counter()

    def end_round(self) -> int:
        """Note that it ended, and return how many have."""
        self._seconds.append(time.perf_counter() - self._since)
        self._cpu.append(tree_seconds() - self._cpu_since)
        return len(self._seconds)

    @contextmanager
    def round(self) -> Iterator[None]:
        """Time what happens within."""
        self.begin_round()
        yield
        self.end_round()

    @property
    def due(self) -> bool:
        """Whether the model is evaluated after the rounds that have ended."""
        return len(self._seconds) % EVALUATE_EVERY == 0 or len(self._seconds) == self._rounds

    @torch.inference_mode()
    def evaluate(self, module: nn.Module) -> None:
        """Note accuracy and loss on the test images, outside of any round's time."""
        module.eval()
        images, labels = self._inputs.test_images, self._inputs.test_labels
        logits = torch.cat([module(images[low : low + 200]) for low in range(0, len(images), 200)])
        right = (logits.argmax(1) == labels).double().mean()
        loss = functional.cross_entropy(logits.double(), labels)
        self._curves.append((len(self._seconds), float(right), float(loss)))
        module.train()

    def write(self, module: nn.Module, out: Path) -> None:
        """Write the run, and the last model beside it."""
        if len(self._seconds) < self._rounds:
            raise SystemExit(f"{len(self._seconds)} of {self._rounds} rounds were finished")
        np.save(out.with_suffix(".npy"), flat(module).numpy())
        rounds, accuracy, loss = zip(*self._curves)
        found = {
            "versions": self._versions,
            "start_up": self._start_up,
            "seconds": self._seconds,
            "cpu": self._cpu,
            "evaluated": rounds,
            "accuracy": accuracy,
            "loss": loss,
        }
        out.write_text(json.dumps(found))
