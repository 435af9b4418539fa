"""A network as a function of one flat parameter vector, and of many stacked ones."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import torch

from robustbench_fl.api.holds import SampleKind

if TYPE_CHECKING:
    from torch import Tensor

ImageShape = tuple[int, ...]
"""Channels, height, width; of numbers or text, their count."""
LayerShapes = tuple[tuple[str, tuple[int, ...]], ...]
"""Names and shapes of the parameter tensors, in the order in which they are flattened."""


class Model(ABC):
    """A network built for one input shape and number of classes.

    Parameters are always one flat float32 vector; :meth:`split` gives the tensors as views of
    it, also for a stack of vectors, so that many clients are trained as one batch.

    Parameters
    ----------
    input_shape : tuple of int
        Channels, height, width.
    n_classes : int
        Number of logits.
    layer_shapes : tuple of (str, tuple of int)
        Names and shapes of the parameter tensors in flattening order.
    """

    stacks_on_cpu: ClassVar[bool] = False
    """Whether training many clients as one batch beats one after another on a CPU."""
    linear: ClassVar[bool] = False
    """Whether the logits are linear in the input."""
    batch_norm: ClassVar[bool] = False
    """Whether normalisation mixes the samples of a batch."""

    initial_gain: float = 1.0
    """Bound of the initial weights times sqrt(fan-in)."""

    def __init__(self, input_shape: ImageShape, n_classes: int, layer_shapes: LayerShapes) -> None:
        self.input_shape = input_shape
        self.n_classes = n_classes
        self.layer_shapes = layer_shapes
        self._sizes = [math.prod(shape) for _, shape in layer_shapes]
        self.n_params = sum(self._sizes)

    @abstractmethod
    def forward(self, tensors: Sequence[Tensor], images: Tensor) -> Tensor:
        """Return the logits [b, n_classes] of `images` [b, *input_shape] for one parameter set."""

    def forward_stacked(self, tensors: Sequence[Tensor], images: Tensor) -> Tensor:
        """Return the logits [k, b, n_classes] of `images` [k, b, *input_shape].

        Every tensor of `tensors` has a leading dimension k: one parameter set per stacked client.
        """
        return torch.func.vmap(self.forward)(list(tensors), images)

    def apply(self, params: Tensor, images: Tensor) -> Tensor:
        """Return the logits [b, n_classes] of `images` for the flat `params` [n_params]."""
        return self.forward(self.split(params), images)

    def features(self, params: Tensor, images: Tensor) -> Tensor:
        """Return the inputs [b, h] of the last layer: the penultimate representation of `images`.

        The last two tensors are taken for weight [n_classes, h] and bias [n_classes] of a linear
        layer (:attr:`ends_linear`), which is replaced by the identity; networks that end otherwise
        override this.
        """
        *body, weight, _ = self.split(params)
        width = weight.shape[1]
        eye = torch.eye(width, dtype=params.dtype, device=params.device)
        return self.forward([*body, eye, eye.new_zeros(width)], images)

    @property
    def ends_linear(self) -> bool:
        """Whether the last two tensors are weight [n_classes, h] and bias [n_classes]."""
        shapes = [shape for _, shape in self.layer_shapes[-2:]]
        return [len(shape) for shape in shapes] == [2, 1] and all(s[0] == self.n_classes for s in shapes)

    def split(self, params: Tensor) -> list[Tensor]:
        """Return the parameter tensors as views of `params` [..., n_params]."""
        lead = params.shape[:-1]
        parts = torch.split(params, self._sizes, dim=-1)
        return [part.view(*lead, *shape) for part, (_, shape) in zip(parts, self.layer_shapes, strict=True)]

    def init(self, rng: np.random.Generator) -> Tensor:
        """Return initial parameters [n_params] on the CPU.

        Weights and biases are uniform in ±1/sqrt(fan-in), the default of PyTorch's layers, times
        :attr:`initial_gain` for weights; vectors named ``*.scale`` (normalisation) are ones, their
        ``*.shift`` zeros.
        """
        parts: list[Tensor] = []
        bound = 1.0
        for name, shape in self.layer_shapes:
            if name.endswith(".scale"):
                parts.append(torch.ones(shape))
            elif name.endswith(".shift"):
                parts.append(torch.zeros(shape))
            else:
                if len(shape) > 1:
                    bound = 1 / math.sqrt(math.prod(shape[1:]))
                limit = bound * self.initial_gain if len(shape) > 1 else bound
                parts.append(torch.from_numpy(rng.uniform(-limit, limit, shape).astype(np.float32)))
        return torch.cat([part.reshape(-1) for part in parts])


class ModelFamily(ABC):
    """A registered kind of network, ``mlp(hidden=[200])``: a frozen dataclass of its options."""

    kind: ClassVar[str] = "models"
    takes: ClassVar[frozenset[SampleKind]] = frozenset({"images"})
    """The samples that it is made for."""

    @abstractmethod
    def build(self, input_shape: ImageShape, n_classes: int) -> Model:
        """Return the network for one task.

        Raises
        ------
        UsageError
            If the input is too small for the network.
        """
