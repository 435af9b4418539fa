"""Smallest maximum eigenvalue averaging (Allouah et al., 2023)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations, islice
from math import comb
from typing import TYPE_CHECKING

import numpy as np
import torch

from robustbench_fl.aggregators._distances import centred_gram
from robustbench_fl.aggregators._krum import chosen
from robustbench_fl.aggregators._rows import weighted_sum
from robustbench_fl.api import Aggregation, Aggregator, InfeasibleError, Need, ServerView, register

if TYPE_CHECKING:
    from torch import Tensor

MOST_SUBSETS = 200_000
"""Subsets gone through in a round at most."""
_CHUNK_VALUES = 2**19
"""Entries of the subsets' matrices held at a time."""


def smea(updates: Tensor, f: int) -> Tensor:
    """Average the n − f updates that spread least along the direction in which they spread most.

    Parameters
    ----------
    updates : Tensor [n, d]
        One row a client.
    f : int
        Updates left out.

    Returns
    -------
    Tensor [d]
        The mean of the subset whose covariance has the smallest top eigenvalue.

    Raises
    ------
    InfeasibleError
        Unless ``n > 2f``, or if there are too many subsets.
    """
    kept = _kept(updates, f)
    return weighted_sum(kept.to(updates.dtype) / (len(updates) - f), updates)


@register("smea", paper="Allouah 2023", year=2023, cost="n²d + C(n, f)·n³")
@dataclass(frozen=True, kw_only=True)
class SMEA(Aggregator):
    """Average the n − f updates whose covariance has the smallest top eigenvalue.

    All subsets of n − f clients are gone through, and of each the largest eigenvalue of the covariance of
    its updates is compared.

    Notes
    -----
    Needs ``n > 2f``, and refuses more than 200,000 subsets (20 clients, f = 6 are 38,760). Eigenvalues
    are exact, of matrices of n − f rows made from one Gram matrix; a subset whose eigenvalue cannot be the
    smallest, since it is at least ``Σ λ² / Σ λ``, is passed over. Of equal ones the first is taken, with
    the clients ordered by their total squared distance to all others. Time O(n² d + C(n, f) n³), extra
    memory one block of columns in float64.

    Faithfulness
    ------------
    Release: ``github.com/LPD-EPFL/byzfl`` at 69bd1ac (``byzfl/aggregators/aggregators.py``), the authors'.
    Compared: numbers, with a slow reference by singular values of whole updates, in the tests; the code of
        ByzFL line by line.
    Difference: none found from the reference.
    On purpose: exact eigenvalues, where ByzFL takes one power step from a random start, so that its answer
        is random.

    References
    ----------
    .. [1] Y. Allouah, R. Guerraoui, N. Gupta, R. Pinot and J. Stephan, "On the Privacy-Robustness-Utility
       Trilemma in Distributed Learning", ICML 2023, Section 4.
    """

    @property
    def needs(self) -> frozenset[Need]:
        """The assumed f."""
        return frozenset({Need.F})

    def infeasible(self, n_clients: int, f: int) -> str | None:
        """Fewer than half may be malicious, and the subsets must be few enough to go through."""
        return _infeasible(n_clients, f)

    def aggregate(self, updates: Tensor, view: ServerView, state: None) -> tuple[Aggregation, None]:
        """Return the mean of the subset."""
        selected = _kept(updates, view.f)
        weights = selected.to(updates.dtype) / (len(updates) - view.f)
        return Aggregation(weighted_sum(weights, updates), weights=weights, selected=selected), None


def _kept(updates: Tensor, f: int) -> Tensor:
    """Return who is averaged, a bool Tensor [n]."""
    n = len(updates)
    if reason := _infeasible(n, f):
        raise InfeasibleError(f"SMEA: {reason}.")
    gram = centred_gram(updates).cpu().numpy()
    squares = np.diagonal(gram)
    # The total squared distance to all others, up to what is the same for everybody.
    order = np.argsort(n * squares - 2 * gram.sum(1), kind="stable")
    subset = smallest_spread(gram[np.ix_(order, order)], n - f)
    return chosen(torch.from_numpy(order[subset]), n).to(updates.device)


def smallest_spread(gram: np.ndarray, size: int) -> np.ndarray:
    """Return the rows of the subset of `size` whose scatter has the smallest top eigenvalue.

    Parameters
    ----------
    gram : float64 array [n, n]
        Inner products of the rows after any vector is subtracted from all.
    size : int
        Rows of a subset.

    Returns
    -------
    int array [size]
        Ascending; of equal subsets the first in lexicographic order.
    """
    # Eigenvalues of equal subsets differ by rounding, in the measure of rows that may be in the best one.
    dust = 1e-12 * float(np.sort(np.diagonal(gram))[size - 1])
    best, least = np.arange(size), np.inf
    for subsets in _chunks(len(gram), size):
        products = gram[subsets[:, :, None], subsets[:, None, :]]
        means = products.mean(2)
        products = products - means[:, :, None] - means[:, None, :] + means.mean(1)[:, None, None]
        traces = np.einsum("sii->s", products)
        energies = np.einsum("sij,sij->s", products, products)
        bounds = np.divide(energies, traces, out=np.zeros_like(traces), where=traces > 0)
        hopeful = np.flatnonzero(bounds < least - dust)
        if not len(hopeful):
            continue
        tops = np.linalg.eigvalsh(products[hopeful])[:, -1]
        winner = int(np.flatnonzero(tops <= tops.min() + dust)[0])
        if tops[winner] < least - dust:
            least, best = float(tops[winner]), subsets[hopeful[winner]]
    return best


def _chunks(n: int, size: int) -> Iterator[np.ndarray]:
    """Yield all subsets of `size` of n, as rows of int arrays, in lexicographic order."""
    subsets = combinations(range(n), size)
    height = max(1, _CHUNK_VALUES // size**2)
    while rows := list(islice(subsets, height)):
        yield np.array(rows)


def _infeasible(n: int, f: int) -> str | None:
    if n <= 2 * f:
        return f"it needs n > 2f; n = {n}, f = {f}"
    if (subsets := comb(n, f)) > MOST_SUBSETS:
        return f"it goes through all {subsets:,} subsets of n - f clients, more than {MOST_SUBSETS:,}"
    return None
