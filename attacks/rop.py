"""Relocated orthogonal perturbation, made against clipping (Özfatura et al., 2024)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import torch
from annotated_types import Gt, Interval

from robustbench_fl.api import AttackerView, Knowledge, State, register
from robustbench_fl.attacks._projection import CraftedAttack
from robustbench_fl.attacks._statistics import column_moments, known_rows, repeated

if TYPE_CHECKING:
    from torch import Tensor


def orthogonal_ones(reference: Tensor) -> Tensor:
    """Return the unit vector of the part of (1, …, 1) that is orthogonal to `reference` [d].

    Zero where the ones are a multiple of the reference.

    Examples
    --------
    >>> orthogonal_ones(torch.tensor([2.0, 0.0])).tolist()
    [0.0, 1.0]
    """
    ones = torch.ones_like(reference)
    unit = _unit(reference)
    rest = ones - (ones @ unit) * unit
    # Of parallel vectors only rounding is left, which has no direction.
    rounding = 8 * torch.finfo(rest.dtype).eps * ones.norm()
    return _unit(rest) if rest.norm() > rounding else torch.zeros_like(rest)


def _unit(vector: Tensor) -> Tensor:
    norm = vector.norm()
    return vector / norm if norm > 0 else vector


@register("rop", paper="Özfatura 2024", year=2024, version=2, cost="hd")
@dataclass(frozen=True, kw_only=True)
class RelocatedOrthogonalPerturbation(CraftedAttack):
    """Send the last global step with a perturbation at an angle to where the model is heading.

    With g the last step of the model and x̄ the honest mean, r = λg + (1 − λ)x̄ is the
    reference, p a unit vector orthogonal to it, and

    u = πg + (1 − π)x̄ + z·(sin θ · p + cos θ · r/‖r‖).

    Parameters
    ----------
    z : float
        Length of the perturbation in median norms of the honest updates.
    angle : float
        θ in degrees; 270 is straight against p, 180 straight against the reference.
    reference : float
        λ, the share of the last step in the reference, in [0, 1].
    location : float
        π, the share of the last step in what is perturbed, in [0, 1].
    projected : bool
        Whether the class sums of the last layer's update are removed from what is sent.

    Notes
    -----
    In the first round there is no last step: g = 0, and r = x̄. Made for client momentum and
    clipping at 1; plain updates have other lengths, hence the unit of `z`. With fewer than two
    honest clients in the round the malicious ones train honestly.

    Faithfulness
    ------------
    Release: ``github.com/CRYPTO-KU/FL-Byzantine-Library`` at 32922ca, the authors' own, ``attacks/rop.py``.
    Compared: numbers, in the review (version 1); the formulas, read.
    Difference: none found but in round 0 of version 1 (0.56 relative), whose centre is now the release's.
    On purpose: updates in place of momentum; z counts median norms of the honest updates; the release has
        ALIE's z, or a given one, as an absolute length.

    References
    ----------
    .. [1] K. Özfatura, E. Özfatura, A. Küpçü, D. Gündüz, "Byzantines Can Also Learn From
       History: Fall of Centered Clipping in Federated Learning", IEEE TIFS 2024.
    """

    z: Annotated[float, Gt(0)] = 1.0
    angle: Annotated[float, Interval(ge=0, lt=360)] = 270.0
    reference: Annotated[float, Interval(ge=0, le=1)] = 0.9
    location: Annotated[float, Interval(ge=0, le=1)] = 1.0

    strengths: ClassVar[tuple[str, ...]] = (
        "rop(z=0.3)",
        "rop",
        "rop(z=3)",
        "rop(angle=180)",
    )
    strength_parameter: ClassVar[str] = "z"

    @property
    def knowledge(self) -> Knowledge:
        """All honest updates."""
        return Knowledge.ALL

    def sent(self, view: AttackerView, state: Any) -> tuple[Tensor, State | None]:
        """Return the perturbed step once for every malicious client."""
        rows = known_rows(view)
        if rows is None:
            own: Tensor = view.own
            return own, state
        mean = column_moments(rows)[0]
        last = torch.zeros_like(mean) if view.last_step is None else view.last_step.double()
        followed = mean if view.last_step is None else last
        heading = self.reference * followed + (1 - self.reference) * mean
        centre = self.location * last + (1 - self.location) * mean
        theta = math.radians(self.angle)
        turned = math.sin(theta) * orthogonal_ones(heading) + math.cos(theta) * _unit(heading)
        length = self.z * rows.norm(dim=1).quantile(0.5).double()
        return repeated(centre + length * turned, view), state
