"""What can be seen of an update before it is reconstructed: class sums, direction and length."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from robustbench_fl.aggregators.class_sum_test import class_sums
from robustbench_fl.api import LayerShapes

if TYPE_CHECKING:
    from torch import Tensor

_SHARE = 1e-3
"""Length of the class sums, in lengths of the update, that is never held against a client."""
_FEWEST = 5
"""Lengths that a median is taken of; with fewer nobody is too long."""
_SPREADS = 4.0
_BACKWARD = 0.5
"""Cosine with the way back; honest clients on three data sets stayed below 0.05."""
_NORMAL = 1.4826
"""Standard deviations of a normal distribution in median absolute deviations."""


def common(updates: Tensor, layer_shapes: LayerShapes) -> Tensor:
    """Return how long the part of each update is that raises or lowers all classes' logits together.

    It is the part that neither training by softmax cross-entropy nor any reconstruction reaches: its
    square, in squared lengths of the update, is a floor of E.

    Parameters
    ----------
    updates : Tensor [n, P]
        One row a client.
    layer_shapes : tuple of (str, tuple of int)
        Names and shapes of the parameter tensors, those of a linear last layer at the end.

    Returns
    -------
    float64 Tensor [n]
        Lengths.

    Examples
    --------
    >>> shapes = (("weight", (2, 1)), ("bias", (2,)))
    >>> common(torch.tensor([[1.0, -1.0, 2.0, -2.0], [3.0, 3.0, 4.0, 4.0]]), shapes)
    tensor([0.0000, 7.0711], dtype=torch.float64)
    """
    sums, _, n_classes = class_sums(updates, layer_shapes)
    lengths: Tensor = torch.linalg.vector_norm(sums, dim=1)
    return lengths / math.sqrt(n_classes)


def unlike_training(sums: Tensor, lengths: Tensor, slack: float) -> Tensor:
    """Return whose class sums no training leaves, as a bool Tensor [n].

    Parameters
    ----------
    sums, lengths : Tensor [n]
        Of the updates.
    slack : float
        What virtual clients leave, times a factor: rounding, or weight decay.
    """
    return ~(sums <= (_SHARE * lengths.double()).clamp(min=slack))


def too_long(lengths: Tensor, factor: float) -> Tensor:
    """Return whose update is too long, as a bool Tensor [n].

    The automatic step follows every length, so that E cannot tell. The bound is `factor` times the
    median, or four robust standard deviations of the logarithms above it, whichever is more.

    Parameters
    ----------
    lengths : Tensor [n]
        Of updates that are not zero. With fewer than 5 nobody is too long.
    factor : float
        Above 1.

    Examples
    --------
    >>> too_long(torch.tensor([1.0, 1.1, 0.9, 1.2, 3.5]), 3.0)
    tensor([False, False, False, False,  True])
    >>> too_long(torch.tensor([0.1, 0.5, 1.0, 2.0, 9.0]), 3.0).any()
    tensor(False)
    """
    if len(lengths) < _FEWEST:
        return torch.zeros(len(lengths), dtype=torch.bool, device=lengths.device)
    logs = lengths.double().log()
    beyond = logs - logs.median()
    spread = _NORMAL * float(beyond.abs().median())
    return beyond > max(math.log(factor), _SPREADS * spread)


def shortened(updates: Tensor, lengths: Tensor, which: Tensor, others: Tensor) -> Tensor:
    """Return a copy of the updates [n, P], some made as long as the longest of the others.

    Parameters
    ----------
    updates, lengths : Tensor [n, P], [n]
        Of all clients.
    which, others : bool Tensor [n]
        Whose updates are too long, and whose are not.

    Examples
    --------
    >>> updates = torch.tensor([[0.0, 1.0], [1.5, 2.0], [6.0, 8.0]])
    >>> long = torch.tensor([False, False, True])
    >>> shortened(updates, updates.norm(dim=1), long, ~long).tolist()
    [[0.0, 1.0], [1.5, 2.0], [1.5, 2.0]]
    """
    kept = updates.clone()
    kept[which] *= (lengths[others].max() / lengths[which])[:, None]
    return kept


def goes_back(updates: Tensor, lengths: Tensor, travelled: Tensor) -> Tensor:
    """Return whose update mostly undoes what the model has learned, as a bool Tensor [n].

    Class sums of every linear combination of honest updates are zero, also of the negative ones.

    Parameters
    ----------
    updates : Tensor [n, P]
        One row a client.
    lengths : Tensor [n]
        Of the updates.
    travelled : Tensor [P]
        How far the global parameters are from where they were at first.

    Examples
    --------
    >>> updates = torch.tensor([[1.0, 0.0], [-1.0, 2.0], [-1.0, 1.0]])
    >>> goes_back(updates, updates.norm(dim=1), torch.tensor([3.0, 0.0])).tolist()
    [False, False, True]
    """
    back: Tensor = updates @ travelled < -_BACKWARD * lengths * torch.linalg.vector_norm(travelled)
    return back
