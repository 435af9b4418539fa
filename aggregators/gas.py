"""Gradient splitting (Liu et al., 2023)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated, ClassVar

import torch
from annotated_types import Ge

from robustbench_fl.aggregators._distances import stacked_distances
from robustbench_fl.aggregators._inner import inner_rule
from robustbench_fl.aggregators._krum import chosen
from robustbench_fl.aggregators._rows import weighted_sum
from robustbench_fl.api import (
    Aggregation,
    Aggregator,
    FromDistances,
    InfeasibleError,
    Need,
    ServerSpec,
    ServerView,
    register,
)

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

_BATCH_VALUES = 2**17
"""Values of shuffled columns, and of distances in them, looked at together."""
_PASSED_ON = frozenset({Need.F, Need.SAMPLE_COUNTS, Need.RAW})
"""What an inner rule may need: nothing that is as long as an update, and no memory."""


def gas(
    updates: Tensor,
    f: int,
    rule: Callable[[Tensor], Tensor],
    rng: np.random.Generator,
    *,
    chunks: int = 1000,
) -> Tensor:
    """Average the n − f updates nearest to what a rule makes of random chunks of the coordinates.

    Parameters
    ----------
    updates : Tensor [n, d]
        One row a client.
    f : int
        Updates left out, less than n.
    rule : callable
        ``rule(Tensor [n, width]) -> Tensor [width]``, for example ``lambda rows: multi_krum(rows, f)``.
    rng : numpy.random.Generator
        Shuffles the coordinates.
    chunks : int
        As for :class:`GAS`.

    Returns
    -------
    Tensor [d]
        The mean of the updates whose summed distance from the rule's answers is lowest.

    Raises
    ------
    InfeasibleError
        If ``f >= n``.
    """
    if reason := _infeasible(len(updates), f):
        raise InfeasibleError(f"Gradient splitting: {reason}.")

    def answers(stack: Tensor) -> Tensor:
        return torch.stack([rule(chunk) for chunk in stack])

    return _outcome(updates, f, answers, rng, chunks).aggregate


@register("gas", aliases=("gradient_splitting",), paper="Liu 2023", year=2023, cost="n²d")
@dataclass(frozen=True, kw_only=True)
class GAS(Aggregator):
    """Let a rule aggregate random chunks of the coordinates; average those nearest to its answers.

    The coordinates are shuffled and cut into chunks. In each the inner rule gives an aggregate, and
    each update's distance from it in that chunk is added to its score. The n − f updates of lowest
    score are averaged.

    Parameters
    ----------
    chunks : int
        Number of chunks at most: as in the authors' release they have ⌈d / chunks⌉ coordinates each,
        the last one fewer, which may take fewer chunks.
    inner : str
        The rule asked in each chunk: the name of any without a memory, ``multi_krum`` or ``bulyan``
        in the paper, also with parameters and after pre-aggregators, ``"nnm > median"``.

    Notes
    -----
    Feasible where the inner rule is, with at least one client left. The release's Krum is this project's
    ``multi_krum`` (it sorts a client's distance to itself, which is 0, into the sum); its Bulyan scores once.
    The declared facts hold for the default. Time that of the inner rule over all chunks and O(n d),
    extra memory a block of columns.

    Faithfulness
    ------------
    Release: ``github.com/YuchenLiu-a/byzantine-gas`` at ff1e544, ``server/base.py`` and
        ``server/agg_funs.py``, the authors'.
    Compared: numbers, in the review; its Krum with ``multi_krum``, 60 random rounds; both inner rules with a
        transcription of the release, given its chunks, numbers, 12 rounds, n = 20, d = 600.
    Difference: ``multi_krum``: 2e-7 of the largest entry, the same clients in all rounds; ``bulyan``: in 8
        of 12.
    On purpose: ``inner=bulyan`` is Bulyan as published. The release's scores once, and averages the distances
        from the median in place of the values.

    References
    ----------
    .. [1] Y. Liu, C. Chen, L. Lyu, F. Wu, S. Wu and G. Chen, "Byzantine-Robust Learning on
       Heterogeneous Data via Gradient Splitting", ICML 2023, Algorithm 1.
    """

    chunks: Annotated[int, Ge(1)] = 1000
    inner: str = "multi_krum"

    tuning: ClassVar = {"chunks": (100, 1000, 10_000)}
    """The release's 1000, and ten times fewer and more."""

    def __post_init__(self) -> None:
        """Refuse an inner rule that cannot be asked about a chunk."""
        rule = inner_rule(self.inner, "inner")
        if asked := rule.needs - _PASSED_ON:
            raise ValueError(f"inner={self.inner} needs {', '.join(sorted(asked))}, which a chunk has not")
        if rule.baseline is not None:
            raise ValueError(f"inner={self.inner} is a baseline, not a rule")

    @property
    def needs(self) -> frozenset[Need]:
        """The assumed f, and what the inner rule needs."""
        return (inner_rule(self.inner, "inner").needs | {Need.F}) - {Need.RAW}

    def infeasible(self, n_clients: int, f: int) -> str | None:
        """As the inner rule; somebody must be left."""
        if own := _infeasible(n_clients, f):
            return own
        reason = inner_rule(self.inner, "inner").infeasible(n_clients, f)
        return reason and f"{self.inner}: {reason}"

    def aggregate(self, updates: Tensor, view: ServerView, state: None) -> tuple[Aggregation, None]:
        """Return the mean of the lowest scores, and all scores."""
        rule = inner_rule(self.inner, "inner")
        inner_view = view.narrowed(rule.needs)
        return _outcome(updates, view.f, partial(_asked, rule, inner_view), view.rng, self.chunks), None


def _asked(rule: Aggregator, view: ServerView, stack: Tensor) -> Tensor:
    """Return what `rule` makes of each chunk of `stack` [c, n, width], a Tensor [c, width]."""
    c, n, width = stack.shape

    def answer(rows: Tensor) -> Tensor:
        spec = ServerSpec(n_clients=n, n_params=rows.shape[1], layer_shapes=())
        return rule.aggregate(rows, view, rule.init_state(spec))[0].aggregate

    if rule.coordinatewise:
        return answer(stack.transpose(0, 1).reshape(n, c * width)).view(c, width)
    if isinstance(rule, FromDistances):
        weights = rule.pairwise_weights(stacked_distances(stack), view)
        if weights is not None:
            return torch.bmm(weights[:, None].to(stack), stack)[:, 0]
    return torch.stack([answer(chunk) for chunk in stack])


def _outcome(
    updates: Tensor, f: int, answers: Callable[[Tensor], Tensor], rng: np.random.Generator, chunks: int
) -> Aggregation:
    n, d = updates.shape
    scores = updates.new_zeros(n, dtype=torch.float64)
    for stack in _stacks(updates, -(-d // chunks), rng):
        differences = stack.double() - answers(stack).double()[:, None]
        scores += torch.linalg.vector_norm(differences, dim=2).sum(0)
    selected = chosen(scores.argsort(stable=True)[: n - f], n)
    weights = selected.to(updates.dtype) / (n - f)
    return Aggregation(weighted_sum(weights, updates), weights=weights, selected=selected, scores=scores)


def _stacks(updates: Tensor, width: int, rng: np.random.Generator) -> Iterator[Tensor]:
    """Yield the columns of `updates` in random order as chunks [c, n, width], many at a time.

    The last chunk, if it is narrower, comes alone.
    """
    n, d = updates.shape
    order = torch.from_numpy(rng.permutation(d)).to(updates.device)
    step = width * max(1, _BATCH_VALUES // (n * (n + width)))
    whole = d - d % width
    for start, stop in [(s, min(s + step, whole)) for s in range(0, whole, step)] + [(whole, d)]:
        if start < stop:
            gathered = updates.index_select(1, order[start:stop])
            yield gathered.view(n, -1, min(width, stop - start)).transpose(0, 1).contiguous()


def _infeasible(n: int, f: int) -> str | None:
    return None if f < n else f"it averages n - f updates; n = {n}, f = {f} leaves none"
