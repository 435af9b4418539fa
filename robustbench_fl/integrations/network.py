"""A user's own module as the network that rules ask."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from robustbench_fl.api import LayerShapes, Model, UsageError
from robustbench_fl.models.module import layer_shapes_of


class OwnNetwork(Model):
    """A module as a function of flat parameters; it may keep buffers, which hold still.

    The module is copied and put into evaluation mode: a rule looks at a network, it does not train it.

    Parameters
    ----------
    module : torch.nn.Module
        Takes inputs [b, ...] to logits [b, n_classes].
    input_shape : tuple of int, optional
        Shape of one input, for rules that make inputs of their own.
    device : str
        Where it computes.
    """

    def __init__(
        self, module: nn.Module, input_shape: Sequence[int] | None = None, device: str = "cpu"
    ) -> None:
        self._module = copy.deepcopy(module).to(device).eval()
        self._names = [name for name, _ in self._module.named_parameters()]
        self._shape = None if input_shape is None else tuple(int(size) for size in input_shape)
        self._classes: int | None = None
        self.layer_shapes: LayerShapes = layer_shapes_of(self._module)
        self._sizes = [parameter.numel() for parameter in self._module.parameters()]
        self.n_params = sum(self._sizes)
        self.has_buffers = any(True for _ in self._module.named_buffers())

    @property
    def input_shape(self) -> tuple[int, ...]:  # type: ignore[override]
        """Shape of one input.

        Raises
        ------
        UsageError
            If nobody said it.
        """
        if self._shape is None:
            raise UsageError(
                "The rule makes inputs for the network, whose shape is not known: give input_shape, such as "
                "input_shape=(1, 28, 28)."
            )
        return self._shape

    @property
    def n_classes(self) -> int:  # type: ignore[override]
        """Number of logits, asked of the network once.

        Raises
        ------
        UsageError
            If it cannot take such an input, or gives no logits.
        """
        if self._classes is None:
            some = next(self._module.parameters())
            blank = torch.zeros(1, *self.input_shape, device=some.device, dtype=some.dtype)
            try:
                with torch.no_grad():
                    logits = self._module(blank)
            except (RuntimeError, ValueError, TypeError, IndexError) as error:
                raise UsageError(
                    f"The network cannot take an input of the shape {list(self.input_shape)}: {error}. "
                    "Give root data, or input_shape, as clients feed the network."
                ) from None
            if not isinstance(logits, Tensor) or logits.ndim != 2:
                raise UsageError(
                    f"The network gives {type(logits).__name__} {list(getattr(logits, 'shape', ()))} for one "
                    "input; a rule needs logits [1, n_classes]."
                )
            self._classes = logits.shape[1]
        return self._classes

    def forward(self, tensors: Sequence[Tensor], images: Tensor) -> Tensor:
        """Return the logits [b, n_classes]."""
        named = dict(zip(self._names, tensors, strict=True))
        logits: Tensor = torch.func.functional_call(self._module, named, (images,))
        return logits

    def place_buffers(self, buffers: Mapping[str, Tensor]) -> None:
        """Put in the values of buffers, by name; unknown names are left alone."""
        for name, buffer in self._module.named_buffers():
            if name in buffers:
                buffer.copy_(buffers[name])
