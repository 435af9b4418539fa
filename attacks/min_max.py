"""Min-Max: as far from the mean as the two most distant honest updates are from each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from robustbench_fl.api import register
from robustbench_fl.attacks._perturbation import PerturbedMean, halving_search
from robustbench_fl.attacks._statistics import centred_gram, centred_projections, squared_distances

if TYPE_CHECKING:
    from torch import Tensor


def min_max_gamma(honest: Tensor, direction: Tensor, search_start: float | None = None) -> float:
    """Return the largest γ for which x̄ − γp is no outlier by its largest distance.

    That is: max_i ‖x̄ − γp − u_i‖ ≤ max_ij ‖u_i − u_j‖.

    Parameters
    ----------
    honest : Tensor [h, d]
        Honest updates u_i with mean x̄.
    direction : Tensor [d]
        The perturbation p.
    search_start : float, optional
        First γ of the published halving search; by default γ is computed in closed form.

    Returns
    -------
    float
        γ ≥ 0; 0 where p is zero.

    Examples
    --------
    Two updates 2 apart: their mean may move along the line until it is 2 from the farther one.

    >>> import torch
    >>> min_max_gamma(torch.tensor([[0.0], [2.0]]), torch.tensor([1.0]))
    1.0
    """
    gram = centred_gram(honest)
    norms = gram.diagonal()
    largest = squared_distances(gram).max()
    # ‖x̄ − γp − u_i‖² = norms_i − 2γ·against_i + γ²·power, so the bound is a quadratic in γ.
    against = -centred_projections(honest, direction)
    power = direction.double().square().sum()
    if power == 0:
        return 0.0
    if search_start is not None:
        return halving_search(
            lambda gamma: bool((norms - 2 * gamma * against + gamma**2 * power).max() <= largest),
            search_start,
        )
    room = power * (largest - norms).clamp(min=0)
    root = (against.square() + room).sqrt()
    return float(((against + root) / power).min())


@register("min_max", paper="Shejwalkar 2021", year=2021, cost="h²d")
@dataclass(frozen=True, kw_only=True)
class MinMax(PerturbedMean):
    """Send x̄ − γp, no farther from any honest update than these are from each other.

    Parameters
    ----------
    knows : {"colluders", "all"}
        Whose honest updates the statistics are of: the malicious clients' own, or those of
        all honest clients.
    perturbation : {"std", "unit", "sign"}
        p: the standard deviation (divided by h − 1), the mean over its norm, or its signs.
    search : {"exact", "paper"}
        γ in closed form, or by the published halving search, which ends within 1e-5 and
        cannot pass twice its start.
    initial_gamma : float, optional
        First γ of the published search, 10 by default; only with ``search="paper"``.
    projected : bool
        Whether the class sums of the last layer's update are removed from what is sent.

    Notes
    -----
    All malicious clients send the same. With fewer than two known updates they train honestly.

    Faithfulness
    ------------
    Release: ``github.com/vrt1shjwlkr/NDSS21-Model-Poisoning`` at f2879cd, the authors' own,
        ``cifar10/release-fedsgd-alexnet-mkrum.ipynb``; ``github.com/xyq7/FedREDefense`` at 12189f1,
        ``Client_MinMax``.
    Compared: numbers, in the review; γ with a transcription of the notebook's search, numbers.
    Difference: none with ``search=paper``; 1.9e-5 in closed form, within twice the search's tolerance, where
        the search converges.
    On purpose: γ in closed form; the published search cannot pass twice its start, which is 30 in
        FedREDefense's. Updates, as there, in place of the notebooks' gradients: σ pushes the parameters
        down here and up in the notebooks. Alone in a round FedREDefense's attacker sends zeros; here it
        then trains honestly.

    References
    ----------
    .. [1] V. Shejwalkar, A. Houmansadr, "Manipulating the Byzantine: Optimizing Model Poisoning
       Attacks and Defenses for Federated Learning", NDSS 2021, Section IV.
    """

    family: ClassVar[str] = "min_max_sum"
    strengths: ClassVar[tuple[str, ...]] = (
        "min_max",
        "min_max(perturbation=unit)",
        "min_max(perturbation=sign)",
        "min_max(knows=all)",
        "min_max(knows=all, perturbation=unit)",
        "min_max(knows=all, perturbation=sign)",
        "min_max(projected=true)",
    )

    def gamma(self, rows: Tensor, direction: Tensor) -> float:
        """Return the largest γ that Min-Max allows."""
        return min_max_gamma(rows, direction, self.search_start)
