"""What a partition must implement: a way of spreading a data set over clients."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class Samples:
    """What a partition may see of the samples that it spreads.

    Parameters
    ----------
    labels : int64 array [N]
        Their classes.
    n_classes : int
        Number of classes.
    columns : mapping of str to int64 array [N]
        What else is known of them, as in :class:`~robustbench_fl.api.Arrays`.
    """

    labels: NDArray[np.int64]
    n_classes: int
    columns: Mapping[str, NDArray[np.int64]] = field(default_factory=dict)


class Partition(ABC):
    """A registered way of spreading a data set over clients: a frozen dataclass of its options.

    Most decide by the labels alone and implement :meth:`split`; one that looks at further columns
    overrides :meth:`spread`.
    """

    kind: ClassVar[str] = "partitions"

    def spread(
        self, samples: Samples, n_clients: int, rng: np.random.Generator
    ) -> Sequence[NDArray[np.int64]]:
        """Return the sample indices of each client, from all that is known of the samples.

        Parameters
        ----------
        samples : Samples
            The N samples to spread.
        n_clients, rng
            As in :meth:`split`, likewise what is returned and raised.
        """
        return self.split(samples.labels, samples.n_classes, n_clients, rng)

    @abstractmethod
    def split(
        self, labels: NDArray[np.int64], n_classes: int, n_clients: int, rng: np.random.Generator
    ) -> Sequence[NDArray[np.int64]]:
        """Return the sample indices of each client.

        Parameters
        ----------
        labels : int array [N]
            Classes of the samples to spread.
        n_classes : int
            Number of classes.
        n_clients : int
            Number of clients.
        rng : numpy.random.Generator
            The split's own stream.

        Returns
        -------
        sequence of int array
            One array a client, positions in `labels`; every position is used exactly once.

        Raises
        ------
        PartitionError
            If a client would be left without samples.
        """
