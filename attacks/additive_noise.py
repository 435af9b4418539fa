"""Noise on top of an honest update."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from annotated_types import Gt

from robustbench_fl.api import AttackerView, State, register, torch_generator
from robustbench_fl.attacks._projection import CraftedAttack
from robustbench_fl.attacks.gaussian import gaussian_rows

if TYPE_CHECKING:
    from torch import Tensor


@register("additive_noise", paper="Xu 2022", year=2022, cost="d")
@dataclass(frozen=True, kw_only=True)
class AdditiveNoise(CraftedAttack):
    """Send the honest update with a Gaussian vector added, each malicious client its own.

    Parameters
    ----------
    scale : float
        Norm of the noise as a multiple of the norm of the client's honest update.
    projected : bool
        Whether the class sums of the last layer's update are removed from what is sent.

    Faithfulness
    ------------
    Release: ``github.com/JianXu95/SignGuard`` at e1fcafc, the authors' own, ``noise_attack``.
    Compared: the formula, read.
    Difference: not measured.
    On purpose: the release's noise has the standard deviation 0.5 in every entry of a gradient; measured in
        honest norms it means the same on every network.

    References
    ----------
    .. [1] J. Xu, S.-L. Huang, L. Song, T. Lan, "Byzantine-robust Federated Learning through
       Collaborative Malicious Gradient Filtering", ICDCS 2022, experiments: noise attack.
    """

    scale: Annotated[float, Gt(0)] = 3.0

    strengths: ClassVar[tuple[str, ...]] = (
        "additive_noise(scale=1)",
        "additive_noise",
        "additive_noise(scale=10)",
        "additive_noise(scale=100)",
    )
    strength_parameter: ClassVar[str] = "scale"

    def sent(self, view: AttackerView, state: Any) -> tuple[Tensor, State | None]:
        """Return update and noise."""
        own: Tensor = view.own
        noise = gaussian_rows(self.scale * own.norm(dim=1), own.shape[1], torch_generator(view.rng))
        return own + noise, state
