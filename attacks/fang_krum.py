"""Fang's attack on Krum: the farthest update against the honest direction that Krum still picks."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

import torch
from annotated_types import Gt

from robustbench_fl.api import AttackerView, register, torch_generator
from robustbench_fl.attacks._company import StatisticsAttack
from robustbench_fl.attacks._statistics import (
    centred_gram,
    centred_projections,
    column_moments,
    squared_distances,
)

if TYPE_CHECKING:
    from torch import Tensor

SMALLEST = 1e-5
"""The search for λ ends below this."""


def krum_lambda(honest: Tensor, copies: int) -> tuple[float, bool]:
    """Return the largest λ found for which Krum picks one of the copies of −λ·sign(x̄).

    λ starts at the paper's upper bound and is halved until Krum, assuming `copies` attackers,
    picks a copy from the honest updates and the copies together.

    Parameters
    ----------
    honest : Tensor [h, d]
        Honest updates, h ≥ 3.
    copies : int
        Number k of copies, at least 1.

    Returns
    -------
    scale : float
        λ; below 1e-5 if none was found.
    picked : bool
        Whether Krum picks a copy.

    Notes
    -----
    Only scalar products with sign(x̄) and x̄ enter, so no step of the search looks at d numbers.
    """
    h, d = honest.shape
    mean = column_moments(honest)[0]
    signs = mean.sign()
    gram = centred_gram(honest)
    distances, from_mean = squared_distances(gram), gram.diagonal()
    longest = max(float(row.double().norm()) for row in honest)
    nearest = distances.clone().fill_diagonal_(torch.inf).sort(1).values[:, : h - 2]
    scale = float(nearest.sqrt().sum(1).min()) / (max(h - copies - 1, 1) * math.sqrt(d))
    scale += longest / math.sqrt(d)
    along_signs, along_mean = centred_projections(honest, signs), centred_projections(honest, mean)
    square_signs, square_mean, across = signs.square().sum(), mean.square().sum(), signs @ mean
    while True:
        # u₁ − x̄ = −(λs + x̄), so ‖u_i − u₁‖² follows from products that are known.
        shift = scale**2 * square_signs + 2 * scale * across + square_mean
        to_copies = (from_mean + 2 * (scale * along_signs + along_mean) + shift).clamp(min=0)
        if picks_copy(distances, to_copies, copies):
            return scale, True
        if scale < SMALLEST:
            return scale, False
        scale /= 2


def picks_copy(distances: Tensor, to_copies: Tensor, copies: int) -> bool:
    """Whether Krum picks one of k equal crafted updates.

    Parameters
    ----------
    distances : Tensor [h, h]
        Squared distances of the honest updates.
    to_copies : Tensor [h]
        Squared distance of each from the crafted update.
    copies : int
        k; Krum assumes as many attackers, so each score sums the h − 2 nearest others.
    """
    h = len(distances)
    others = distances.clone().fill_diagonal_(torch.inf)
    honest = torch.cat([others, to_copies[:, None].expand(h, copies)], 1).sort(1).values[:, : h - 2].sum(1)
    zeros = to_copies.new_zeros(copies - 1)
    crafted = torch.cat([zeros, to_copies]).sort().values[: h - 2].sum()
    return bool(crafted < honest.min())


@register("fang_krum", aliases=("krum_attack",), paper="Fang 2020", year=2020, cost="h²d")
@dataclass(frozen=True, kw_only=True)
class FangKrum(StatisticsAttack):
    """Send the farthest step against the honest direction that Krum would pick.

    One client sends −λ·sign(x̄), the others points around it.

    Parameters
    ----------
    knows : {"colluders", "all"}
        With all honest updates λ is searched with the m crafted ones among them; with the
        colluders' alone it is searched among these, with 1, 2, … crafted ones until Krum
        picks one.
    radius : float
        ε, how far the other clients' updates lie from the first one at most.
    projected : bool
        Whether the class sums of the last layer's update are removed from what is sent.

    Notes
    -----
    A λ below 1e-5 is sent although Krum does not pick it. With fewer than three known updates
    the malicious clients train honestly.

    Faithfulness
    ------------
    Release: none was read.
    Compared: numbers, in the review.
    Difference: none found.
    On purpose: the signs are those of the mean of the known honest updates; in the paper, with full
        knowledge, those of the step that the rule would take without an attack, the malicious clients'
        own updates among its input.

    References
    ----------
    .. [1] M. Fang, X. Cao, J. Jia, N. Gong, "Local Model Poisoning Attacks to Byzantine-Robust
       Federated Learning", USENIX Security 2020, Section 4.2.
    """

    radius: Annotated[float, Gt(0)] = 0.01

    least: ClassVar[int] = 3

    family: ClassVar[str] = "fang"
    strengths: ClassVar[tuple[str, ...]] = (
        "fang_krum",
        "fang_krum(knows=all)",
    )

    def crafted(self, rows: Tensor, view: AttackerView) -> Tensor:
        """Return the step and points around it."""
        m, d = len(view.client_ids), rows.shape[1]
        scale = self._scale(rows, m)
        first = (-scale * column_moments(rows)[0].sign()).to(view.params)
        generator = torch_generator(view.rng)
        noise = torch.randn(m, d, generator=generator).to(first)
        # Uniform in the ball: the d-th root of a uniform share of its volume.
        lengths = self.radius * torch.rand(m, generator=generator).pow(1 / d).to(first)
        noise *= (lengths / noise.norm(dim=1))[:, None]
        noise[:1] = 0
        return noise.add_(first)

    def _scale(self, rows: Tensor, m: int) -> float:
        if self.knows == "all":
            return krum_lambda(rows, max(m, 1))[0]
        scale = SMALLEST
        # With h − 1 copies each has h − 2 others at distance 0, so Krum picks one at the latest then.
        for copies in range(1, len(rows)):
            scale, picked = krum_lambda(rows, copies)
            if picked:
                break
        return scale
