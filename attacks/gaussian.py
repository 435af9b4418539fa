"""Gaussian noise in place of an update."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import torch
from annotated_types import Gt

from robustbench_fl.api import AttackerView, State, register, torch_generator
from robustbench_fl.attacks._projection import CraftedAttack

if TYPE_CHECKING:
    from torch import Tensor


def gaussian_rows(norms: Tensor, n_params: int, generator: torch.Generator) -> Tensor:
    """Return Gaussian directions of given length.

    Parameters
    ----------
    norms : Tensor [m]
        Length of each row.
    n_params : int
        Length d of a row.
    generator : torch.Generator
        On the CPU.

    Returns
    -------
    Tensor [m, d]
        Like `norms`; rows are independent and uniform on spheres.
    """
    noise = torch.randn(len(norms), n_params, generator=generator).to(norms)
    rows: Tensor = noise * (norms / noise.norm(dim=1).clamp(min=torch.finfo(noise.dtype).tiny))[:, None]
    return rows


@register("gaussian", paper="Blanchard 2017", year=2017, cost="d")
@dataclass(frozen=True, kw_only=True)
class Gaussian(CraftedAttack):
    """Send a Gaussian vector, each malicious client its own.

    Parameters
    ----------
    scale : float
        Its norm as a multiple of the norm of the client's honest update.
    projected : bool
        Whether the class sums of the last layer's update are removed from what is sent.

    Notes
    -----
    The paper's noise has a fixed standard deviation; measured in honest norms it means the same
    on every network.

    Faithfulness
    ------------
    Release: none was read.
    Compared: numbers, in the review.
    Difference: none found.
    On purpose: the noise is measured in honest norms; the paper's has a fixed standard deviation.

    References
    ----------
    .. [1] P. Blanchard, E. M. El Mhamdi, R. Guerraoui and J. Stainer, "Machine Learning with
       Adversaries: Byzantine Tolerant Gradient Descent", NeurIPS 2017, experiments.
    """

    scale: Annotated[float, Gt(0)] = 10.0

    strengths: ClassVar[tuple[str, ...]] = (
        "gaussian(scale=1)",
        "gaussian",
        "gaussian(scale=100)",
    )
    strength_parameter: ClassVar[str] = "scale"

    def sent(self, view: AttackerView, state: Any) -> tuple[Tensor, State | None]:
        """Return one random vector a client."""
        own: Tensor = view.own
        norms = self.scale * own.norm(dim=1)
        return gaussian_rows(norms, own.shape[1], torch_generator(view.rng)), state
