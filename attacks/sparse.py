"""Sparse hybrid: strong on the few weights that matter most, ALIE on the rest (Özfatura et al., 2024)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import torch
from annotated_types import Ge, Interval

from robustbench_fl.api import AttackerView, AttackSpec, Knowledge, State, register
from robustbench_fl.attacks._projection import CraftedAttack
from robustbench_fl.attacks._shift import Z_MIN, alie_z
from robustbench_fl.attacks._statistics import column_moments, known_rows, repeated

if TYPE_CHECKING:
    from torch import Tensor

    from robustbench_fl.api import Model


@dataclass(frozen=True, kw_only=True)
class SparseState(State):
    """Which weights are sensitive, once they are found.

    Parameters
    ----------
    sensitive : bool Tensor [d], optional
        True for them.
    """

    sensitive: Tensor | None = None


def sensitive_weights(
    model: Model, params: Tensor, images: Tensor, labels: Tensor, share: float, steps: int
) -> Tensor:
    """Return the weights that are left by pruning at initialisation (FORCE).

    In step t of T the loss' gradient is taken with all weights at 0 that the step before dropped, and
    the share^(t/T) of the weights with the largest \\|weight · gradient\\| is kept; a dropped weight may
    come back. Vectors (biases, normalisation) are never kept.

    Parameters
    ----------
    model : Model
        The network.
    params : Tensor [d]
        Its parameters.
    images, labels : Tensor [k, ...], int64 Tensor [k]
        What the loss is of.
    share : float
        Share of the weights to be left.
    steps : int
        T.

    Returns
    -------
    bool Tensor [d]
    """
    prunable = torch.cat(
        [
            part.new_full(part.shape, part.dim() > 1, dtype=torch.bool).flatten()
            for part in model.split(params)
        ]
    )
    kept, total = prunable.clone(), int(prunable.sum())
    for t in range(1, steps + 1):
        leaf = torch.where(kept | ~prunable, params, 0).detach().requires_grad_()
        loss = torch.nn.functional.cross_entropy(model.apply(leaf, images), labels)
        (gradient,) = torch.autograd.grad(loss, leaf)
        salience = torch.where(prunable, (params * gradient).abs(), -1.0)
        left = max(1, round(share ** (t / steps) * total))
        kept = torch.zeros_like(prunable)
        kept[salience.topk(left).indices] = True
    return kept


@register("sparse", paper="Özfatura 2024", year=2024, cost="hd + steps gradients, once")
@dataclass(frozen=True, kw_only=True)
class Sparse(CraftedAttack):
    """Send x̄ − sσ on the most sensitive weights and x̄ − zσ, as ALIE does, on all others.

    The sensitive weights are those that pruning at initialisation would leave. They are found once, in
    the attack's first round, on the malicious clients' data.

    Parameters
    ----------
    scale : float
        s, standard deviations on the sensitive weights.
    share : float
        Share of the weights that is sensitive.
    z : float, optional
        Standard deviations elsewhere; by default ALIE's, :func:`alie_z`.
    sign : {"std", "mean"}
        Whether all coordinates are pushed the same way, or each against its mean.
    steps : int
        Steps of the pruning.
    samples : int
        Images of the malicious clients' data, at most, on which it looks.
    knows : {"all", "colluders"}
        Whose honest updates the statistics are of.
    projected : bool
        Whether the class sums of the last layer's update are removed from what is sent.

    Notes
    -----
    σ divides by h − 1. All malicious clients send the same. With fewer than two known updates
    they train honestly.

    Faithfulness
    ------------
    Release: ``github.com/CRYPTO-KU/FL-Byzantine-Library`` at 32922ca, the authors' own,
        ``attacks/sparse.py`` and ``pruners/force.py``.
    Compared: the formulas and the defaults: s = 1.5, 0.5 % of the weights, FORCE in 100 steps on an
        exponential schedule, the same sign everywhere, read.
    Difference: not measured.
    On purpose: updates in place of momentum; the pruning looks at the malicious clients' own images, the
        release's default at honest clients' too, in three batches of 32; z is never less than 0.3. Its
        cap on outliers among the σ (off by default) and its second form, which searches z, are not here.

    References
    ----------
    .. [1] E. Özfatura, K. Özfatura, A. Küpçü, D. Gündüz, "Aggressive or Imperceptible, or Both: Network
       Pruning Assisted Hybrid Byzantines in Federated Learning", arXiv:2404.06230, 2024.
    .. [2] P. de Jorge et al., "Progressive Skeletonization: Trimming More Fat from a Network at
       Initialization", ICLR 2021: FORCE.
    """

    scale: Annotated[float, Interval(gt=0, le=1e30)] = 1.5
    share: Annotated[float, Interval(gt=0, lt=1)] = 0.005
    z: Annotated[float, Interval(gt=0, le=1e30)] | None = None
    sign: Literal["std", "mean"] = "std"
    steps: Annotated[int, Ge(1)] = 100
    samples: Annotated[int, Ge(1)] = 96
    knows: Literal["colluders", "all"] = "all"

    strengths: ClassVar[tuple[str, ...]] = (
        "sparse(scale=0.5)",
        "sparse",
        "sparse(scale=5)",
        "sparse(scale=20)",
        "sparse(sign=mean)",
        "sparse(scale=5, sign=mean)",
    )
    strength_parameter: ClassVar[str] = "scale"

    @property
    def knowledge(self) -> Knowledge:
        """As `knows` says."""
        return Knowledge.ALL if self.knows == "all" else Knowledge.COLLUDERS

    def init_state(self, spec: AttackSpec) -> SparseState:
        """Return room for the sensitive weights."""
        return SparseState()

    def sent(self, view: AttackerView, state: Any) -> tuple[Tensor, State | None]:
        """Return the crafted rows, or the honest ones where there are no statistics."""
        rows = known_rows(view)
        if rows is None or not view.client_ids:
            own: Tensor = view.own
            return own, state
        if state.sensitive is None:
            state = replace(state, sensitive=self._sensitive(view))
        z = self.z
        if z is None:
            z = alie_z(view.n_participants, len(view.client_ids), Z_MIN)
        mean, std = column_moments(rows)
        against = mean.sign() if self.sign == "mean" else torch.ones_like(mean)
        strength = torch.where(state.sensitive.to(mean.device), self.scale, z)
        return repeated(mean - strength * std * against, view), state

    def _sensitive(self, view: AttackerView) -> Tensor:
        data = [view.own_data(j) for j in range(len(view.client_ids))]
        each = -(-self.samples // len(data))
        images = torch.cat([images[:each] for images, _ in data])[: self.samples]
        labels = torch.cat([labels[:each] for _, labels in data])[: self.samples]
        return sensitive_weights(view.model, view.initial_params, images, labels, self.share, self.steps)
