"""The samples of many clients in one array: a client costs what is asked of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, overload

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Shares(Sequence["NDArray[np.int64]"]):
    """Arrays of positions, one a client, that lie one after another in a single array.

    A million of them take no more memory than their positions do, and none is made before it is asked for.

    Parameters
    ----------
    members : int64 array [N]
        The positions of the first client, of the second, and so on.
    sizes : int64 array [n_clients]
        How many each has; they sum to N.
    """

    def __init__(self, members: NDArray[np.int64], sizes: NDArray[np.int64]) -> None:
        self.members, self.sizes = members, sizes
        self._ends = np.cumsum(sizes)

    @classmethod
    def of(cls, parts: Sequence[NDArray[np.int64]]) -> Shares:
        """Return `parts`, one array a client, as shares."""
        if isinstance(parts, Shares):
            return parts
        sizes = np.fromiter(map(len, parts), np.int64, len(parts))
        return cls(np.concatenate(parts) if len(parts) else np.zeros(0, np.int64), sizes)

    @classmethod
    def owned(cls, owners: NDArray[np.int64], n_clients: int) -> Shares:
        """Return the sorted positions of each client in `owners` [N], which says whose each position is."""
        return cls(np.argsort(owners, kind="stable"), np.bincount(owners, minlength=n_clients))

    @property
    def owners(self) -> NDArray[np.int64]:
        """The client of each of the members, [N]."""
        return np.repeat(np.arange(len(self.sizes)), self.sizes)

    def within(self, positions: NDArray[np.int64]) -> Shares:
        """Return the shares as positions in what `positions` [N] were picked from."""
        return Shares(positions[self.members], self.sizes)

    def __len__(self) -> int:
        """Return how many clients there are."""
        return len(self.sizes)

    @overload
    def __getitem__(self, client: int) -> NDArray[np.int64]: ...
    @overload
    def __getitem__(self, client: slice) -> list[NDArray[np.int64]]: ...
    def __getitem__(self, client: int | slice) -> NDArray[np.int64] | list[NDArray[np.int64]]:
        """Return the positions of one client, or of several."""
        if isinstance(client, slice):
            return [self[c] for c in range(*client.indices(len(self)))]
        end = int(self._ends[client])
        return self.members[end - int(self.sizes[client]) : end]

    def __iter__(self) -> Iterator[NDArray[np.int64]]:
        """Yield the positions of each client."""
        begin = 0
        for end in self._ends.tolist():
            yield self.members[begin:end]
            begin = end
