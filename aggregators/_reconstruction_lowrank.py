"""Distance between an update and unrolled training of an MLP, without forming large stepped weights."""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor


class LowRankDistance:
    """Squared distances for ReLU networks of fully connected layers, also none hidden.

    b samples make gradients of rank b. After some steps the weight of a layer is
    W₀ − a Σ_t D_tᵀ A_t with inputs A_t [b, in] and deltas D_t [b, out], so with the steps' inputs
    and deltas stacked into A and D

    * pre-activations are A_s W₀ᵀ + b₀ − a (A_s Aᵀ + 1) D,
    * back-propagated deltas are D_s W₀ − a (D_s Dᵀ) A,
    * the displacement V has ⟨V, u⟩ = −a Σ (D u) ⊙ A and ‖V‖² = a² Σ (D Dᵀ) ⊙ (A Aᵀ + 1),

    the ones standing for the bias. W₀ is shared by all clients, and the first layer's inputs are
    the images at every step, so that its deltas add up. A layer that is smaller than its stacked
    inputs and deltas (the last one, mostly) keeps Σ_t D_tᵀ A_t instead. The deltas are written
    out, hence one ordinary backward pass differentiates everything. Same numbers as the unroll,
    to rounding.

    Parameters
    ----------
    widths : sequence of int
        Input, hidden and output widths.
    start : Tensor [P]
        Parameters before the first step: weight [out, in], bias [out] of each layer in turn.
    unroll_steps : int
        Gradient steps S.
    """

    def __init__(self, widths: Sequence[int], start: Tensor, unroll_steps: int) -> None:
        self.widths = tuple(widths)
        self.start = start
        self.unroll_steps = unroll_steps
        self._params = _by_layer(start, self.widths)

    def __call__(self, images: Tensor, labels: Tensor, steps: Tensor, updates: Tensor | None) -> Tensor:
        """Return ‖φ_S − φ_0 − u‖² of each client; see :class:`UnrolledDistance`."""
        layers = self._unroll(images.flatten(2), labels, steps[:, None, None])
        distance = steps.square() * sum(layer.square() for layer in layers)
        if updates is None:
            return distance
        parts = zip(layers, _by_layer(updates, self.widths), strict=True)
        product = sum(layer.product(weight, bias) for layer, (weight, bias) in parts)
        norms: Tensor = torch.linalg.vector_norm(updates, dim=1)
        return distance + 2 * steps * product + norms.square()

    def row_bytes(self, images: Tensor, n_classes: int) -> int:
        """Return roughly what the graph of one client takes."""
        samples = images.shape[1]
        stacked = self.unroll_steps * samples * sum(self.widths)
        return (self.start.numel() + 4 * self.unroll_steps * stacked) * self.start.element_size()

    def _unroll(self, images: Tensor, labels: Tensor, rate: Tensor) -> list[_Moving]:
        """Return the layers after all steps."""
        layers: list[_Moving] = [_First(*self._params[0], rate, images)]
        rows = self.unroll_steps * images.shape[1]
        for weight, bias in self._params[1:]:
            small = weight.numel() < rows * sum(weight.shape)
            layers.append((_Formed if small else _Stacked)(weight, bias, rate))
        targets = labels.softmax(-1)
        for _ in range(self.unroll_steps):
            inputs, active, z = [images], [], layers[0].forward(images)
            for layer in layers[1:]:
                active.append((z > 0).to(z.dtype))  # a product with booleans is slower
                inputs.append(z.relu())
                z = layer.forward(inputs[-1])
            deltas = [(z.softmax(-1) - targets) / targets.shape[1:].numel()]
            for layer, mask in zip(layers[:0:-1], active[::-1], strict=True):
                deltas.append(layer.back(deltas[-1]) * mask)
            for layer, x, delta in zip(layers, inputs, deltas[::-1], strict=True):
                layer.add(x, delta)
        return layers


class _Moving(ABC):
    """A layer whose weight [out, in] and bias [out] have moved by −a G, differently for each client."""

    def __init__(self, weight: Tensor, bias: Tensor, rate: Tensor) -> None:
        self.weight = weight
        self.bias = bias
        self.rate = rate

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """Return the pre-activations [m, b, out] of `x` [m, b, in]."""

    def back(self, delta: Tensor) -> Tensor:
        """Return the gradient [m, b, in] at the input, from that at the output."""
        raise NotImplementedError("The first layer is never asked: nothing lies before it.")

    @abstractmethod
    def add(self, x: Tensor, delta: Tensor) -> None:
        """Add one step's gradient."""

    @abstractmethod
    def square(self) -> Tensor:
        """Return ‖G‖² [m]."""

    @abstractmethod
    def product(self, weight: Tensor, bias: Tensor) -> Tensor:
        """Return ⟨G, u⟩ [m] with the layer's part of each update."""


class _First(_Moving):
    """The first layer: its inputs are the same at every step, so its deltas are summed."""

    def __init__(self, weight: Tensor, bias: Tensor, rate: Tensor, images: Tensor) -> None:
        super().__init__(weight, bias, rate)
        self.images = images
        self.gram = images @ images.mT + 1
        self.scaled_gram = rate * self.gram
        self.base = torch.nn.functional.linear(images, weight, bias)
        self.deltas: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        if self.deltas is None:
            return self.base
        return torch.baddbmm(self.base, self.scaled_gram, self.deltas, alpha=-1)

    def add(self, x: Tensor, delta: Tensor) -> None:
        self.deltas = delta if self.deltas is None else self.deltas + delta

    def square(self) -> Tensor:
        assert self.deltas is not None
        return ((self.deltas @ self.deltas.mT) * self.gram).sum((1, 2))

    def product(self, weight: Tensor, bias: Tensor) -> Tensor:
        assert self.deltas is not None
        return ((self.deltas @ weight) * self.images).sum((1, 2)) + (self.deltas.sum(1) * bias).sum(1)


class _Stacked(_Moving):
    """A large layer: inputs and deltas of all steps, one under the other."""

    inputs: Tensor | None = None
    deltas: Tensor

    def forward(self, x: Tensor) -> Tensor:
        z = torch.nn.functional.linear(x, self.weight, self.bias)
        if self.inputs is None:
            return z
        return torch.baddbmm(z, self.rate * (x @ self.inputs.mT + 1), self.deltas, alpha=-1)

    def back(self, delta: Tensor) -> Tensor:
        gradient = delta @ self.weight
        if self.inputs is None:
            return gradient
        return torch.baddbmm(gradient, self.rate * (delta @ self.deltas.mT), self.inputs, alpha=-1)

    def add(self, x: Tensor, delta: Tensor) -> None:
        first = self.inputs is None
        self.deltas = delta if first else torch.cat([self.deltas, delta], 1)
        self.inputs = x if self.inputs is None else torch.cat([self.inputs, x], 1)

    def square(self) -> Tensor:
        assert self.inputs is not None
        return ((self.deltas @ self.deltas.mT) * (self.inputs @ self.inputs.mT + 1)).sum((1, 2))

    def product(self, weight: Tensor, bias: Tensor) -> Tensor:
        assert self.inputs is not None
        return ((self.deltas @ weight) * self.inputs).sum((1, 2)) + (self.deltas.sum(1) * bias).sum(1)


class _Formed(_Moving):
    """A small layer: the summed gradient itself."""

    gradient: Tensor | None = None
    bias_gradient: Tensor

    def forward(self, x: Tensor) -> Tensor:
        if self.gradient is None:
            return torch.nn.functional.linear(x, self.weight, self.bias)
        bias = self.bias - self.rate * self.bias_gradient
        return torch.baddbmm(bias, x, self._stepped().mT)

    def back(self, delta: Tensor) -> Tensor:
        return delta @ (self.weight if self.gradient is None else self._stepped())

    def add(self, x: Tensor, delta: Tensor) -> None:
        bias_gradient = delta.sum(1, keepdim=True)
        if self.gradient is None:
            self.gradient, self.bias_gradient = delta.mT @ x, bias_gradient
        else:
            self.gradient = torch.baddbmm(self.gradient, delta.mT, x)
            self.bias_gradient = self.bias_gradient + bias_gradient
        self._current = None

    def square(self) -> Tensor:
        assert self.gradient is not None
        return self.gradient.square().sum((1, 2)) + self.bias_gradient.square().sum((1, 2))

    def product(self, weight: Tensor, bias: Tensor) -> Tensor:
        assert self.gradient is not None
        return (self.gradient * weight).sum((1, 2)) + (self.bias_gradient[:, 0] * bias).sum(1)

    _current: Tensor | None = None

    def _stepped(self) -> Tensor:
        """Return the weight [m, out, in] after the steps so far, formed once a step."""
        assert self.gradient is not None
        if self._current is None:
            self._current = torch.addcmul(self.weight, self.rate, self.gradient, value=-1)
        return self._current


def _by_layer(params: Tensor, widths: tuple[int, ...]) -> list[tuple[Tensor, Tensor]]:
    """Return weight [..., out, in] and bias [..., out] of each layer as views of `params` [..., P]."""
    layers, at = [], 0
    for before, after in itertools.pairwise(widths):
        weight = params[..., at : at + after * before].view(*params.shape[:-1], after, before)
        at += after * before
        layers.append((weight, params[..., at : at + after]))
        at += after
    return layers
