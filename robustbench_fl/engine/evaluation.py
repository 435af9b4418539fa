"""How good a model is: accuracy, loss, and whether a backdoor works."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from robustbench_fl.api import Trigger
from robustbench_fl.api.model import Model
from robustbench_fl.data.federation import Federation
from robustbench_fl.data.images import ImagePart, ImageStore
from robustbench_fl.engine.batches import stamped
from robustbench_fl.engine.client_jobs import trigger_pixels

_BATCH = 200
"""Images a forward pass; fixed, so that the numbers do not depend on the machine's memory."""


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """A model's performance on one split.

    Parameters
    ----------
    accuracy : float
        Share of images classified as their class; chance, 1 / n_classes, if not `finite`.
    class_accuracy : list of float or None
        The same for the images of each class, ``None`` for a class without images.
    loss : float or None
        Mean cross-entropy, ``None`` if not finite.
    finite : bool
        Whether all logits are.
    confusion : int64 array [n_classes, n_classes] or None
        Images by class (row) and by what they were classified as (column); ``None`` if not
        `finite`.
    """

    accuracy: float
    class_accuracy: list[float | None]
    loss: float | None
    finite: bool
    confusion: NDArray[np.int64] | None

    def confused(self, source: int, target: int) -> float | None:
        """Return the share of the images of `source` that are taken for `target`.

        Chance if the logits are not finite, ``None`` if there are no such images.
        """
        if self.confusion is None:
            return None if self.class_accuracy[source] is None else 1 / len(self.class_accuracy)
        row = self.confusion[source]
        return float(row[target] / row.sum()) if row.sum() else None


def evaluate(
    model: Model, params: Tensor, images: Tensor | ImageStore | ImagePart, labels: Tensor
) -> Evaluation:
    """Classify a set of images.

    Parameters
    ----------
    model : Model
        The network.
    params : Tensor [n_params]
        Its parameters.
    images : Tensor [N, channels, height, width], ImageStore or ImagePart
        Normalised, at least one, on the device of `params`.
    labels : int64 Tensor [N]
        Their classes.
    """
    c = model.n_classes
    logits = _logits(model, params, images)
    if not bool(torch.isfinite(logits).all()):
        present = torch.bincount(labels, minlength=c).tolist()
        chance: list[float | None] = [1 / c if n else None for n in present]
        return Evaluation(accuracy=1 / c, class_accuracy=chance, loss=None, finite=False, confusion=None)
    loss = float(functional.cross_entropy(logits.double(), labels))
    counts = torch.bincount(labels * c + logits.argmax(dim=1), minlength=c * c)
    confusion: NDArray[np.int64] = counts.view(c, c).cpu().numpy()
    right, total = confusion.diagonal(), confusion.sum(axis=1)
    return Evaluation(
        accuracy=float(right.sum() / total.sum()),
        class_accuracy=[float(r / t) if t else None for r, t in zip(right, total, strict=True)],
        loss=loss,
        finite=True,
        confusion=confusion,
    )


def attack_success(
    model: Model, params: Tensor, federation: Federation, trigger: Trigger, target: int
) -> float | None:
    """Return the share of triggered test images of other classes that are classified as `target`.

    Parameters
    ----------
    model : Model
        The network.
    params : Tensor [n_params]
        Its parameters, on the federation's device.
    federation : Federation
        Holds the test images.
    trigger : Trigger
        The full trigger.
    target : int
        What the backdoor is to yield.

    Returns
    -------
    float or None
        In [0, 1]; chance, 1 / n_classes, if a logit is not finite; ``None`` if all test images
        are of the target class.
    """
    others = federation.test_labels != target
    if not bool(others.any()):
        return None
    pixels = trigger_pixels(trigger, federation.image_shape).to(params.device)
    logits = _logits(
        model, params, federation.test_images, lambda images: stamped(images, pixels, federation.bright)
    )[others]
    if not bool(torch.isfinite(logits).all()):
        return 1 / federation.n_classes
    return float((logits.argmax(dim=1) == target).double().mean())


@torch.inference_mode()
def _logits(
    model: Model,
    params: Tensor,
    images: Tensor | ImageStore | ImagePart,
    change: Callable[[Tensor], Tensor] = lambda images: images,
) -> Tensor:
    tensors = model.split(params)
    return torch.cat(
        [model.forward(tensors, change(images[low : low + _BATCH])) for low in range(0, len(images), _BATCH)]
    )
