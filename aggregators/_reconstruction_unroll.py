"""Distance between an update and unrolled training on synthetic samples, for any network."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

import torch

if TYPE_CHECKING:
    from torch import Tensor

    from robustbench_fl.api import Model

Stacked: TypeAlias = "Callable[[Tensor, Tensor], Tensor]"
"""``stacked(params [m, P], images [m, b, ...]) -> logits [m, b, C]``."""


def stacked_by_vmap(model: Model | Callable[[Tensor, Tensor], Tensor]) -> Stacked:
    """Return `model` as a function of stacked parameters, by ``vmap`` over the clients.

    Parameters
    ----------
    model : Model or callable
        A network of the zoo, or ``apply(params [P], images [b, ...]) -> logits [b, C]``.
    """
    apply: Callable[[Tensor, Tensor], Tensor] = getattr(model, "apply", model)  # type: ignore[arg-type]
    stacked: Stacked = torch.func.vmap(apply)
    return stacked


def stacked_by_model(model: Model) -> Stacked:
    """Return the network's own stacked forward pass (grouped convolutions, batched products)."""

    def stacked(params: Tensor, images: Tensor) -> Tensor:
        return model.forward_stacked(model.split(params), images)

    return stacked


class UnrolledDistance:
    """Squared distances after a few gradient steps whose graph is kept.

    Parameters
    ----------
    stacked : callable
        The network as a function of stacked parameters.
    start : Tensor [P]
        Parameters before the first step, shared by all clients.
    unroll_steps : int
        Gradient steps S.
    """

    def __init__(self, stacked: Stacked, start: Tensor, unroll_steps: int) -> None:
        self.stacked = stacked
        self.start = start
        self.unroll_steps = unroll_steps

    def __call__(self, images: Tensor, labels: Tensor, steps: Tensor, updates: Tensor | None) -> Tensor:
        """Return ‖φ_S − φ_0 − u‖² of each client, differentiable in all but the updates.

        Parameters
        ----------
        images : Tensor [m, b, ...]
            Synthetic samples.
        labels : Tensor [m, b, C]
            Their label logits.
        steps : Tensor [m]
            Step sizes.
        updates : Tensor [m, P] or None
            Each client's update u; ``None`` stands for zeros.

        Returns
        -------
        Tensor [m]
            Squared distances.
        """
        keep_graph = torch.is_grad_enabled()
        targets = labels.softmax(-1)
        # The displacement is summed by itself: added to the start first, a small one would lose
        # its last digits before it is compared with the update.
        moved = self.start.new_zeros(len(images), len(self.start))
        for _ in range(self.unroll_steps):
            with torch.enable_grad():
                params = self.start + moved
                if not params.requires_grad:
                    params.requires_grad_()
                log_probabilities = self.stacked(params, images).log_softmax(-1)
                loss = -(targets * log_probabilities).mean((1, 2)).sum()
                (gradient,) = torch.autograd.grad(loss, params, create_graph=keep_graph)
            moved = moved - steps[:, None] * gradient
        return (moved if updates is None else moved - updates).square().sum(1)

    def row_bytes(self, images: Tensor, n_classes: int) -> int:
        """Return roughly what the graph of one client takes, from one forward pass of one client."""
        sizes: dict[int, int] = {}

        def note(tensor: Tensor) -> Tensor:
            sizes[tensor.data_ptr()] = tensor.numel() * tensor.element_size()
            return tensor

        params = self.start[None].clone().requires_grad_()
        with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            self.stacked(params, images[:1].clone().requires_grad_()).log_softmax(-1)
        parameters = 6 * self.unroll_steps * self.start.numel() * self.start.element_size()
        return parameters + _GRAPH_COPIES * self.unroll_steps * sum(sizes.values())


_GRAPH_COPIES = 4
"""Graph of one step with its gradient, in graphs of a forward pass; measured 2.5 to 4."""
