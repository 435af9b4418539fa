"""Class sums of the last layer's update: what softmax cross-entropy leaves at zero."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

import torch
from annotated_types import Gt, Le

from robustbench_fl.aggregators._filtering import average_of
from robustbench_fl.aggregators._layers import layer_columns
from robustbench_fl.api import OWN, Aggregation, Aggregator, LayerShapes, Need, ServerView, register

if TYPE_CHECKING:
    from torch import Tensor

    from robustbench_fl.api import Model


def class_sum_energies(updates: Tensor, layer_shapes: LayerShapes, params: Tensor | None = None) -> Tensor:
    """Return the share of the last layer's update that is common to all classes.

    Parameters
    ----------
    updates : Tensor [n, d]
        One row a client.
    layer_shapes : tuple of (str, tuple of int)
        Names and shapes of the parameter tensors; the last two are weight [C, h] and bias [C].
    params : Tensor [d], optional
        Global parameters. If they are given, of the class sums the multiple of the parameters' own class
        sums that explains most is taken away, if it shrinks them: what weight decay does.

    Returns
    -------
    float64 Tensor [n]
        ``‖Σ_c ΔW_c‖² / (C ‖ΔW‖²)`` with W_c the weights and the bias of class c, from 0 to 1; 0 for an update
        of zero.

    Raises
    ------
    UsageError
        If the shapes do not fill an update.
    """
    sums, squares, n_classes = class_sums(updates, layer_shapes)
    if params is not None:
        own = class_sums(params[None], layer_shapes)[0][0]
        length = own.square().sum()
        if length > 0:
            sums = sums - ((sums @ own) / length).clamp(-1, 0)[:, None] * own
    energies = sums.square().sum(1) / (n_classes * torch.where(squares > 0, squares, 1.0))
    return energies.nan_to_num(nan=1.0, posinf=1.0)


@register("class_sum_test", paper=OWN, year=2026, cost="nhC")
@dataclass(frozen=True, kw_only=True)
class ClassSumTest(Aggregator):
    """Reject updates whose last layer no training with softmax cross-entropy can have given.

    The gradient of softmax cross-entropy by the logits sums to zero over the classes, for every
    sample. So do the rows of every gradient of a linear last layer, and of every sum of such gradients: an
    honest update has class sums of zero, up to rounding. Vectors that are made from standard
    deviations, signs or noise have not. Those within `limit` are averaged.

    Parameters
    ----------
    limit : float
        Largest share of the last layer's squared update that may lie in the class sums. Honest ones
        have shares of up to 1e-10 in float32, crafted ones from 0.01 up.
    weight_decay : bool
        Whether the clients decay their weights. A client's class sums are then those of the
        parameters times ``(1 − ηλ)^K − 1``, whatever its number K of steps, so that a multiple of
        them is not held against it; the parameters must be known.

    Notes
    -----
    A test of what a vector is, not of what it does. It is exact for SGD on softmax cross-entropy, with
    momentum, a proximal term, label smoothing, augmentation and clipping by the norm. It does not hold
    for Adam, squared loss, quantised or noisy updates: do not use it there. Every linear combination of
    honest updates passes: data poisoning, backdoors, sign flips, scaled and copied updates, zero, means
    and multiples of them. An attacker who knows of it takes its class sums away and passes. Scores are
    the shares. If nobody passes the model is kept. Time O(n C h), extra memory the last layer's updates.

    Faithfulness
    ------------
    Release: none: this project's own rule.
    Compared: with the gradients of softmax cross-entropy themselves, numbers, in the tests.
    Difference: shares below 1e-12 for honest updates of an MLP after local SGD in float32.
    On purpose: nothing.
    """

    limit: Annotated[float, Gt(0), Le(1)] = 1e-6
    weight_decay: bool = False

    detector: ClassVar[bool] = True
    robust: ClassVar[bool] = False
    translation: ClassVar[bool] = False

    @property
    def needs(self) -> frozenset[Need]:
        """The global parameters, where the clients decay their weights."""
        return frozenset({Need.MODEL}) if self.weight_decay else frozenset()

    def refuses(self, model: Model) -> str | None:
        """Refuse networks without a linear last layer, whose class sums are looked at."""
        return None if model.ends_linear else "the last two tensors are no weight and bias of a linear layer"

    def aggregate(self, updates: Tensor, view: ServerView, state: None) -> tuple[Aggregation, None]:
        """Return the mean of the updates with class sums of zero; the others are accused."""
        params = view.params if self.weight_decay else None
        shares = class_sum_energies(updates, view.layer_shapes, params)
        kept = shares <= self.limit
        return average_of(updates, kept, scores=shares), None


def class_sums(updates: Tensor, layer_shapes: LayerShapes) -> tuple[Tensor, Tensor, int]:
    """Return what the last layers have in common for all classes, and how long they are.

    Parameters
    ----------
    updates, layer_shapes
        As for :func:`class_sum_energies`.

    Returns
    -------
    float64 Tensor [n, h + 1]
        Sums of weights and bias over the classes.
    float64 Tensor [n]
        Squared lengths of the last layers.
    int
        The number of classes.
    """
    *_, (weights, shape), (biases, _) = layer_columns(updates, layer_shapes, "class_sum_test")
    n_classes = shape[0]
    weight = updates[:, weights].double().view(len(updates), n_classes, -1)
    bias = updates[:, biases].double()
    sums = torch.cat([weight.sum(1), bias.sum(1, keepdim=True)], 1)
    return sums, weight.square().sum((1, 2)) + bias.square().sum(1), n_classes
