"""Reconstruction of given client models, for whoever has models and no rule."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

import torch

from robustbench_fl.aggregators._reconstruction import Rates, Reconstruction, solve
from robustbench_fl.aggregators._reconstruction_paths import Path, distance_for

if TYPE_CHECKING:
    from torch import Tensor

    from robustbench_fl.api import Model


def reconstruct(
    model: Model | Callable[[Tensor, Tensor], Tensor],
    start: Tensor,
    ends: Tensor,
    *,
    images: Tensor,
    labels: Tensor,
    step: float | Tensor,
    lr_image: float | Tensor,
    lr_label: float,
    lr_step: float,
    momentum: float = 0.5,
    unroll_steps: int = 5,
    budget: int | Tensor,
    threshold: float = 0.6,
    early_stop: bool = True,
    record_trace: bool = False,
    back_off: float | None = None,
    path: Path = "auto",
    chunk: int | Literal["auto"] = "auto",
) -> Reconstruction:
    """Re-create client models by a few training steps on learned samples, all clients at once.

    Parameters
    ----------
    model : Model or callable
        A network of the zoo, or ``apply(params [P], images [b, ...]) -> logits [b, C]``.
    start : Tensor [P]
        Global parameters before the round.
    ends : Tensor [n, P]
        The clients' parameters after it.
    images : Tensor [b, ...] or [n, b, ...]
        Synthetic samples to start from, shared or one set a client. If n = b and a function
        leaves both readings open, they are taken as shared exactly if `labels` are.
    labels : Tensor [b, C] or [n, b, C]
        Their label logits.
    step : float or Tensor [n]
        First step size a.
    lr_image, lr_label, lr_step : float
        Learning rates of images, logits and step size; `lr_image` may be one a client.
    momentum : float
        Of the SGD on all three; its buffers start empty.
    unroll_steps : int
        Gradient steps S that must lead from `start` to `ends`.
    budget : int or Tensor [n]
        Evaluations of E at most.
    threshold : float
        A client with E below it stops at once, with its data as they are.
    early_stop : bool
        If false, everybody uses the whole budget.
    record_trace : bool
        Whether to return E of every evaluation.
    back_off : float, optional
        Start a client anew with its image and label rates divided by this whenever E is above
        1.5 and rising. Not in the paper.
    path : {"auto", "vmap", "stacked", "lowrank"}
        How to unroll; all are exact.
    chunk : int or "auto"
        Clients unrolled together, by default as many as 256 MiB of graphs allow.

    Returns
    -------
    Reconstruction
        ``errors [n]``, ``iterations [n]``, ``images``, ``labels``, ``steps`` and, with
        `record_trace`, ``trace [n, K]``.

    Raises
    ------
    UsageError
        If the network has not what `path` needs.
    """
    n = len(ends)
    return solve(
        distance_for(model, start, unroll_steps, path),
        ends - start,
        images=images if _per_client(model, images, labels, n) else images.expand(n, *images.shape),
        labels=labels if labels.ndim == 3 else labels.expand(n, *labels.shape),
        steps=torch.as_tensor(step, dtype=start.dtype, device=start.device).expand(n),
        rates=Rates(image=lr_image, label=lr_label, step=lr_step, momentum=momentum, back_off=back_off),
        budget=torch.as_tensor(budget, dtype=torch.int64, device=start.device).expand(n),
        threshold=threshold,
        early_stop=early_stop,
        record_trace=record_trace,
        chunk=chunk,
    )


def _per_client(model: object, images: Tensor, labels: Tensor, n: int) -> bool:
    """Whether `images` have one set a client."""
    shape = getattr(model, "input_shape", None)
    if shape is not None:
        return images.ndim == len(shape) + 2
    samples = labels.shape[-2]
    return tuple(images.shape[:2]) == (n, samples) and (n != samples or labels.ndim == 3)
