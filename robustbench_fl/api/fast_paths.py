"""What a rule may offer beside :meth:`Aggregator.aggregate`: an answer from few numbers instead of rows.

Whoever asks a rule hundreds of times a round about rows that hardly differ, as an attacker's line
search does (``optimal``), or about hundreds of small matrices at once (``gas``), finds here what does
not need a pass over all rows. A rule without a memory opts in by deriving from one of these beside
:class:`Aggregator`; a rule that does not is asked with all rows.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from torch import Tensor

    from robustbench_fl.api.aggregator import ServerView


class SortedRows(Protocol):
    """Rows r = 0 … n − 1 that hold the r-th smallest value of each column."""

    def __len__(self) -> int:
        """Return n."""

    def __getitem__(self, rows: int | slice) -> Tensor:
        """Return one row [columns], or a range of rows [rows, columns]."""


class Trial(Protocol):
    """A round of which lengths and distances are known."""

    @property
    def distances(self) -> Tensor:
        """Squared distances between all clients, float64 [n, n]."""

    def norms(self) -> Tensor:
        """Return the length of each update, float64 [n]."""

    def distances_from(self, weights: Tensor) -> Tensor:
        """Return each update's distance [n] from the mean of all with `weights` [n] that sum to one."""

    def distances_from_median(self) -> Tensor:
        """Return each update's distance from the coordinate-wise median, float64 [n]."""


class FromOrder(ABC):
    """A rule of which each coordinate follows from the sorted values of that column."""

    @abstractmethod
    def ordered_step(self, columns: SortedRows, view: ServerView) -> Tensor:
        """Return the aggregate of columns whose values are sorted.

        Parameters
        ----------
        columns : Tensor [n, columns], or what gives ranges of its rows
            Each column ascending. Only ``len`` and slices of rows may be asked for.
        view : ServerView
            As for :meth:`Aggregator.aggregate`.

        Returns
        -------
        Tensor [columns]
            The step.
        """


class FromLengths(ABC):
    """A weighted mean whose weights follow from lengths and distances of the updates."""

    @abstractmethod
    def trial_weights(self, trial: Trial, view: ServerView) -> Tensor | None:
        """Return the weights in a round of which distances are known but no rows.

        Parameters
        ----------
        trial : Trial
            The round.
        view : ServerView
            As for :meth:`Aggregator.aggregate`.

        Returns
        -------
        float64 Tensor [n] or None
            One weight a client; ``None`` if the rule, with its parameters, must see the rows.
        """


class FromDistances(FromLengths):
    """A weighted mean whose weights follow from the distances between the clients alone."""

    @abstractmethod
    def pairwise_weights(self, distances: Tensor, view: ServerView) -> Tensor | None:
        """Return the weights that follow from the distances, many rounds at once.

        Parameters
        ----------
        distances : float64 Tensor [..., n, n]
            Squared distances between every two rows; leading dimensions are separate rounds.
        view : ServerView
            As for :meth:`Aggregator.aggregate`.

        Returns
        -------
        float64 Tensor [..., n] or None
            One weight a client: the aggregate is ``weights @ updates``. ``None`` if the rule, with its
            parameters, must see the rows.
        """

    def trial_weights(self, trial: Trial, view: ServerView) -> Tensor | None:
        """Return :meth:`pairwise_weights` of the trial's distances."""
        return self.pairwise_weights(trial.distances, view)
