"""Each client's worker momentum, kept for the clients that have trained so far and no others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

import torch
from torch import Tensor


class Momenta:
    """What clients have learned a unit of learning rate; of those not seen yet, zeros.

    Parameters
    ----------
    nothing : Tensor [d]
        Zeros, where momenta live.
    known : mapping of int to Tensor [d], optional
        The momenta of the clients seen. Never changed.
    """

    def __init__(self, nothing: Tensor, known: Mapping[int, Tensor] = MappingProxyType({})) -> None:
        self._nothing, self.known = nothing, known

    def of(self, clients: Iterable[int]) -> Tensor:
        """Return the momenta [k, d] of `clients` [k]."""
        return torch.stack([self.known.get(int(client), self._nothing) for client in clients])

    def after(self, clients: Sequence[int], rows: Tensor) -> Momenta:
        """Return the momenta once those of `clients` [k] have become `rows` [k, d]."""
        # A tensor for each: views of one matrix would keep all of it for the last of them.
        latest = {int(client): row.clone() for client, row in zip(clients, rows, strict=True)}
        return Momenta(self._nothing, {**self.known, **latest})
