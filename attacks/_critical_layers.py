"""Which parameter tensors carry a backdoor, found by putting benign ones in their place and back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

    from robustbench_fl.api import AttackerView, Trigger


def critical_layers(
    benign: Sequence[Tensor], malicious: Sequence[Tensor], success: Callable[[Sequence[Tensor]], float],
    threshold: float,
) -> list[int]:  # fmt: skip
    """Return the fewest tensors, by forward and backward substitution, that carry the backdoor.

    Forward: each malicious tensor is replaced by the benign one; the more the success falls, the more
    critical it is. Backward: malicious tensors are put into the benign model, the most critical
    first, until its success is `threshold` times the malicious model's.

    Parameters
    ----------
    benign, malicious : sequence of Tensor
        The parameter tensors of both models.
    success : callable
        The backdoor's success rate for a sequence of tensors.
    threshold : float
        τ, in (0, 1].

    Returns
    -------
    list of int
        Their indices, the most critical first; empty if the benign model already succeeds as often.
    """
    full = success(malicious)
    falls = [success([*malicious[:i], benign[i], *malicious[i + 1 :]]) - full for i in range(len(malicious))]
    order = sorted(range(len(falls)), key=lambda i: falls[i])
    mixed, chosen = list(benign), list[int]()
    while success(mixed) < threshold * full and len(chosen) < len(order):
        chosen.append(order[len(chosen)])
        mixed[chosen[-1]] = malicious[chosen[-1]]
    return chosen


def success_on(
    view: AttackerView, j: int, trigger: Trigger, target: int, most: int
) -> Callable[[Sequence[Tensor]], float]:
    """Return the function that takes parameter tensors to the share of triggered images taken for `target`.

    Parameters
    ----------
    view : AttackerView
        Of an attack that knows its own data.
    j : int
        Whose data: the malicious client's number in the round. Images of the target class do not count.
    trigger : Trigger
        Stamped at the brightest value that the client's images have, channel by channel.
    target : int
        The class that the backdoor is to yield.
    most : int
        Images at most.
    """
    images, labels = view.own_data(j)
    others = images[labels != target][:most].clone()
    if not len(others):
        return lambda tensors: 0.0
    bright = images.amax(dim=(0, 2, 3))
    rows, columns = (list(axis) for axis in zip(*trigger.pixels, strict=True))
    others[:, :, rows, columns] = bright[None, :, None]

    @torch.inference_mode()
    def success(tensors: Sequence[Tensor]) -> float:
        return float((view.model.forward(list(tensors), others).argmax(1) == target).double().mean())

    return success
