"""ByzMean: some attackers steer the plain mean onto what the others send (Xu et al., 2022)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import torch
from annotated_types import Gt

from robustbench_fl.api import AttackerView, Knowledge, State, register
from robustbench_fl.attacks._projection import CraftedAttack
from robustbench_fl.attacks._shift import Z_MIN, alie_z
from robustbench_fl.attacks._statistics import column_moments, known_rows

if TYPE_CHECKING:
    from torch import Tensor


def byzmean_rows(honest_mean: Tensor, n_honest: int, wanted: Tensor, m: int) -> Tensor:
    """Return m rows with which the mean over all clients is `wanted`.

    Parameters
    ----------
    honest_mean : Tensor [d]
        Mean of the honest updates.
    n_honest : int
        Their number.
    wanted : Tensor [d]
        What ⌊m/2⌋ of the rows are, and the mean of all shall be.
    m : int
        Malicious clients.

    Examples
    --------
    Two honest clients at 1 and three malicious ones: 5 · 0 = 2 · 1 + 1 · 0 + 2 · (−1).

    >>> byzmean_rows(torch.tensor([1.0]), 2, torch.tensor([0.0]), 3).tolist()
    [[0.0], [-1.0], [-1.0]]
    """
    first = m // 2
    steering = ((n_honest + m - first) * wanted - n_honest * honest_mean) / max(m - first, 1)
    return torch.cat([wanted.repeat(first, 1), steering.repeat(m - first, 1)])


@register("byzmean", paper="Xu 2022", year=2022, version=2, cost="hd")
@dataclass(frozen=True, kw_only=True)
class ByzMean(CraftedAttack):
    """Let half of the malicious clients send ALIE's update, the others steer the mean onto it.

    Parameters
    ----------
    z : float, optional
        Standard deviations by which ALIE shifts the mean; by default as many as still hide.
    z_min : float
        Number used, with a warning, where the formula's is less (few malicious clients); only
        where `z` is not given.
    projected : bool
        Whether the class sums of the last layer's update are removed from what is sent.

    Notes
    -----
    With fewer than two honest clients in the round the malicious ones train honestly.

    Faithfulness
    ------------
    Release: ``github.com/JianXu95/SignGuard`` at e1fcafc, the authors' own, ``attacks/byzMean.py``.
    Compared: numbers, in the review; the release, read.
    Difference: none found in the review. The release's z is 0.5, its statistics are of the malicious clients'
        honest gradients too, and its steering rows are ((h − m₁)g − Σ over all n)/(m − m₁), h honest, which
        do not put the mean on g.
    On purpose: the paper's formula, with which the mean is g; updates in place of gradients; ALIE's z, never
        less than `z_min`.

    References
    ----------
    .. [1] J. Xu, S.-L. Huang, L. Song, T. Lan, "Byzantine-robust Federated Learning through
       Collaborative Malicious Gradient Filtering", ICDCS 2022, Section III.
    """

    z: Annotated[float, Gt(0)] | None = None
    z_min: Annotated[float, Gt(0)] = Z_MIN

    strengths: ClassVar[tuple[str, ...]] = (
        "byzmean",
        "byzmean(z=0.5)",
        "byzmean(z=1.5)",
        "byzmean(z=3)",
    )
    strength_parameter: ClassVar[str] = "z"

    def __post_init__(self) -> None:
        """Refuse a minimum that would never be used."""
        if self.z is not None and self.z_min != Z_MIN:
            raise ValueError("z_min is for the formula's z. Give z or z_min, not both.")

    @property
    def knowledge(self) -> Knowledge:
        """All honest updates."""
        return Knowledge.ALL

    def sent(self, view: AttackerView, state: Any) -> tuple[Tensor, State | None]:
        """Return both kinds of rows."""
        rows = known_rows(view)
        if rows is None:
            own: Tensor = view.own
            return own, state
        m = len(view.client_ids)
        z = alie_z(view.n_participants, m, self.z_min) if self.z is None else self.z
        mean, std = column_moments(rows)
        return byzmean_rows(mean, len(rows), mean - z * std, m).to(view.params), state
