"""Fang's attack on the trimmed mean: coordinates just beyond the honest ones, on the wrong side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

import torch
from annotated_types import Gt

from robustbench_fl.api import AttackerView, register, torch_generator
from robustbench_fl.attacks._company import StatisticsAttack
from robustbench_fl.attacks._statistics import column_moments

if TYPE_CHECKING:
    from torch import Tensor

DEFAULT_B = 2.0


def full_ranges(honest: Tensor, b: float = DEFAULT_B) -> tuple[Tensor, Tensor]:
    """Return the range of each coordinate where all honest updates are known.

    Parameters
    ----------
    honest : Tensor [h, d]
        Honest updates.
    b : float
        How far beyond the extreme value, as a factor > 1.

    Returns
    -------
    low, high : float64 Tensor [d]
        Below the smallest value where the mean is positive, above the largest where it is
        negative; both the mean itself where that is zero.

    Examples
    --------
    >>> low, high = full_ranges(torch.tensor([[1.0, -4.0], [3.0, -2.0]]))
    >>> low.tolist(), high.tolist()
    ([0.5, -2.0], [1.0, -1.0])
    """
    mean = column_moments(honest)[0]
    least, most = (extreme.double() for extreme in torch.aminmax(honest, dim=0))
    below = torch.where(least > 0, least / b, least * b)
    above = torch.where(most > 0, most * b, most / b)
    return _against(mean, (below, least), (most, above))


def partial_ranges(known: Tensor) -> tuple[Tensor, Tensor]:
    """Return the range of each coordinate where only some honest updates are known.

    Parameters
    ----------
    known : Tensor [h, d]
        The colluders' honest updates, with mean μ and standard deviation σ.

    Returns
    -------
    low, high : float64 Tensor [d]
        μ − 4σ to μ − 3σ where μ is positive, μ + 3σ to μ + 4σ where it is negative, both μ
        where it is zero.
    """
    mean, std = column_moments(known)
    return _against(mean, (mean - 4 * std, mean - 3 * std), (mean + 3 * std, mean + 4 * std))


def _against(
    mean: Tensor, below: tuple[Tensor, Tensor], above: tuple[Tensor, Tensor]
) -> tuple[Tensor, Tensor]:
    """Choose, coordinate by coordinate, the range against the sign of `mean`."""
    low = torch.where(mean > 0, below[0], torch.where(mean < 0, above[0], mean))
    high = torch.where(mean > 0, below[1], torch.where(mean < 0, above[1], mean))
    return low, high


@register("fang_trimmed_mean", aliases=("fang", "trim_attack"), paper="Fang 2020", year=2020, cost="hd")
@dataclass(frozen=True, kw_only=True)
class FangTrimmedMean(StatisticsAttack):
    """Send values just beyond the honest ones, against the direction of the honest mean.

    Every malicious client and coordinate is drawn anew, uniformly from a range.

    Parameters
    ----------
    knows : {"colluders", "all"}
        With the colluders' updates alone the range is 3 to 4 standard deviations from their
        mean; with all honest updates it starts at the extreme honest value.
    b : float
        With ``knows="all"``: the range ends at b times, or one b-th of, the extreme value,
        whichever lies beyond it.
    projected : bool
        Whether the class sums of the last layer's update are removed from what is sent.

    Notes
    -----
    σ divides by h − 1. With fewer than two known updates the malicious clients train honestly.

    Faithfulness
    ------------
    Release: ``github.com/xyq7/FedREDefense`` at 12189f1, ``Client_Fang``; the authors' own was not read.
    Compared: numbers, in the review; the partial form, read.
    Difference: none found.
    On purpose: with ``knows="all"`` the factor b is of updates, in the paper of local models, and the signs
        are those of the honest mean, in the paper those of the step without an attack. Alone in a round
        an attacker trains honestly; FedREDefense's sends zeros.

    References
    ----------
    .. [1] M. Fang, X. Cao, J. Jia, N. Gong, "Local Model Poisoning Attacks to Byzantine-Robust
       Federated Learning", USENIX Security 2020, Section 4.3.
    """

    b: Annotated[float, Gt(1)] = DEFAULT_B

    family: ClassVar[str] = "fang"
    strengths: ClassVar[tuple[str, ...]] = (
        "fang_trimmed_mean",
        "fang_trimmed_mean(knows=all)",
        "fang_trimmed_mean(projected=true)",
    )

    def __post_init__(self) -> None:
        """Refuse a factor that would never be used."""
        if self.b != DEFAULT_B and self.knows == "colluders":
            raise ValueError("b belongs to the form with full knowledge. Add knows=all.")

    def crafted(self, rows: Tensor, view: AttackerView) -> Tensor:
        """Return values drawn from the ranges."""
        low, high = full_ranges(rows, self.b) if self.knows == "all" else partial_ranges(rows)
        shape = (len(view.client_ids), rows.shape[1])
        drawn = torch.rand(shape, generator=torch_generator(view.rng)).to(view.params)
        # In place: m·d numbers are the largest thing here.
        return drawn.mul_((high - low).to(drawn)).add_(low.to(drawn))
