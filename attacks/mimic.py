"""Mimic: all malicious clients copy one honest one (Karimireddy et al., 2022)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any

import torch
from annotated_types import Ge

from robustbench_fl.api import Attack, AttackerView, AttackSpec, Knowledge, State, register, torch_generator
from robustbench_fl.attacks._statistics import projections, repeated, weighted_sum

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class MimicState(State):
    """What the warm-up has found so far.

    Parameters
    ----------
    rounds : int
        Rounds of the warm-up that are over.
    mean : float64 Tensor [d], optional
        Running mean μ of the honest means.
    direction : float64 Tensor [d], optional
        z, the direction in which honest clients differ most.
    victim : int, optional
        Id of the client that is copied for ever, once the warm-up is over.
    """

    rounds: int = 0
    mean: Tensor | None = None
    direction: Tensor | None = None
    victim: int | None = None


def followed_direction(rows: Tensor, mean: Tensor, direction: Tensor, rounds: int) -> Tensor:
    """Return the direction of largest spread after one more round (Oja's rule).

    Parameters
    ----------
    rows : Tensor [h, d]
        Honest updates u_i.
    mean : Tensor [d]
        Running mean μ.
    direction : Tensor [d]
        Unit vector z.
    rounds : int
        Rounds t that went into z.

    Returns
    -------
    float64 Tensor [d]
        The unit vector of t/(t+1)·z + q/((t+1)‖q‖), q = Σ ⟨u_i − μ, z⟩(u_i − μ).
    """
    along = projections(rows, direction) - mean @ direction
    pull = weighted_sum(rows, along) - along.sum() * mean
    length = pull.norm()
    if length == 0:
        return direction
    blended: Tensor = rounds * direction + pull / length
    return blended.div_(blended.norm())


@register("mimic", paper="Karimireddy 2022", year=2022, cost="hd")
@dataclass(frozen=True, kw_only=True)
class Mimic(Attack):
    """Copy the honest client that lies farthest out in the direction of largest spread.

    The copies are no outliers, but make the rule over-weigh one client's data.

    Parameters
    ----------
    warmup : int
        Rounds in which the direction is learned and the copied client may change; the one
        copied in the last of them is copied for ever. Where it is absent, the farthest of
        those present takes its place.

    Notes
    -----
    With no honest client in the round the malicious ones train honestly.

    Faithfulness
    ------------
    Release: ``github.com/epfml/byzantine-robust-noniid-optimizer`` at 1cbe521, the authors' own,
        ``codes/attacks/mimic.py``.
    Compared: numbers, in the review; eight rounds with a transcription of the release, numbers.
    Difference: none in who is copied; 1.7e-16 in the direction.
    On purpose: where the copied client is absent, the farthest of those present takes its place.

    References
    ----------
    .. [1] S. P. Karimireddy, L. He, M. Jaggi, "Byzantine-Robust Learning on Heterogeneous
       Datasets via Bucketing", ICLR 2022, Appendix B.
    """

    warmup: Annotated[int, Ge(1)] = 10

    @property
    def knowledge(self) -> Knowledge:
        """All honest updates and who sent them."""
        return Knowledge.ALL

    def init_state(self, spec: AttackSpec) -> MimicState:
        """Return a warm-up that has not begun."""
        return MimicState()

    def craft(self, view: AttackerView, state: Any) -> tuple[Tensor, MimicState]:
        """Return copies of the chosen honest update."""
        finite = torch.isfinite(view.honest).all(1)
        rows: Tensor = view.honest[finite]
        ids = [client for client, kept in zip(view.honest_ids, finite.tolist(), strict=True) if kept]
        if not ids:
            own: Tensor = view.own
            return own, state
        if state.rounds < self.warmup:
            state = _warmed_up(rows, view, state)
        if state.victim in ids:
            return repeated(rows[ids.index(state.victim)], view), state
        farthest = int(projections(rows, state.direction).argmax())
        if state.victim is None and state.rounds == self.warmup:
            state = replace(state, victim=ids[farthest])
        return repeated(rows[farthest], view), state


def _warmed_up(rows: Tensor, view: AttackerView, state: MimicState) -> MimicState:
    """Return the state after one more round of the warm-up."""
    t = state.rounds
    mean = weighted_sum(rows, rows.new_full((len(rows),), 1 / len(rows)))
    direction = state.direction
    if state.mean is not None:
        mean = (t * state.mean + mean) / (t + 1)
    if direction is None:
        noise = torch.randn(rows.shape[1], generator=torch_generator(view.rng), dtype=torch.float64)
        direction = (noise / noise.norm()).to(rows.device)
    direction = followed_direction(rows, mean, direction, t)
    return replace(state, rounds=t + 1, mean=mean, direction=direction)
