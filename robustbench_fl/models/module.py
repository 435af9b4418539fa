"""A ``torch.nn`` module as a function of flat parameters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch

from robustbench_fl.api import ImageShape, LayerShapes, Model, UsageError

if TYPE_CHECKING:
    from torch import Tensor


class ModuleModel(Model):
    """A network written as a module that remembers nothing: parameters, no buffers, no dropout.

    The module itself holds no numbers (it is made on PyTorch's meta device); its parameters are
    put in at every call. Dropout and the like are switched off: a network here is a function of
    its parameters and the images.

    Parameters
    ----------
    input_shape : tuple of int
        Channels, height, width.
    n_classes : int
        Number of logits.
    make : callable
        Returns the module; called once.
    name : str
        What a refusal calls the network.
    gain : float
        Bound of the initial weights times sqrt(fan-in).

    Raises
    ------
    UsageError
        If the module has buffers, or computes with numbers while it is made.
    """

    def __init__(
        self,
        input_shape: ImageShape,
        n_classes: int,
        make: Callable[[], torch.nn.Module],
        *,
        name: str,
        gain: float = 1.0,
    ) -> None:
        try:
            with torch.device("meta"):
                self._module = make().eval()
        except NotImplementedError as error:
            raise UsageError(f"{name} cannot be made without numbers in it: {error}") from None
        self._names = [key for key, _ in self._module.named_parameters()]
        self.initial_gain = gain
        super().__init__(input_shape, n_classes, layer_shapes_of(self._module))
        if buffers := [key for key, _ in self._module.named_buffers()]:
            raise UsageError(
                f"{name} keeps {len(buffers)} buffers beside its parameters ({buffers[0]} …), which are not "
                "updates. Choose a network without."
            )

    def forward(self, tensors: Sequence[Tensor], images: Tensor) -> Tensor:
        """Return the logits [b, n_classes]."""
        logits: Tensor = torch.func.functional_call(
            self._module, dict(zip(self._names, tensors, strict=True)), (images,)
        )
        return logits


def require_usable(model: Model, name: str) -> None:
    """Pass two black images through `model` and back.

    Raises
    ------
    UsageError
        If it cannot take such images, gives anything but one row of logits for each, or leaves
        parameters unused.
    """
    shape = "×".join(map(str, model.input_shape))
    leaves = [torch.zeros(shape, requires_grad=True) for _, shape in model.layer_shapes]
    try:
        logits = model.forward(leaves, torch.zeros(2, *model.input_shape))
    except (RuntimeError, ValueError, AssertionError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise UsageError(f"{name} cannot take images of {shape}: {reason}") from None
    if not isinstance(logits, torch.Tensor) or logits.shape != (2, model.n_classes):
        found = list(logits.shape) if isinstance(logits, torch.Tensor) else type(logits).__name__
        raise UsageError(f"{name} gives {found} for 2 images, not [2, {model.n_classes}] logits.")
    gradients = torch.autograd.grad(logits.sum(), leaves, allow_unused=True)
    unused = [key for (key, _), g in zip(model.layer_shapes, gradients, strict=True) if g is None]
    if unused:
        raise UsageError(f"{name} leaves {len(unused)} of its parameters unused ({unused[0]} …).")


def with_group_norm(module: torch.nn.Module, groups: int, name: str) -> torch.nn.Module:
    """Return `module` with every batch normalisation replaced by group normalisation.

    Raises
    ------
    UsageError
        If the channels of a layer cannot be divided into `groups`.
    """
    for key, layer in list(module.named_modules()):
        if not isinstance(layer, torch.nn.BatchNorm2d):
            continue
        if layer.num_features % groups:
            raise UsageError(
                f"{name}: the {layer.num_features} channels of {key} cannot be divided into {groups} groups. "
                "Give another number of groups."
            )
        parent, _, own = key.rpartition(".")
        setattr(module.get_submodule(parent), own, torch.nn.GroupNorm(groups, layer.num_features))
    return module


def layer_shapes_of(module: torch.nn.Module) -> LayerShapes:
    """Return names and shapes; of a normalisation they end in ``scale`` and ``shift``."""
    shapes: list[tuple[str, tuple[int, ...]]] = []
    for key, parameter in module.named_parameters():
        parent, _, own = key.rpartition(".")
        if isinstance(module.get_submodule(parent), torch.nn.GroupNorm | torch.nn.LayerNorm):
            key = f"{parent}.{'scale' if own == 'weight' else 'shift'}"
        shapes.append((key, tuple(parameter.shape)))
    return tuple(shapes)
