"""FedSECA, sign election and coordinate-wise aggregation (Benjamin et al., 2025)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import torch
from annotated_types import Gt, Le

from robustbench_fl.aggregators._columns import median_of_sorted, sorted_blocks
from robustbench_fl.aggregators._magnitudes import magnitude_thresholds
from robustbench_fl.aggregators._rows import middle, row_norms, shrinking
from robustbench_fl.api import Aggregation, Aggregator, ServerView, register

if TYPE_CHECKING:
    from torch import Tensor

_BLOCK_VALUES = 2**17
"""Values in one block of columns."""

Vote = Literal["sparse", "all"]
"""Which signs agree and vote: those of the entries that a client keeps, or all."""


def fedseca(updates: Tensor, *, keep: float = 0.1, vote: Vote = "sparse") -> Tensor:
    """Elect a sign for every coordinate and average the large entries that have it.

    Parameters
    ----------
    updates : Tensor [n, d]
        One row a client.
    keep : float
        Share of each client's entries that may count, the largest ones.
    vote : {"sparse", "all"}
        Whether only their signs vote, or all.

    Returns
    -------
    Tensor [d]
        The aggregate.
    """
    least = least_kept(updates, keep)
    voting = least if vote == "sparse" else torch.zeros_like(least)
    return _aggregated(updates, concordance(updates, voting), least, voting)


def concordance(updates: Tensor, least: Tensor | None = None) -> Tensor:
    """Return how many clients each client agrees with, less those it disagrees with.

    Parameters
    ----------
    updates : Tensor [n, d]
        One row a client.
    least : Tensor [n, 1], optional
        Smallest magnitude of each client whose sign counts; by default all do.

    Returns
    -------
    float64 Tensor [n]
        ``max(0, Σ_l sgn ω_kl)`` with ``ω_kl = Σ_j sgn u_kj · sgn u_lj``, l = k included: n times the
        paper's ρ, a whole number, so that ties in the election are exact.
    """
    agreement = updates.new_zeros((len(updates), len(updates)), dtype=torch.float64)
    for columns in _blocks(updates):
        signs = _signs(updates[:, columns], least)
        agreement += (signs @ signs.T).double()  # whole numbers, exact in float32
    return agreement.sign().sum(1).clamp(min=0)


@register("fedseca", version=2, paper="Benjamin 2025", year=2025, cost="n²d")
@dataclass(frozen=True, kw_only=True)
class FedSECA(Aggregator):
    """Elect the sign of every coordinate by weighted vote; average what agrees and is large.

    A client votes with the weight ρ, the share of clients whose signs agree with its own more
    often than not, less the share of those whose do not, at least 0. Values are clipped to the median norm,
    then each magnitude to the coordinate's median magnitude; of each client only the entries that
    are its largest `keep` before that remain. A coordinate is the mean of the remaining entries with the
    elected sign, 0 if there are none.

    Parameters
    ----------
    keep : float
        Share of its entries that each client contributes, in (0, 1].
    vote : {"sparse", "all"}
        Whether agreement and election go by the signs of those entries alone, as in the authors'
        code, or by all signs, as the paper writes it and version 1 did. Most entries of an update are
        small, and their signs noise: with few classes a client the sparse vote is much the better.

    Notes
    -----
    A tie in the election elects nothing. Entries as large as the smallest one kept are kept too. The
    authors' momentum on the aggregate is left to the server. Nobody is accused; scores are 1 − ρ.
    Time O(n² d), extra memory a block of columns and the magnitudes of a few updates.

    Faithfulness
    ------------
    Release: ``github.com/JosephGeoBenjamin/FedSECA-ByzantineTolerance``, the authors', in the state
        21ae7bf of ``algorithms/federation_byz.py``.
    Compared: numbers, in the review; that state line by line.
    Difference: none found in the vote.
    On purpose: that state keeps the largest magnitudes after they are clamped, the paper and this rule
        before; the release's momentum is left to the server.
    Elsewhere: CRYPTO-KU (``github.com/CRYPTO-KU/FL-Byzantine-Library`` at 32922ca,
        ``aggregators/fedseca.py``) lets all signs vote.

    References
    ----------
    .. [1] J. G. Benjamin, M. Asokan, M. Yaqub and K. Nandakumar, "FedSECA: Sign Election and
       Coordinate-wise Aggregation of Gradients for Byzantine Tolerant Federated Learning", CVPR
       Workshops 2025, Section 3.
    """

    keep: Annotated[float, Gt(0), Le(1)] = 0.1
    vote: Vote = "sparse"

    translation: ClassVar[bool] = False
    tuning: ClassVar = {"keep": (0.05, 0.1, 0.3)}
    """The paper's tenth of the entries, half and three times as much."""

    def aggregate(self, updates: Tensor, view: ServerView, state: None) -> tuple[Aggregation, None]:
        """Return the aggregate, and one minus each client's concordance."""
        least = least_kept(updates, self.keep)
        voting = least if self.vote == "sparse" else torch.zeros_like(least)
        agreed = concordance(updates, voting)
        step = _aggregated(updates, agreed, least, voting)
        return Aggregation(step, scores=1 - agreed / len(updates)), None


def _aggregated(updates: Tensor, votes: Tensor, least: Tensor, voting: Tensor) -> Tensor:
    """Return the step, from each client's votes [n] and the least magnitudes that count and that vote."""
    norms = row_norms(updates)
    factors = shrinking(norms, middle(norms)).to(updates.dtype)[:, None]
    step = torch.empty_like(updates[0])
    for columns in _blocks(updates):
        block = updates[:, columns]
        signs = block.sign()
        elected = (votes.to(block) @ _signs(block, voting)).sign()
        magnitudes = (block * factors).abs_()
        magnitudes = magnitudes.minimum(sorted_blocks(magnitudes, median_of_sorted))
        counted = (block.abs() >= least) & (signs == elected) & (magnitudes > 0) & (elected != 0)
        total = torch.where(counted, magnitudes, 0.0).sum(0)
        step[columns] = elected * total / counted.sum(0).clamp(min=1)
    return step


def _signs(block: Tensor, least: Tensor | None) -> Tensor:
    """Return the signs of the entries of at least that magnitude, 0 for the others."""
    signs = block.sign()
    return signs if least is None else torch.where(block.abs() >= least, signs, 0.0)


def least_kept(updates: Tensor, keep: float) -> Tensor:
    """Return the smallest magnitude that each client keeps, a ``Tensor [n, 1]``."""
    d = updates.shape[1]
    count = max(1, int(keep * d + 1e-9))
    return magnitude_thresholds(updates, d - count + 1)


def _blocks(updates: Tensor) -> Iterator[slice]:
    width = max(64, _BLOCK_VALUES // len(updates))
    for start in range(0, updates.shape[1], width):
        yield slice(start, start + width)
