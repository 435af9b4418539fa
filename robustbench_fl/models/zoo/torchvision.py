"""The classification networks that torchvision ships, by their names there."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from annotated_types import Ge

from robustbench_fl.api import ImageShape, ModelFamily, Shown, UsageError, did_you_mean, register
from robustbench_fl.models.module import ModuleModel, require_usable, with_group_norm

if TYPE_CHECKING:
    from torch import nn

_CHANNELS = 3
_USUAL = "resnet18"


@register("torchvision", paper="TorchVision maintainers 2016", year=2016)
@dataclass(frozen=True, kw_only=True)
class Torchvision(ModelFamily):
    """A network of torchvision by its name there, `torchvision:resnet18`, with group normalisation.

    Batch normalisation is replaced by group normalisation [2]_; dropout is left out. Weights are
    never downloaded: they start as those of all networks here. Networks that keep other buffers,
    or whose outputs are not one row of logits, are refused with the reason.

    Parameters
    ----------
    name : str
        As ``torchvision.models.get_model`` knows it.
    groups : int
        Groups of every normalisation.

    References
    ----------
    .. [1] TorchVision maintainers, "TorchVision: PyTorch's Computer Vision library",
       github.com/pytorch/vision, 2016.
    .. [2] K. Hsieh, A. Phanishayee, O. Mutlu, P. Gibbons, "The Non-IID Data Quagmire of Decentralized
       Machine Learning", ICML 2020, Section 5.
    """

    name: Annotated[str, Shown()] = _USUAL
    groups: Annotated[int, Ge(1)] = 2

    member: ClassVar[str] = "name"
    """The parameter that may be written after a colon."""

    def __post_init__(self) -> None:
        """Refuse names that torchvision does not know."""
        if self.name == _USUAL:  # every torchvision has it, and importing it takes seconds
            return
        from torchvision import models

        known = models.list_models(module=models)
        if self.name not in known:
            raise ValueError(
                f"torchvision has no classification network {self.name!r}. "
                f"{did_you_mean(self.name, known)}".rstrip()
                + f" It has {len(known)}, from {known[0]} to {known[-1]}."
            )

    def build(self, input_shape: ImageShape, n_classes: int) -> ModuleModel:
        """Return the network for one task.

        Raises
        ------
        UsageError
            If it cannot take such images, keeps buffers, or cannot be normalised by `groups` groups.
        """
        title = f"torchvision:{self.name}"
        if input_shape[0] != _CHANNELS:
            raise UsageError(
                f"{title} takes images of {_CHANNELS} channels, found {input_shape[0]}. "
                "Use resnet8, resnet18 or cnn for grey ones."
            )
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore", FutureWarning
            )  # about initial weights, which are not torchvision's
            model = ModuleModel(input_shape, n_classes, lambda: self._module(n_classes, title), name=title)
        require_usable(model, title)
        return model

    def _module(self, n_classes: int, title: str) -> nn.Module:
        from torchvision import models

        module: nn.Module = models.get_model(self.name, weights=None, num_classes=n_classes)
        return with_group_norm(module, self.groups, title)
