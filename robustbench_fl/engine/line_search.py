"""Rounds in which the malicious clients all send one row that moves along a line.

An attacker who searches a line asks the same rule again and again about rows of which only the
crafted ones change. What the honest rows are to each other is worked out once; a round further
along the line then takes numbers for each client, or for each coordinate, and no pass over all rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

_BLOCK_VALUES = 2**17
"""Values in one block of columns on a CPU; the block stays in the cache."""
_DEVICE_VALUES = 2**24
"""The same on other devices."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Line:
    """All rounds in which the malicious clients send ``start + x · direction``.

    Parameters
    ----------
    updates : Tensor [n, d]
        The round's rows; those of the malicious are not looked at.
    malicious : int64 Tensor [m]
        Positions of the malicious rows.
    start, direction : float64 Tensor [d]
        The line.
    origin : float64 Tensor [d]
        Subtracted from all rows before products are formed, so that a large common part of
        theirs takes no digits; where distances of the aggregate are measured from.
    """

    updates: Tensor
    malicious: Tensor
    start: Tensor
    direction: Tensor
    origin: Tensor

    def sent(self, x: float) -> Tensor:
        """Return the crafted row [d], rounded to the type of the updates as it would be sent."""
        return (self.start + x * self.direction).to(self.updates)

    @cached_property
    def honest(self) -> Tensor:
        """Positions of the honest rows, int64 [h]."""
        mask = torch.ones(len(self.updates), dtype=torch.bool, device=self.updates.device)
        mask[self.malicious] = False
        return mask.nonzero()[:, 0]

    @cached_property
    def place(self) -> Tensor:
        """Which row of the Gram matrix stands for each client, int64 [n]: for the malicious row h."""
        h = len(self.honest)
        place = torch.full((len(self.updates),), h, device=self.updates.device)
        place[self.honest] = torch.arange(h, device=place.device)
        return place

    @cached_property
    def products(self) -> Tensor:
        """Inner products of the honest rows, the start, the direction and the origin, [h + 3, h + 3].

        The rows and the start are taken from the origin. All in float64: the aggregate may come so
        close to the origin that products in float32 would not tell how close.
        """
        h = len(self.honest)
        gram = torch.zeros((h + 3, h + 3), dtype=torch.float64, device=self.updates.device)
        for columns in self._blocks(h + 3):
            origin = self.origin[columns]
            block = torch.empty((h + 3, len(origin)), dtype=torch.float64, device=origin.device)
            block[:h] = self.updates[:, columns][self.honest]
            block[h] = self.start[columns]
            block[: h + 1] -= origin
            block[h + 1] = self.direction[columns]
            block[h + 2] = origin
            gram += _squared(block)
        return gram

    @cached_property
    def distances(self) -> Tensor:
        """Squared distances between the honest clients, float64 [n, n]; zeros for the others."""
        h = len(self.honest)
        gram = self.products[:h, :h]
        squares = gram.diagonal()
        distances = gram.new_zeros((h + 1, h + 1))
        distances[:h, :h] = (squares[:, None] + squares - 2 * gram).clamp_(min=0).fill_diagonal_(0)
        return distances[self.place][:, self.place]

    @cached_property
    def ordered(self) -> list[tuple[slice, Tensor]]:
        """Blocks of columns with the honest values ascending, m times −∞ before and m times ∞ after."""
        m, found = len(self.malicious), []
        for columns in self._blocks(len(self.updates)):
            block = self.updates[:, columns][self.honest]
            padded = block.new_empty((len(block) + 2 * m, block.shape[1]))
            padded[:m], padded[len(padded) - m :] = -torch.inf, torch.inf
            padded[m : len(padded) - m] = _sorted(block)
            found.append((columns, padded))
        return found

    def _blocks(self, height: int) -> Iterator[slice]:
        values = _BLOCK_VALUES if self.updates.device.type == "cpu" else _DEVICE_VALUES
        width = max(64, values // height)
        for low in range(0, self.updates.shape[1], width):
            yield slice(low, min(low + width, self.updates.shape[1]))


class Trial:
    """One round of a :class:`Line`, as rules see it that need no rows.

    Parameters
    ----------
    line : Line
        What does not change from one round to the next.
    x : float
        How far along.
    """

    def __init__(self, line: Line, x: float) -> None:
        self._line, self._x = line, x
        self.sent = line.sent(x)

    @cached_property
    def _gram(self) -> Tensor:
        """Inner products of the honest rows, the row that is sent and the origin, [h + 2, h + 2]."""
        products, h, x = self._line.products, len(self._line.honest), self._x
        rows = products[h] + x * products[h + 1]
        rows[h] += x * rows[h + 1]  # with itself: start + x · direction on both sides
        gram = torch.cat((products[: h + 1], products[h + 2 :]))
        gram = torch.cat((gram[:, : h + 1], gram[:, h + 2 :]), 1)
        gram[h] = gram[:, h] = torch.cat((rows[: h + 1], rows[h + 2 :]))
        return gram

    @cached_property
    def distances(self) -> Tensor:
        """Squared distances between all clients, float64 [n, n]."""
        gram = self._gram[:-1, :-1]
        to_sent = (gram.diagonal() + gram[-1, -1] - 2 * gram[-1]).clamp_(min=0)
        to_sent[-1] = 0
        distances = self._line.distances.clone()
        distances[self._line.malicious] = distances.T[self._line.malicious] = to_sent[self._line.place]
        return distances

    def norms(self) -> Tensor:
        """Return the length of each client's row, float64 [n]."""
        gram = self._gram
        squares = gram.diagonal()[:-1] + 2 * gram[:-1, -1] + gram[-1, -1]
        return squares.clamp(min=0).sqrt()[self._line.place]

    def distances_from(self, weights: Tensor) -> Tensor:
        """Return each client's distance from the mean of all with the given weights, float64 [n].

        Parameters
        ----------
        weights : float64 Tensor [n]
            One number a client, summing to one.
        """
        w, gram = self._gathered(weights)[:-1], self._gram[:-1, :-1]
        products = gram @ w
        squares = gram.diagonal() - 2 * products + w @ products
        return squares.clamp(min=0).sqrt()[self._line.place]

    def distances_from_median(self) -> Tensor:
        """Return each client's distance from the coordinate-wise median, float64 [n]."""
        squares = self._gram.new_zeros(len(self._line.honest) + 1)
        for columns, ordered in self._columns():
            n = len(ordered)
            point = 0.5 * ordered[(n - 1) // 2] + 0.5 * ordered[n // 2]
            lengths = torch.linalg.vector_norm(self._line.updates[:, columns] - point, dim=1)
            squares[:-1] += lengths[self._line.honest].double().square()
            squares[-1] += torch.linalg.vector_norm(self.sent[columns] - point).double().square()
        return squares.sqrt()[self._line.place]

    def length(self, weights: Tensor) -> float:
        """Return how far ``Σ weights[i] · updates[i]`` is from the line's origin.

        Parameters
        ----------
        weights : Tensor [n]
            One number a client.
        """
        w = self._gathered(weights.double())
        return float((w @ self._gram @ w).clamp(min=0).sqrt())

    def length_of(self, reduce: Callable[[Columns], Tensor]) -> float:
        """Return how far from the line's origin an aggregate is that is made from sorted columns.

        Parameters
        ----------
        reduce : callable
            Makes of :class:`Columns` of n rows their aggregate [columns].
        """
        parts = (
            torch.linalg.vector_norm(reduce(ordered).double() - self._line.origin[columns]).square()
            for columns, ordered in self._columns()
        )
        return float(torch.stack(list(parts)).sum().sqrt())

    def _gathered(self, weights: Tensor) -> Tensor:
        """Return the weights of the rows of the Gram matrix; the last is that of the origin."""
        gathered = weights.new_zeros(len(self._gram)).index_add_(0, self._line.place, weights)
        gathered[-1] = weights.sum() - 1
        return gathered

    def _columns(self) -> Iterator[tuple[slice, Columns]]:
        for columns, padded in self._line.ordered:
            yield columns, Columns(padded, self.sent[columns], len(self._line.malicious))


class Columns:
    """Sorted columns of which m values are equal, as rows that are made when they are asked for.

    Row r of the sorted columns is the value sent, where it is not below the honest value of rank
    r − m and not above that of rank r, and else the nearer of these two.

    Parameters
    ----------
    padded : Tensor [h + 2m, columns]
        The honest values, each column ascending, between m times −∞ and m times ∞.
    sent : Tensor [columns]
        What the malicious clients send.
    m : int
        How many they are.
    """

    def __init__(self, padded: Tensor, sent: Tensor, m: int) -> None:
        self._padded, self._sent, self._m = padded, sent, m

    def __len__(self) -> int:
        """Return the number of rows n = h + m."""
        return len(self._padded) - self._m

    def __getitem__(self, rows: int | slice) -> Tensor:
        """Return one row [columns], or a range of rows [rows, columns]."""
        low, high = self._padded[: len(self)], self._padded[self._m :]
        return torch.clamp(self._sent, low[rows], high[rows])


def _squared(rows: Tensor) -> Tensor:
    """Return ``rows @ rows.T``; NumPy sees that the factors are one and computes half of it."""
    if rows.device.type != "cpu":
        return rows @ rows.T
    values = rows.numpy()
    return torch.from_numpy(values @ values.T)


def _sorted(block: Tensor) -> Tensor:
    """Return `block` with ascending columns; on a CPU by NumPy, whose sort of contiguous values is fast."""
    if block.device.type != "cpu":
        return block.sort(dim=0).values
    return torch.from_numpy(np.sort(block.T.numpy(), axis=1)).T
