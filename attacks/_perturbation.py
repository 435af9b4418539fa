"""What Min-Max and Min-Sum share: x̄ − γp with the largest γ that stays inconspicuous."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from annotated_types import Interval

from robustbench_fl.api import AttackerView
from robustbench_fl.attacks._company import StatisticsAttack
from robustbench_fl.attacks._statistics import column_moments, repeated

if TYPE_CHECKING:
    from torch import Tensor

Perturbation = Literal["std", "unit", "sign"]

PAPER_START = 10.0
"""First γ of the published search."""


def perturbation_vector(mean: Tensor, std: Tensor, kind: Perturbation) -> Tensor:
    """Return the direction p [d] in which the mean is moved away.

    Parameters
    ----------
    mean, std : Tensor [d]
        Of the known honest updates.
    kind : {"std", "unit", "sign"}
        The standard deviation, the mean over its norm, or the signs of the mean.
    """
    if kind == "std":
        return std
    if kind == "sign":
        return mean.sign()
    norm = mean.norm()
    return mean / norm if norm > 0 else mean


def halving_search(
    allowed: Callable[[float], bool], start: float = PAPER_START, tolerance: float = 1e-5
) -> float:
    """Return the largest allowed γ as the published search finds it.

    Parameters
    ----------
    allowed : callable
        Whether a γ is inconspicuous.
    start : float
        First γ; steps are half of it, a quarter …, so the result stays below twice `start`.
    tolerance : float
        The search ends when γ is this close to the last one that was allowed.

    References
    ----------
    .. [1] V. Shejwalkar, A. Houmansadr, "Manipulating the Byzantine: Optimizing Model Poisoning
       Attacks and Defenses for Federated Learning", NDSS 2021, Algorithm 1.
    """
    gamma, step, best = start, start / 2, 0.0
    while abs(best - gamma) > tolerance:
        if allowed(gamma):
            best = gamma
            gamma += step
        else:
            gamma -= step
        step /= 2
    return best


@dataclass(frozen=True, kw_only=True)
class PerturbedMean(StatisticsAttack):
    """Base of Min-Max and Min-Sum.

    Parameters
    ----------
    knows : {"colluders", "all"}
        Whose honest updates the statistics are of.
    perturbation : {"std", "unit", "sign"}
        Direction in which the mean is moved away.
    search : {"exact", "paper"}
        Closed form of γ, or the published halving search.
    initial_gamma : float, optional
        First γ of the published search, 10 by default; only with ``search="paper"``.
    projected : bool
        Whether the class sums of the last layer's update are removed from what is sent.
    """

    perturbation: Perturbation = "std"
    search: Literal["exact", "paper"] = "exact"
    initial_gamma: Annotated[float, Interval(gt=0, le=1e30)] | None = None

    def __post_init__(self) -> None:
        """Refuse a start for a search that does not take place."""
        if self.initial_gamma is not None and self.search != "paper":
            raise ValueError("initial_gamma is the start of the published search. Add search=paper.")

    def crafted(self, rows: Tensor, view: AttackerView) -> Tensor:
        """Return x̄ − γp once for every malicious client."""
        mean, std = column_moments(rows)
        direction = perturbation_vector(mean, std, self.perturbation)
        gamma = self.gamma(rows, direction)
        return repeated(mean - gamma * direction, view)

    @property
    def search_start(self) -> float | None:
        """First γ of the search, ``None`` for the closed form."""
        if self.search == "exact":
            return None
        return PAPER_START if self.initial_gamma is None else self.initial_gamma

    @abstractmethod
    def gamma(self, rows: Tensor, direction: Tensor) -> float:
        """Return the largest inconspicuous γ for the known `rows` [h, d] and `direction` [d]."""
