"""Adam, without the second that the first use of torch's own costs each process.

On a CPU the numbers are those of ``torch.optim.Adam``, bit for bit.

References
----------
.. [1] D. P. Kingma, J. Ba, "Adam: A Method for Stochastic Optimization", ICLR 2015, Algorithm 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

_FIRST_DECAY, _SECOND_DECAY = 0.9, 0.999
_EPSILON = 1e-8


class Adam:
    """Moves tensors against their gradients, in place.

    Parameters
    ----------
    values : sequence of Tensor
        What moves.
    rates : float or sequence of float
        The learning rate of all, or of each.
    """

    def __init__(self, values: Sequence[Tensor], rates: float | Sequence[float]) -> None:
        self._values = values
        self._rates = [rates] * len(values) if isinstance(rates, int | float) else rates
        self._means = [(torch.zeros_like(value), torch.zeros_like(value)) for value in values]
        self._steps = 0

    def step(self, gradients: Sequence[Tensor]) -> None:
        """Move once.

        Parameters
        ----------
        gradients : sequence of Tensor
            Of what is to become smaller, one for each of the values.
        """
        self._steps += 1
        first_share, second_share = 1 - _FIRST_DECAY**self._steps, 1 - _SECOND_DECAY**self._steps
        with torch.no_grad():
            for value, rate, (first, second), gradient in zip(
                self._values, self._rates, self._means, gradients, strict=True
            ):
                first.lerp_(gradient, 1 - _FIRST_DECAY)
                second.mul_(_SECOND_DECAY).addcmul_(gradient, gradient, value=1 - _SECOND_DECAY)
                spread = (second.sqrt() / second_share**0.5).add_(_EPSILON)
                value.addcdiv_(first, spread, value=-(rate / first_share))
