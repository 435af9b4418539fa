"""Krum scores, from a matrix of squared distances."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch

from robustbench_fl.api import InfeasibleError

if TYPE_CHECKING:
    from torch import Tensor

Neighbours = Literal["n-f-2", "n-f-1"]
"""How many nearest others a score sums: the paper's ``n − f − 2`` or some ports' ``n − f − 1``."""


def krum_scores(distances: Tensor, neighbours: int) -> Tensor:
    """Return the sum of the `neighbours` smallest distances to others in each row.

    Parameters
    ----------
    distances : Tensor [..., n, n]
        Squared distances; the diagonal is not looked at.
    neighbours : int
        Others counted, from 1 to ``n − 1``.

    Returns
    -------
    Tensor [..., n]
        Low for a client in the midst of others.

    Raises
    ------
    InfeasibleError
        If a client has not so many others.
    """
    n = distances.shape[-1]
    if not 1 <= neighbours < n:
        raise InfeasibleError(
            f"Krum would sum {neighbours} distances, but each of {n} clients has {n - 1} others."
        )
    # A client is never its own neighbour, also where another row equals its own.
    others = distances.clone()
    others.diagonal(dim1=-2, dim2=-1).fill_(torch.inf)
    if others.device.type == "cpu":  # for rows as short as these NumPy's sort is ten times as fast
        values = others.numpy()
        values.sort(axis=-1)
        return torch.from_numpy(values[..., :neighbours].sum(-1))
    return others.topk(neighbours, dim=-1, largest=False).values.sum(-1)


def lowest(scores: Tensor, count: int) -> Tensor:
    """Return a ``bool Tensor [..., n]`` that is true at the `count` lowest scores, the first of equals."""
    mask = torch.zeros_like(scores, dtype=torch.bool)
    return mask.scatter_(-1, scores.argsort(dim=-1, stable=True)[..., :count], True)


def neighbour_count(n: int, f: int, neighbours: Neighbours) -> int:
    """Return the number that `neighbours` stands for."""
    return n - f - 2 if neighbours == "n-f-2" else n - f - 1


def krum_picks(distances: Tensor, f: int, count: int) -> Tensor:
    """Pick by Krum again and again, each time among the rows that are left.

    Parameters
    ----------
    distances : Tensor [n, n]
        Squared distances between all rows.
    f : int
        Assumed number of malicious clients.
    count : int
        Picks, from 1 to n.

    Returns
    -------
    int64 Tensor [count]
        Indices of the rows in the order in which they were picked. With n' rows left a score sums
        ``max(1, n' − f − 2)`` distances; a single row left is picked.
    """
    left = torch.arange(len(distances), device=distances.device)
    picks = []
    for _ in range(count):
        best = 0
        if len(left) > 1:
            scores = krum_scores(distances[left][:, left], max(1, len(left) - f - 2))
            best = int(scores.argmin())
        picks.append(left[best])
        left = torch.cat((left[:best], left[best + 1 :]))
    return torch.stack(picks)


def krum_infeasible(n: int, f: int) -> str | None:
    """Return why Krum cannot bear `f` malicious of `n` clients, or ``None``."""
    if n >= 2 * f + 3:
        return None
    return f"it needs n >= 2f + 3 clients; n = {n}, f = {f} asks for {2 * f + 3}"


def chosen(indices: Tensor, n: int) -> Tensor:
    """Return a ``bool Tensor [n]`` that is true at `indices`."""
    mask = torch.zeros(n, dtype=torch.bool, device=indices.device)
    mask[indices] = True
    return mask
