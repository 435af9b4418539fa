"""Labelled random streams: the only source of randomness in a cell.

A stream is named by what it is for, ``stream("batches", seed, round, client)``, and by nothing
else, so that numbers depend neither on the order in which streams are opened nor on what other
cells, workers or chunks do. No global generator is ever read or seeded.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch

Label = str | int | float | None


def seed_sequence(*labels: Label) -> np.random.SeedSequence:
    """Return the seed sequence that belongs to `labels`, the same on every machine."""
    digest = hashlib.sha256(json.dumps(labels).encode()).digest()
    # As an array: a list has its numbers taken one by one, which costs half of a stream.
    return np.random.SeedSequence(np.frombuffer(digest, dtype="<u4").astype(np.uint32))


def stream(*labels: Label) -> np.random.Generator:
    """Return a fresh NumPy generator for `labels`.

    Examples
    --------
    >>> int(stream("split", 0).integers(1000)) == int(stream("split", 0).integers(1000))
    True
    """
    return np.random.Generator(np.random.PCG64(seed_sequence(*labels)))


def torch_generator(rng: np.random.Generator) -> torch.Generator:
    """Return a torch CPU generator seeded by one draw from `rng`."""
    import torch

    return torch.Generator().manual_seed(int(rng.integers(2**63 - 1)))
