"""A3FL: a trigger that is learned against the global model and against one that unlearns it (Zhang, 2023)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import torch
from annotated_types import Ge, Gt, Interval

from robustbench_fl.api import Attack, AttackerView, AttackSpec, Poison, SampleKind, Stamp, State, register
from robustbench_fl.attacks._pattern import Pattern, PatternState, in_batches, pixel_range, square
from robustbench_fl.attacks._sgd import Sgd

if TYPE_CHECKING:
    from torch import Tensor

    from robustbench_fl.api import Model

_BATCH = 64
_START = 0.5
_BALANCE, _EPOCHS = 0.01, 5
_UNLEARNING_RATE, _MOMENTUM, _DECAY = 0.01, 0.9, 5e-4


def unlearned(
    model: Model, params: Tensor, images: Tensor, labels: Tensor, pattern: Pattern, epochs: int
) -> Tensor:
    """Return the parameters [d] after training on triggered images with their right labels.

    Parameters
    ----------
    model : Model
        The network.
    params : Tensor [d]
        Where the training starts: SGD of rate 0.01, momentum 0.9 and weight decay 5e-4, in batches of 64.
    images, labels : Tensor [k, channels, height, width], int64 Tensor [k]
        The data.
    pattern : Pattern
        The trigger.
    epochs : int
        Passes over the data.
    """

    def loss(seen: Tensor, classes: Tensor, weights: Tensor) -> Tensor:
        return torch.nn.functional.cross_entropy(model.apply(weights, seen), classes)

    sgd = Sgd(params, _MOMENTUM, _DECAY)
    for _ in range(epochs):
        for batch in in_batches(pattern(images), labels, _BATCH):
            sgd.step(partial(loss, *batch), _UNLEARNING_RATE)
    return sgd.weights


def adapted(
    model: Model,
    params: Tensor,
    images: Tensor,
    labels: Tensor,
    pattern: Pattern,
    target: int,
    *,
    steps: int,
    rate: float,
    balance: float,
    epochs: int,
) -> Tensor:
    """Return the values [channels, height, width] of a trigger that survives its own unlearning.

    In every step but the first a model that unlearns the present trigger is trained from the global one.
    Then, batch by batch, the values go a `rate` against the sign of the gradient of the loss, with the
    target as label: the global model's plus `balance` · cos(θ', θ) times the other's. They stay in the range
    of the images.

    Parameters
    ----------
    model : Model
        The network.
    params : Tensor [d]
        θ, the global parameters.
    images, labels : Tensor [k, channels, height, width], int64 Tensor [k]
        The attacker's data, normalised.
    pattern : Pattern
        Mask and values to start from.
    target : int
        The class that triggered images are to be taken for.
    steps : int
        Passes over the data.
    rate : float
        Step size.
    balance : float
        λ₀.
    epochs : int
        Passes over the data by which the other model, θ', is trained; 0 does without it.
    """
    low, high = pixel_range(images)
    for step in range(steps):
        other, weight = params, 0.0
        if step and epochs:
            other = unlearned(model, params, images, labels, pattern, epochs)
            weight = balance * float(torch.nn.functional.cosine_similarity(other, params, dim=0))
        for seen, classes in in_batches(images, labels, _BATCH):
            values = pattern.values.detach().requires_grad_()
            stamped, wanted = replace(pattern, values=values)(seen), torch.full_like(classes, target)
            loss = torch.nn.functional.cross_entropy(model.apply(params, stamped), wanted)
            if weight:
                loss = loss + weight * torch.nn.functional.cross_entropy(model.apply(other, stamped), wanted)
            (gradient,) = torch.autograd.grad(loss, values)
            moved = pattern.values - rate * gradient.sign()
            pattern = replace(pattern, values=torch.minimum(torch.maximum(moved, low), high))
    return pattern.values


@register("a3fl", paper="Zhang 2023", year=2023, cost="d + one training + steps·(epochs + 2) passes")
@dataclass(frozen=True, kw_only=True)
class A3FL(Attack):
    """Learn a trigger on the global model and on one that unlearns it, then train with it.

    The first malicious client of a round goes on with the trigger from the round before, on its own data;
    all malicious clients use it in their training, which is changed in nothing else. Success is measured
    with the trigger as it is then.

    Parameters
    ----------
    target : int
        The class that triggered images are to be taken for.
    share : float
        Share of every batch that carries the trigger, in (0, 1].
    side, corner : float
        Side of the square that is the trigger, and its distance from the upper and the left edge, as shares
        of the image's shorter side.
    steps : int
        Passes over the data in which the trigger is improved, a round.
    rate : float
        How far a pixel goes in a step, normalised.
    balance : float
        λ₀, weight of the model that unlearns the trigger.
    epochs : int
        Passes over the data by which that model is trained, anew for every step but the first of a round; 0
        does without it.

    Faithfulness
    ------------
    Release: ``github.com/hfzhang31/A3FL`` at eb1bdc1, the authors' own, ``fl_utils/attacker.py`` and
        ``fler.py``.
    Compared: with the release, numbers: five steps of the search without the other model, and that model
        after three passes; who searches, the poisoned share and all defaults but `steps`, read.
    Difference: none in the search; 1.3e-6 of the largest entry in what the other model's training changes.
    On purpose: 20 steps a round in place of 200, since the trigger is carried on over the rounds, as there:
        ``steps=200`` is the release's search. λ is λ₀ times the cosine of the two models' parameters, as the
        paper has it, where the release takes the mean cosine of gradients of its convolutions. Values stay
        in the range of the attacker's images, there in [−2, 2]; batches keep their order. On small images
        the square of 5 of 32 pixels shrinks with them.

    References
    ----------
    .. [1] H. Zhang, J. Jia, J. Chen, L. Lin and D. Wu, "A3FL: Adversarially Adaptive Backdoor Attacks to
       Federated Learning", NeurIPS 2023.
    """

    target: Annotated[int, Ge(0)] = 0
    share: Annotated[float, Interval(gt=0, le=1)] = 0.25
    side: Annotated[float, Interval(gt=0, le=1)] = 5 / 32
    corner: Annotated[float, Interval(ge=0, lt=1)] = 2 / 32
    steps: Annotated[int, Ge(1)] = 20
    rate: Annotated[float, Gt(0)] = 0.01
    balance: Annotated[float, Gt(0)] = _BALANCE
    epochs: Annotated[int, Ge(0)] = _EPOCHS

    category: ClassVar[Literal["none", "data", "update", "backdoor"]] = "backdoor"
    takes: ClassVar[frozenset[SampleKind]] = frozenset({"images"})
    strengths: ClassVar[tuple[str, ...]] = ("a3fl(share=0.1)", "a3fl", "a3fl(share=0.5)")
    strength_parameter: ClassVar[str] = "share"
    checked_with: ClassVar[dict[str, Any]] = {"steps": 2, "epochs": 1}

    def __post_init__(self) -> None:
        """Refuse what would never be used."""
        without = "epochs=0" if not self.epochs else "steps=1" if self.steps == 1 else ""
        if without and (self.balance != _BALANCE or self.epochs not in (_EPOCHS, 0)):
            raise ValueError(f"balance and epochs are of the model that unlearns; {without} does without it")

    def infeasible(self, spec: AttackSpec) -> str | None:
        """The target must exist, and the trigger lie in the image."""
        if self.target >= spec.n_classes:
            return f"the target class {self.target} does not exist; there are {spec.n_classes} classes from 0"
        return None if bool(self._mask(spec).any()) else "the trigger lies outside the image"

    def init_state(self, spec: AttackSpec) -> PatternState:
        """Return the trigger to start from: all values are 0.5."""
        return PatternState(values=torch.full(spec.image_shape, _START, device=spec.device))

    def test_trigger(self, spec: AttackSpec) -> tuple[Stamp, int]:
        """Return the trigger to start from, and the target class."""
        return self.current_trigger(spec, self.init_state(spec))

    def current_trigger(self, spec: AttackSpec, state: Any) -> tuple[Stamp, int]:
        """Return the trigger as it is, and the target class."""
        return Stamp(change=self._pattern(spec, state)), self.target

    def craft(self, view: AttackerView, state: Any) -> tuple[Tensor, State | None]:
        """Return the updates of training with the improved trigger."""
        if not view.client_ids:
            own: Tensor = view.own
            return own, state
        images, labels = view.own_data(0)
        if len(images):
            values = adapted(
                view.model, view.params, images, labels, self._pattern(view.spec, state), self.target,
                steps=self.steps, rate=self.rate, balance=self.balance, epochs=self.epochs,
            )  # fmt: skip
            state = replace(state, values=values)
        stamp, target = self.current_trigger(view.spec, state)
        rows: Tensor = view.train(Poison(triggers=(stamp,), target=target, share=self.share))
        return rows, state

    def _mask(self, spec: AttackSpec) -> Tensor:
        _, height, width = spec.image_shape
        return square(height, width, self.corner, self.side)

    def _pattern(self, spec: AttackSpec, state: PatternState) -> Pattern:
        return Pattern(mask=self._mask(spec).to(state.values.device), values=state.values)
