"""One step of SGD for one client or for many stacked ones, and the gradients it follows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from robustbench_fl.api.model import Model
from robustbench_fl.engine.jobs import Recipe
from robustbench_fl.models.zoo.mlp import MlpModel


@dataclass(frozen=True, kw_only=True)
class Descent:
    """Parameters under training and what their steps depend on.

    Every list holds one tensor a layer parameter: of one client, or of stacked ones with a
    leading dimension.

    Parameters
    ----------
    tensors : list of Tensor
        The parameters, contiguous; changed in place by every step.
    recipe : Recipe
        Learning rate, momentum, weight decay.
    buffers : list of Tensor, optional
        Momentum buffers, zeros at the start; changed in place.
    masks : list of Tensor, optional
        Factor of every gradient coordinate.
    anchors : list of Tensor, optional
        Where the parameters were at first, which a proximal term pulls them back to.
    """

    tensors: list[Tensor]
    recipe: Recipe
    buffers: list[Tensor] | None
    masks: list[Tensor] | None
    anchors: list[Tensor] | None = None

    @classmethod
    def begin(cls, model: Model, start: Tensor, recipe: Recipe, mask: Tensor | None) -> Descent:
        """Return a descent from a copy of `start` [..., n_params].

        Parameters
        ----------
        model : Model
            Knows how flat vectors are split.
        start : Tensor [n_params] or [k, n_params]
            Not changed.
        recipe : Recipe
            Learning rate, momentum, weight decay.
        mask : Tensor like `start`, optional
            Factor of every gradient coordinate.
        """
        tensors = [t.clone(memory_format=torch.contiguous_format) for t in model.split(start)]
        buffers = [torch.zeros_like(t) for t in tensors] if recipe.momentum else None
        masks = None if mask is None else model.split(mask)
        anchors = model.split(start) if recipe.proximal_mu else None
        return cls(tensors=tensors, recipe=recipe, buffers=buffers, masks=masks, anchors=anchors)

    @property
    def plain(self) -> bool:
        """Whether a step depends on nothing but parameters and gradient."""
        return self.buffers is None and self.masks is None and self.anchors is None

    def first(self, n: int) -> Descent:
        """Return the descent of the first `n` stacked clients, on views of the same memory."""

        def cut(tensors: list[Tensor] | None) -> list[Tensor] | None:
            return None if tensors is None else [t[:n] for t in tensors]

        return Descent(
            tensors=[t[:n] for t in self.tensors],
            recipe=self.recipe,
            buffers=cut(self.buffers),
            masks=cut(self.masks),
            anchors=cut(self.anchors),
        )

    def step(self, gradients: Sequence[Tensor]) -> None:
        """Follow `gradients` of the loss once, as ``torch.optim.SGD`` does, and the proximal term."""
        recipe, moves = self.recipe, tuple(gradients)
        if self.masks is not None:
            moves = torch._foreach_mul(moves, self.masks)
        if recipe.weight_decay:
            moves = torch._foreach_add(moves, self.tensors, alpha=recipe.weight_decay)
        if self.anchors is not None:
            drift = torch._foreach_sub(self.tensors, self.anchors)
            moves = torch._foreach_add(moves, drift, alpha=recipe.proximal_mu)
        if self.buffers is not None:
            torch._foreach_mul_(self.buffers, recipe.momentum)
            torch._foreach_add_(self.buffers, moves)
            moves = tuple(self.buffers)
        torch._foreach_add_(self.tensors, moves, alpha=-recipe.lr)

    def project(self, model: Model, start: Tensor, radii: Tensor) -> None:
        """Pull the parameters back onto the ball of `radii` [] or [k] around `start` [..., n_params]."""
        origins = model.split(start)
        drift = torch._foreach_sub(self.tensors, origins)
        lead = start.dim() - 1
        squares = torch.stack([part.flatten(lead).square().sum(-1) for part in drift])
        shrink = (radii / squares.sum(0).sqrt().clamp(min=torch.finfo(start.dtype).tiny)).clamp(max=1)
        for tensor, part, origin in zip(self.tensors, drift, origins, strict=True):
            inside = origin + part * shrink.view(*shrink.shape, *[1] * (part.dim() - lead))
            # What lies inside stays as it is, to the bit.
            keep = (shrink == 1).view(*shrink.shape, *[1] * (part.dim() - lead))
            tensor.copy_(torch.where(keep, tensor, inside))

    def write_change(self, model: Model, start: Tensor, out: Tensor) -> None:
        """Write the parameters minus `start` to `out`, both flat."""
        for end, begin, part in zip(self.tensors, model.split(start), model.split(out), strict=True):
            torch.sub(end, begin, out=part)


def single_step(model: Model, descent: Descent, images: Tensor, labels: Tensor) -> None:
    """Train one client on one batch, by automatic differentiation.

    Parameters
    ----------
    model : Model
        The network.
    descent : Descent
        Of one client.
    images : Tensor [b, ...]
        A batch without padding.
    labels : int64 Tensor [b]
        What is learned.
    """
    leaves = [t.detach().requires_grad_() for t in descent.tensors]
    loss = functional.cross_entropy(model.forward(leaves, images), labels)
    gradients = torch.autograd.grad(loss, leaves)
    descent.step(gradients)


def stacked_step(model: Model, descent: Descent, images: Tensor, labels: Tensor, weights: Tensor) -> None:
    """Train k clients on one batch each, by automatic differentiation.

    Parameters
    ----------
    model : Model
        The network.
    descent : Descent
        Of k stacked clients.
    images : Tensor [k, b, ...]
        One batch a client, padding included.
    labels : int64 Tensor [k, b]
        What is learned.
    weights : Tensor [k, b]
        Of each sample in its client's loss.
    """
    leaves = [t.detach().requires_grad_() for t in descent.tensors]
    logits = model.forward_stacked(leaves, images)
    losses = functional.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none")
    # Clients share no parameters, so the gradient of the sum is every client's own. A bias that a
    # normalisation takes away again has none.
    gradients = torch.autograd.grad((losses * weights.flatten()).sum(), leaves, materialize_grads=True)
    descent.step(gradients)


def mlp_step(model: MlpModel, descent: Descent, images: Tensor, labels: Tensor, weights: Tensor) -> None:
    """Train k clients of a fully connected network on one batch each, the gradients by hand.

    Without momentum and mask the weights' gradients are never stored: each product is
    accumulated straight into the weights.

    Parameters
    ----------
    model, descent, images, labels, weights
        As in :func:`stacked_step`.
    """
    tensors = descent.tensors
    inputs = [images.flatten(2)]
    for i in range(0, len(tensors), 2):
        hidden = torch.baddbmm(tensors[i + 1].unsqueeze(1), inputs[-1], tensors[i].mT)
        inputs.append(hidden.relu_() if i + 2 < len(tensors) else hidden)
    delta = _softmax(inputs.pop())
    delta.scatter_add_(2, labels.unsqueeze(2), delta.new_full((1, 1, 1), -1.0).expand(*labels.shape, 1))
    delta *= weights.unsqueeze(2)
    gradients: list[Tensor] = []
    recipe = descent.recipe
    for i in range(len(tensors) - 2, -1, -2):
        weight, bias, layer_input = tensors[i], tensors[i + 1], inputs.pop()
        below = _through_relu(torch.bmm(delta, weight), layer_input) if i else None
        if descent.plain:
            keep = 1 - recipe.lr * recipe.weight_decay
            weight.baddbmm_(delta.mT, layer_input, beta=keep, alpha=-recipe.lr)
            bias.mul_(keep).sub_(delta.sum(dim=1), alpha=recipe.lr)
        else:
            gradients[:0] = [torch.bmm(delta.mT, layer_input), delta.sum(dim=1)]
        if below is not None:
            delta = below
    if gradients:
        descent.step(gradients)


def _through_relu(gradient: Tensor, output: Tensor) -> Tensor:
    """Return `gradient` with zeros where the layer's `output` is not above zero; a NaN lets it through.

    As masked_fill_ would, in a fifteenth of the time.
    """
    found: Tensor = torch.ops.aten.threshold_backward.default(gradient, output, 0)
    return found


def _softmax(logits: Tensor) -> Tensor:
    """Return the softmax over the last dimension; for a few classes faster than PyTorch's kernel."""
    powers = (logits - logits.amax(dim=-1, keepdim=True)).exp_()
    return powers.div_(powers.sum(dim=-1, keepdim=True))
