"""An attacker's own training, step by step: its loss is not the engine's."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor


class Sgd:
    """Stochastic gradient descent on a flat vector, in the form of ``torch.optim.SGD``.

    Parameters
    ----------
    weights : Tensor [d]
        Where it starts; not changed.
    momentum, decay : float
        Momentum and weight decay.

    Attributes
    ----------
    weights : Tensor [d]
        Where it has come to; may be set, to project it.

    Examples
    --------
    >>> sgd = Sgd(torch.tensor([1.0]), momentum=0.5)
    >>> for _ in range(2):
    ...     sgd.step(lambda w: (w**2).sum(), rate=0.25)
    >>> sgd.weights  # 1 − 0.25·2 = 0.5; 0.5 − 0.25·(0.5·2 + 1) = 0
    tensor([0.])
    """

    def __init__(self, weights: Tensor, momentum: float = 0.0, decay: float = 0.0) -> None:
        self.weights = weights.detach()
        self._velocity = torch.zeros_like(self.weights)
        self._momentum, self._decay = momentum, decay

    def step(self, loss: Callable[[Tensor], Tensor], rate: float, free: Tensor | None = None) -> None:
        """Go one step down `loss`, which takes weights [d] to a number; only where `free` [d], if given."""
        leaf = self.weights.clone().requires_grad_()
        with torch.enable_grad():
            (gradient,) = torch.autograd.grad(loss(leaf), leaf)
        moves = gradient + self._decay * self.weights
        self._velocity = self._momentum * self._velocity + (moves if free is None else moves * free)
        self.weights = self.weights - rate * self._velocity
