"""A little is enough: shift the mean by less than the honest spread (Baruch et al., 2019)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from annotated_types import Gt

from robustbench_fl.api import AttackerView, register
from robustbench_fl.attacks._company import StatisticsAttack
from robustbench_fl.attacks._shift import Z_MIN, alie_z
from robustbench_fl.attacks._statistics import column_moments, repeated

if TYPE_CHECKING:
    from torch import Tensor


@register("alie", aliases=("little_is_enough",), paper="Baruch 2019", year=2019, version=2, cost="hd")
@dataclass(frozen=True, kw_only=True)
class Alie(StatisticsAttack):
    """Send x̄ − zσ, the mean shifted by z standard deviations in every coordinate.

    Parameters
    ----------
    z : float, optional
        Number of standard deviations; by default as many as still hide, :func:`alie_z`.
    z_min : float
        Number used, with a warning, where the formula's is less (few malicious clients); only
        where `z` is not given.
    sign : {-1, 1}
        Whether the parameters are pushed down (−1) or up (1), all alike whatever the direction of
        the mean.
    knows : {"all", "colluders"}
        Whose honest updates the statistics are of: those of all honest clients, or the
        malicious clients' own.
    projected : bool
        Whether the class sums of the last layer's update are removed from what is sent.

    Notes
    -----
    σ divides by h − 1. All malicious clients send the same. With fewer than two known updates
    they train honestly.

    The paper's formula is of gradients, and an update is −η times a gradient: taking zσ from the
    mean gradient raises all parameters (``sign=1``), taking it from the mean update, as here by
    default, lowers them. One is the other mirrored.

    Faithfulness
    ------------
    Release: ``github.com/moranant/attacking_distributed_learning`` at 7c4f5eb, the authors' own.
    Compared: numbers, in the review; the formulas of the release's ``malicious.py``, read.
    Difference: none found in the review; the release divides σ by h.
    On purpose: updates in place of gradients; the statistics are of all honest updates, in the paper and
        the release of the malicious clients' own (``knows=colluders``); never less than `z_min`, where the
        formula gives less for few malicious clients; z = 3 for a malicious majority. The release is
        given z by hand.
    Elsewhere: CRYPTO-KU's FL-Byzantine-Library (32922ca, ``attacks/alie.py``) sends the formula's z
        also where it is negative.

    References
    ----------
    .. [1] M. Baruch, G. Baruch, Y. Goldberg, "A Little Is Enough: Circumventing Defenses For
       Distributed Learning", NeurIPS 2019, Algorithm 3.
    """

    z: Annotated[float, Gt(0)] | None = None
    z_min: Annotated[float, Gt(0)] = Z_MIN
    sign: Literal[-1, 1] = -1
    knows: Literal["colluders", "all"] = "all"

    strengths: ClassVar[tuple[str, ...]] = (
        "alie",
        "alie(z=0.25)",
        "alie(z=0.5)",
        "alie(z=1)",
        "alie(z=1.5)",
        "alie(z=3)",
        "alie(z=0.5, sign=1)",
        "alie(z=1.5, sign=1)",
        "alie(z=3, sign=1)",
        "alie(projected=true)",
    )
    strength_parameter: ClassVar[str] = "z"

    def __post_init__(self) -> None:
        """Refuse a minimum that would never be used."""
        if self.z is not None and self.z_min != Z_MIN:
            raise ValueError("z_min is for the formula's z. Give z or z_min, not both.")

    def crafted(self, rows: Tensor, view: AttackerView) -> Tensor:
        """Return the shifted mean once for every malicious client."""
        z = self.z
        if z is None:
            z = alie_z(view.n_participants, len(view.client_ids), self.z_min)
        mean, std = column_moments(rows)
        return repeated(mean + self.sign * z * std, view)
