"""Attacks on FedREDefense: genuine training, the strongest blend that passes, and on what it measures."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import torch
from annotated_types import Ge, Gt, Interval, Lt

from robustbench_fl.api import (
    OWN,
    Attack,
    AttackerView,
    AttackSpec,
    Knowledge,
    SampleKind,
    State,
    register,
    torch_generator,
)
from robustbench_fl.attacks._acceptance import acceptance, largest_shares
from robustbench_fl.attacks._statistics import column_moments, known_rows, repeated
from robustbench_fl.attacks._synthetic_poison import Samples, fresh_samples, opposed, within
from robustbench_fl.attacks.min_max import min_max_gamma

if TYPE_CHECKING:
    from torch import Tensor

_ONLY = {
    "reconstructible": ("steps", "iterations", "rate"),
    "blend": ("blended", "evaluations"),
    "calibration": ("blended", "evaluations", "pull"),
}
"""Parameters that have a meaning in one mode alone."""


@dataclass(frozen=True, kw_only=True)
class SyntheticState(State):
    """The attacker's synthetic samples, from which the next round starts.

    Parameters
    ----------
    images : Tensor [C, ...], optional
        Images, once there are some.
    labels : Tensor [C, C], optional
        Their label logits.
    step : float
        Step size.
    rounds : int
        Rounds attacked so far.
    """

    images: Tensor | None = None
    labels: Tensor | None = None
    step: float = 0.0
    rounds: int = 0


@register(
    "adaptive_fedredefense",
    paper=OWN,
    year=2026,
    cost="iterations·T passes, or m·evaluations reconstructions",
)
@dataclass(frozen=True, kw_only=True)
class AdaptiveFedREDefense(Attack):
    """Send the most harmful update that FedREDefense can still reconstruct.

    This project's own attack, from no paper. FedREDefense accepts what a few gradient steps on a
    few synthetic samples re-create. So the attacker either makes the poison in just that way
    (``reconstructible``), or mixes as much of a hand-made poison into its honest update as the
    simulated server lets through (``blend``), or first pulls the model to where honest training is hard
    to re-create, so that the budget that the server measures there grows (``calibration``).

    Parameters
    ----------
    mode : {"reconstructible", "blend", "calibration"}
        ``reconstructible``: one image a class and its soft labels are learned such that `steps`
        gradient steps from the global model give an update with the smallest cosine to x̄, the
        mean of the malicious clients' honest updates, no longer than the median of theirs. All
        send it. ``blend``: each client sends (1 − β)·own + β·poison with the largest β that passes.
        ``calibration``: for `pull` rounds each sends own + β·w with the largest β up to 1 that passes, w
        being the global parameters without their class sums, as long as own: the larger the weights,
        the farther virtual clients train and the longer their reconstruction takes. Then as ``blend``.
    steps : int
        Gradient steps T of the reconstructible poison; FedREDefense itself unrolls five.
    iterations : int
        Iterations of Adam a round on the synthetic samples, which are kept between rounds; only
        for ``reconstructible``.
    rate : float
        Adam's learning rate; only for ``reconstructible``.
    blended : {"reverse", "min_max"}
        The poison of ``blend``: −x̄ at the median length, or Min-Max's x̄ − γσ. The first does more
        harm and mostly passes whole; the second does not, and each β that fails costs the simulated
        server its whole budget of iterations.
    evaluations : int
        Simulations of the server in the search for β, which is found to within
        2^(1 − evaluations); for ``blend`` and ``calibration``, as is `blended`.
    pull : int
        Rounds that go into the budget; only for ``calibration``.
    margin : float
        How far below the threshold the simulated reconstruction error must stay.

    Notes
    -----
    A client whose crafted update would fail the simulated test sends its honest one, rather
    than be banned for good. FedREDefense judges each client by itself, so the simulation is exact
    but for the server's synthetic images of the first round, which the attacker cannot know; that
    is what `margin` is for.

    Against other rules that accuse clients, not to be accused among the malicious rows alone takes
    the place of the error. Against rules that accuse nobody β is 1, the plain poison, and the
    reconstructible poison is always sent.

    With fewer known updates than the poison takes (two for Min-Max, else one), where one of theirs is not
    finite, or where x̄ or what the images teach is zero, the malicious clients train honestly.

    Faithfulness
    ------------
    Release: none: this project's own attack; that of the rule is named with `fedredefense`.
    Compared: nothing: there is no other to compare with. Its poison is compared with the steps that make it,
        numbers, in the tests.
    Difference: not measured.
    On purpose: nothing; there is no paper to follow.

    References
    ----------
    .. [1] Y. Xie, M. Fang, N. Z. Gong, "FedREDefense: Defending against Model Poisoning Attacks
       for Federated Learning using Model Update Reconstruction Error", ICML 2024,
       PMLR 235:54460-54474: the rule that is attacked.
    """

    mode: Literal["reconstructible", "blend", "calibration"] = "reconstructible"
    steps: Annotated[int, Interval(ge=1, le=5)] = 5
    iterations: Annotated[int, Ge(1)] = 40
    rate: Annotated[float, Gt(0)] = 0.1
    blended: Literal["reverse", "min_max"] = "reverse"
    evaluations: Annotated[int, Ge(1)] = 5
    pull: Annotated[int, Ge(1)] = 3
    margin: Annotated[float, Ge(0), Lt(1)] = 0.05

    takes: ClassVar[frozenset[SampleKind]] = frozenset({"images", "numbers"})
    knows_defence: ClassVar[bool] = True
    adaptive: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """Refuse parameters of another mode."""
        defaults = {field.name: field.default for field in fields(self)}
        for mode, names in _ONLY.items():
            strange = [name for name in names if name not in _ONLY[self.mode]]
            given = [name for name in strange if getattr(self, name) != defaults[name]]
            if given:
                raise ValueError(f"{given[0]} is a parameter of mode={mode}, and mode is {self.mode}")

    def as_stored(self, values: dict[str, Any]) -> dict[str, Any]:
        """Return the parameters as they stand in keys; cells are older than `pull`."""
        return {n: v for n, v in values.items() if n != "pull" or self.mode == "calibration"}

    @property
    def knowledge(self) -> Knowledge:
        """The malicious clients' own updates, shared."""
        return Knowledge.COLLUDERS

    def init_state(self, spec: AttackSpec) -> SyntheticState:
        """Return the state before any sample is learned."""
        return SyntheticState()

    def craft(self, view: AttackerView, state: SyntheticState) -> tuple[Tensor, SyntheticState]:
        """Return the poison that passes, and the samples behind it."""
        own: Tensor = view.own
        blends = self.mode != "reconstructible"
        rows = known_rows(view, 2 if blends and self.blended == "min_max" else 1)
        if rows is None or len(rows) < len(own):
            return own, state
        mean, radius = rows.double().mean(0), float(rows.double().norm(dim=1).median())
        if mean.norm() == 0:
            return own, state
        accepted = acceptance(view.defence, self.margin)
        if blends:
            if self.mode == "calibration" and state.rounds < self.pull:
                poison = own + _heavier(own, view)
            else:
                poison = self._blended(rows, mean, radius).to(own)

            def mixed(shares: Tensor) -> Tensor:
                return torch.lerp(own, poison.expand_as(own), shares.to(own)[:, None])

            shares = largest_shares(lambda tried: accepted(mixed(tried)), self.evaluations, len(own))
            return mixed(shares), replace(state, rounds=state.rounds + 1)
        update, samples = self._trained(view, state, mean.to(own), radius)
        if update.norm() == 0:
            return own, SyntheticState()
        crafted = repeated(update, view)
        learned = replace(state, images=samples.images, labels=samples.labels, step=samples.step)
        return torch.where(accepted(crafted)[:, None], crafted, own), learned

    def _blended(self, rows: Tensor, mean: Tensor, radius: float) -> Tensor:
        """Return the hand-made poison [d]."""
        if self.blended == "reverse":
            scale = radius / float(mean.norm())
            return -scale * mean
        mean, std = column_moments(rows)
        return mean - min_max_gamma(rows, std) * std

    def _trained(
        self, view: AttackerView, state: SyntheticState, mean: Tensor, radius: float
    ) -> tuple[Tensor, Samples]:
        """Return the reconstructible poison [d] and the samples that it is trained on."""
        if state.images is None or state.labels is None:
            generator = torch_generator(view.rng)
            samples = fresh_samples(view.model, view.params, radius, self.steps, generator)
        else:
            samples = Samples(images=state.images, labels=state.labels, step=state.step)
        samples = opposed(
            view.model, view.params, mean, radius, samples,
            steps=self.steps, iterations=self.iterations, rate=self.rate,
        )  # fmt: skip
        return within(view.model, view.params, radius, samples, self.steps)


def _heavier(own: Tensor, view: AttackerView) -> Tensor:
    """Return the global parameters without class sums, as long as each client's own update [m, d]."""
    weights: Tensor = view.params.clone()
    *_, weight, bias = view.model.split(weights)
    if view.model.ends_linear:
        for part in (weight, bias):
            part -= part.mean(0)
    scales: Tensor = own.norm(dim=1, keepdim=True) / weights.norm()
    return scales * weights
