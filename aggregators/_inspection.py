"""What DeepSight measures of a client's model: its last layer, and its answers to noise."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from robustbench_fl.api import torch_generator

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from robustbench_fl.api import Model

_CHUNK = 2048
"""Noise images per forward pass."""
_LARGEST_LOG = 40.0
"""Ratios of probabilities beyond e^40, and those of broken models, count as that."""
_LEAST_SHARE = 0.01
"""The threshold of the exceedings is at least this share of the maximum."""


def update_energies(weights: Tensor, biases: Tensor) -> Tensor:
    """Return the normalised energy of each output neuron's update (NEUP).

    Parameters
    ----------
    weights : Tensor [n, C, h]
        Updates of the last layer's weights.
    biases : Tensor [n, C]
        Updates of its biases.

    Returns
    -------
    float64 Tensor [n, C]
        ``(|Δb_c| + Σ_h |ΔW_ch|)²`` over its sum; equal shares for an update of zero.
    """
    energies = (biases.double().abs() + weights.double().abs().sum(2)).square()
    total = energies.sum(1, keepdim=True)
    return torch.where(total > 0, energies / torch.where(total > 0, total, 1.0), 1 / energies.shape[1])


def threshold_exceedings(energies: Tensor) -> Tensor:
    """Return how many neurons' energies exceed ``max(1 %, 1/C)`` of the client's largest.

    Parameters
    ----------
    energies : float64 Tensor [n, C]
        Normalised energies.

    Returns
    -------
    int64 Tensor [n]
        Few for a client that learned few classes.
    """
    share = max(_LEAST_SHARE, 1 / energies.shape[1])
    return (energies > share * energies.amax(1, keepdim=True)).sum(1)


def division_differences(
    model: Model, params: Tensor, updates: Tensor, samples: int, rng: np.random.Generator
) -> Tensor:
    """Return the mean ratio of each client's to the global model's class probabilities on noise.

    Parameters
    ----------
    model : Model
        The network.
    params : Tensor [d]
        Global parameters.
    updates : Tensor [n, d]
        One row a client.
    samples : int
        Noise images, uniform in [0, 1), the same for all clients.
    rng : numpy.random.Generator
        Draws them.

    Returns
    -------
    float64 Tensor [n, C]
        DDif: 1 where the client changed nothing.
    """
    generator = torch_generator(rng)
    sums = updates.new_zeros((len(updates), model.n_classes), dtype=torch.float64)
    for start in range(0, samples, _CHUNK):
        count = min(_CHUNK, samples - start)
        images = torch.rand((count, *model.input_shape), generator=generator).to(params)
        usual = model.apply(params, images).log_softmax(1)
        for total, update in zip(sums, updates, strict=True):
            logs = model.apply(params + update, images).log_softmax(1) - usual
            capped = logs.double().nan_to_num(nan=_LARGEST_LOG).clamp(max=_LARGEST_LOG)
            total += capped.exp().sum(0)
    return sums / samples
