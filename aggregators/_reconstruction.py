"""Reconstruction of client updates from a few synthetic samples (Xie et al., 2024), batched."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch

from robustbench_fl.aggregators._reconstruction_paths import Distance

if TYPE_CHECKING:
    from torch import Tensor

_GRAPH_BYTES = 256 * 2**20
"""Memory that the graphs of the clients unrolled together may take."""
_TRIAL_STEP = 0.1
"""Step size of the unroll from which automatic steps are scaled; the authors' first step."""
_EPS = 1e-9
"""Added to both squared norms of the error, as the authors do."""


@dataclass(frozen=True)
class Reconstruction:
    """What the solver found for n clients.

    Parameters
    ----------
    errors : Tensor [n]
        E of the last evaluation: ‖φ_S − w_i‖² / ‖w_t − w_i‖², 1e-9 added to both.
    iterations : int64 Tensor [n]
        Evaluations of E.
    images : Tensor [n, b, ...]
        Synthetic samples, after the last update.
    labels : Tensor [n, b, C]
        Their label logits.
    steps : Tensor [n]
        Step sizes a.
    damping : Tensor [n]
        Factor of the learning rates of images and labels, below 1 where the solver backed off.
    budget : int64 Tensor [n]
        Evaluations that were granted.
    trace : Tensor [n, K], optional
        E at every evaluation, NaN after a client stopped.
    """

    errors: Tensor
    iterations: Tensor
    images: Tensor
    labels: Tensor
    steps: Tensor
    damping: Tensor
    budget: Tensor
    trace: Tensor | None = None

    def rows(self, which: slice) -> Reconstruction:
        """Return what was found for some of the clients."""
        parts: dict[str, Any] = {
            name: None if part is None else part[which] for name, part in vars(self).items()
        }
        return Reconstruction(**parts)


@dataclass(frozen=True, kw_only=True)
class Yardstick:
    """The first rows are no clients: what they take decides the budget of the others.

    The others wait for nothing: they run beside the yardstick, and it is put away as soon as all of
    them are done, its length then known from below only.

    Parameters
    ----------
    rows : int
        How many rows, at least 1.
    multiple : float
        Budget of the others, in evaluations of the slowest of these rows, at least 1.
    least : int
        Budget of the others, however fast these rows are.
    """

    rows: int
    multiple: float
    least: int = 0

    def budget(self, iterations: Tensor) -> int:
        """Return the others' budget after `iterations` [n] of all rows."""
        return max(math.ceil(self.multiple * int(iterations[: self.rows].max())), self.least)


@dataclass(frozen=True, kw_only=True)
class Rates:
    """Rates of the solver's momentum SGD, and how it reacts to divergence.

    Parameters
    ----------
    image, label, step : float
        Learning rates of images, label logits and step size; `image` may be one a client.
    momentum : float
        Shared by the three.
    back_off : float, optional
        When E is above 1.5 and rising, or not finite, the client starts anew with its image and
        label rates divided by this, within the same budget. By default nothing is done.
    """

    image: float | Tensor
    label: float
    step: float
    momentum: float = 0.5
    back_off: float | None = None


def solve(
    distance: Distance,
    updates: Tensor,
    *,
    images: Tensor,
    labels: Tensor,
    steps: Tensor,
    rates: Rates,
    budget: Tensor,
    threshold: float = 0.6,
    early_stop: bool = True,
    record_trace: bool = False,
    chunk: int | Literal["auto"] = "auto",
    yardstick: Yardstick | None = None,
) -> Reconstruction:
    """Reconstruct n updates at once; clients that are done leave the batch, waiting ones enter.

    Parameters
    ----------
    distance : Distance
        The unrolled training, from :func:`distance_for`.
    updates : Tensor [n, P]
        Client parameters minus global ones.
    images, labels, steps : Tensor [n, b, ...], [n, b, C], [n]
        Where each client's synthetic data start. Never changed.
    rates : Rates
        Of the optimiser, whose buffers start empty.
    budget : int64 Tensor [n]
        Evaluations of E at most.
    threshold, early_stop
        A client stops as soon as E is below the threshold, its data as they are.
    record_trace : bool
        Whether to keep E of every evaluation.
    chunk : int or "auto"
        Clients unrolled together; by default as many as 256 MiB of graphs allow.
    yardstick : Yardstick, optional
        Rows from which the budget of the others follows; `budget` is what holds until it is known.

    Returns
    -------
    Reconstruction
        Errors, iterations and synthetic data.
    """
    stop = updates.new_full((len(updates),), threshold if early_stop else -torch.inf)
    if yardstick:
        stop[: yardstick.rows] = threshold
    solver = _Solver(distance, updates, images, labels, steps, rates, budget, yardstick)
    return solver.run(stop, record_trace, chunk)


def first_steps(distance: Distance, updates: Tensor, images: Tensor, labels: Tensor, factor: float) -> Tensor:
    """Return step sizes [n] that move the parameters `factor` times as far as the updates do.

    One forward unroll at a trial step, shared by all clients since their data are, is scaled.

    Parameters
    ----------
    distance : Distance
        The unrolled training.
    updates : Tensor [n, P]
        The clients' updates.
    images, labels : Tensor [b, ...], [b, C]
        First synthetic data, the same for all.
    factor : float
        c in ‖φ_S − w_t‖ = c ‖w_i − w_t‖.
    """
    with torch.no_grad():
        trial = updates.new_full((1,), _TRIAL_STEP)
        moved = distance(images[None], labels[None], trial, None).sqrt()
        wanted: Tensor = factor * torch.linalg.vector_norm(updates, dim=1)
        return wanted * _TRIAL_STEP / moved


class _Solver:
    def __init__(
        self,
        distance: Distance,
        updates: Tensor,
        images: Tensor,
        labels: Tensor,
        steps: Tensor,
        rates: Rates,
        budget: Tensor,
        yardstick: Yardstick | None,
    ) -> None:
        n = len(updates)
        self.distance = distance
        self.updates = updates
        self.norms = torch.linalg.vector_norm(updates, dim=1).square()
        self.first = (images, labels, steps)
        self.data = [images.clone(), labels.clone(), steps.clone()]
        self.momenta = [torch.zeros_like(data) for data in self.data]
        self.rates = rates
        self.image_rates = steps.new_zeros(n) + rates.image
        self.damping = steps.new_ones(n)
        self.budget = budget.clone()
        self.yardstick = yardstick
        self.errors = updates.new_full((n,), torch.nan)
        self.iterations = torch.zeros_like(budget)

    def run(self, stop: Tensor, record_trace: bool, chunk: int | Literal["auto"]) -> Reconstruction:
        n = len(self.updates)
        longest = int(self.budget.max()) if n else 0
        trace = self.errors.new_full((n, longest), torch.nan) if record_trace else None
        waiting = torch.arange(n, device=self.updates.device)[self.budget > 0]
        size = self._chunk(chunk) if n else 1
        rows, updates = waiting[:0], self.updates[:0]
        while len(waiting):
            if len(rows) != min(size, len(waiting)):
                rows = waiting[:size]
                updates = self.updates if len(rows) == n else self.updates[rows]
            errors, gradients = self._evaluate(rows, updates)
            rising = errors > self.errors[rows]
            if trace is not None:
                trace[rows, self.iterations[rows]] = errors
            self.iterations[rows] += 1
            self.errors[rows] = errors
            reached = errors < stop[rows]
            finite = errors.isfinite()
            self._update(rows[~reached], [g[~reached] for g in gradients])
            done = reached | (self.iterations[rows] >= self.budget[rows])
            if self.rates.back_off is None:
                done |= ~finite
            else:
                self._back_off(rows[~done & (~finite | ((errors > 1.5) & rising))])
            if done.any():
                waiting = torch.cat([rows[~done], waiting[len(rows) :]])
                if self.yardstick:
                    waiting = self._measured(waiting, self.yardstick)
                rows = rows[:0]
        images, labels, steps = self.data
        return Reconstruction(
            self.errors, self.iterations, images, labels, steps, self.damping, self.budget, trace
        )

    def _measured(self, waiting: Tensor, yardstick: Yardstick) -> Tensor:
        """Return who goes on, once the yardstick is measured or nobody waits for it."""
        clients = waiting[waiting >= yardstick.rows]
        if 0 < len(clients) < len(waiting):
            return waiting
        self.budget[yardstick.rows :] = yardstick.budget(self.iterations)
        return clients[self.iterations[clients] < self.budget[clients]]

    def _chunk(self, chunk: int | Literal["auto"]) -> int:
        if chunk != "auto":
            return chunk
        return max(1, _GRAPH_BYTES // self.distance.row_bytes(self.data[0], self.data[1].shape[-1]))

    def _evaluate(self, rows: Tensor, updates: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return E [m] and its gradients for the data that are learned."""
        learned = 3 if self.rates.step else 2
        leaves = [data[rows].requires_grad_(index < learned) for index, data in enumerate(self.data)]
        with torch.enable_grad():
            images, labels, steps = leaves
            errors = (self.distance(images, labels, steps, updates) + _EPS) / (self.norms[rows] + _EPS)
            gradients = torch.autograd.grad(errors.sum(), leaves[:learned])
        return errors.detach(), list(gradients)

    def _update(self, rows: Tensor, gradients: list[Tensor]) -> None:
        damping = self.damping[rows]
        constant = torch.ones_like(damping)
        rates = [self.image_rates[rows] * damping, self.rates.label * damping, self.rates.step * constant]
        for data, momenta, gradient, rate in zip(self.data, self.momenta, gradients, rates, strict=False):
            momentum = self.rates.momentum * momenta[rows] + gradient
            momenta[rows] = momentum
            data[rows] -= momentum * rate.view(-1, *[1] * (data.ndim - 1))

    def _back_off(self, rows: Tensor) -> None:
        if not len(rows):
            return
        assert self.rates.back_off is not None
        self.damping[rows] /= self.rates.back_off
        self.errors[rows] = torch.nan  # the next error has none before it to be compared with
        for data, first, momenta in zip(self.data, self.first, self.momenta, strict=True):
            data[rows] = first[rows]
            momenta[rows] = 0
