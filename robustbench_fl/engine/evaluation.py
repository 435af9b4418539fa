"""How good a model is: accuracy, loss, whether a backdoor works; over the rounds and in the end."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from robustbench_fl.api import Attack, AttackSpec, GivenImages, RareImages, Stamp, State, Trigger
from robustbench_fl.api.model import Model
from robustbench_fl.core.settings import Settings
from robustbench_fl.data.federation import Federation
from robustbench_fl.data.images import ImagePart, ImageStore
from robustbench_fl.engine.batches import stamped
from robustbench_fl.engine.client_jobs import trigger_pixels

_BATCH = 200
"""Images a forward pass; fixed, so that the numbers do not depend on the machine's memory."""


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """A model's performance on one split.

    Parameters
    ----------
    accuracy : float
        Share of images classified as their class; chance, 1 / n_classes, if not `finite`.
    class_accuracy : list of float or None
        The same for the images of each class, ``None`` for a class without images.
    loss : float or None
        Mean cross-entropy, ``None`` if not finite.
    finite : bool
        Whether all logits are.
    confusion : int64 array [n_classes, n_classes] or None
        Images by class (row) and by what they were classified as (column); ``None`` if not
        `finite`, or of several models.
    correct : bool array [N] or None
        Whether each image was classified as its class; ``None`` likewise.
    """

    accuracy: float
    class_accuracy: list[float | None]
    loss: float | None
    finite: bool
    confusion: NDArray[np.int64] | None
    correct: NDArray[np.bool_] | None

    def confused(self, source: int, target: int) -> float | None:
        """Return the share of the images of `source` that are taken for `target`.

        Chance if the logits are not finite, ``None`` if there are no such images.
        """
        if self.confusion is None:
            return None if self.class_accuracy[source] is None else 1 / len(self.class_accuracy)
        row = self.confusion[source]
        return float(row[target] / row.sum()) if row.sum() else None


def evaluate(
    model: Model, params: Tensor, images: Tensor | ImageStore | ImagePart, labels: Tensor
) -> Evaluation:
    """Classify a set of images.

    Parameters
    ----------
    model : Model
        The network.
    params : Tensor [n_params]
        Its parameters.
    images : Tensor [N, channels, height, width], ImageStore or ImagePart
        Normalised, at least one, on the device of `params`.
    labels : int64 Tensor [N]
        Their classes.
    """
    c = model.n_classes
    logits = _logits(model, params, images)
    if not bool(torch.isfinite(logits).all()):
        present = torch.bincount(labels, minlength=c).tolist()
        chance: list[float | None] = [1 / c if n else None for n in present]
        return Evaluation(
            accuracy=1 / c, class_accuracy=chance, loss=None, finite=False, confusion=None, correct=None
        )
    loss = float(functional.cross_entropy(logits.double(), labels))
    taken_for = logits.argmax(dim=1)
    counts = torch.bincount(labels * c + taken_for, minlength=c * c)
    confusion: NDArray[np.int64] = counts.view(c, c).cpu().numpy()
    right, total = confusion.diagonal(), confusion.sum(axis=1)
    return Evaluation(
        accuracy=float(right.sum() / total.sum()),
        class_accuracy=[float(r / t) if t else None for r, t in zip(right, total, strict=True)],
        loss=loss,
        finite=True,
        confusion=confusion,
        correct=(taken_for == labels).cpu().numpy(),
    )


def averaged(results: Sequence[Evaluation]) -> Evaluation:
    """Return what a model reaches on average, of several; one of one is that one.

    Parameters
    ----------
    results : sequence of Evaluation
        On the same images; not finite if one of them is not. The average says nothing of single images.
    """
    if len(results) == 1:
        return results[0]
    return Evaluation(
        accuracy=float(np.mean([result.accuracy for result in results])),
        class_accuracy=[_mean(of) for of in zip(*(r.class_accuracy for r in results), strict=True)],
        loss=_mean([result.loss for result in results]),
        finite=all(result.finite for result in results),
        confusion=None,
        correct=None,
    )


def _mean(values: Sequence[float | None]) -> float | None:
    """Return the mean, ``None`` if a value is missing."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known and len(known) == len(values) else None


def attack_success(
    model: Model,
    params: Tensor,
    federation: Federation,
    trigger: Trigger | RareImages | Stamp | GivenImages,
    target: int,
) -> float | None:
    """Return the share of triggered test images of other classes that are classified as `target`.

    Where the trigger is rare images, it is the share of these among the test images; where the images
    are given, the share of them.

    Parameters
    ----------
    model : Model
        The network.
    params : Tensor [n_params]
        Its parameters, on the federation's device.
    federation : Federation
        Holds the test images.
    trigger : Trigger, RareImages, Stamp or GivenImages
        The full trigger.
    target : int
        What the backdoor is to yield.

    Returns
    -------
    float or None
        In [0, 1]; chance, 1 / n_classes, if a logit is not finite; ``None`` if all test images
        are of the target class.
    """
    if isinstance(trigger, RareImages):
        _, rare = federation.rare(trigger.source, trigger.share)
        return _share_of(target, _logits(model, params, federation.test_images[rare])) if len(rare) else None
    if isinstance(trigger, GivenImages):
        return _share_of(target, _logits(model, params, trigger.images)) if len(trigger.images) else None
    others = federation.test_labels != target
    if not bool(others.any()):
        return None
    if isinstance(trigger, Stamp):
        return _share_of(target, _logits(model, params, federation.test_images, trigger.change)[others])
    pixels = trigger_pixels(trigger, federation.image_shape).to(params.device)
    logits = _logits(
        model, params, federation.test_images, lambda images: stamped(images, pixels, federation.bright)
    )[others]
    return _share_of(target, logits)


def _share_of(target: int, logits: Tensor) -> float:
    """Return the share of the rows that are classified as `target`, chance if a logit is not finite."""
    if not bool(torch.isfinite(logits).all()):
        return 1 / logits.shape[1]
    return float((logits.argmax(dim=1) == target).double().mean())


@torch.inference_mode()
def _logits(
    model: Model,
    params: Tensor,
    images: Tensor | ImageStore | ImagePart,
    change: Callable[[Tensor], Tensor] = lambda images: images,
) -> Tensor:
    tensors = model.split(params)
    return torch.cat(
        [model.forward(tensors, change(images[low : low + _BATCH])) for low in range(0, len(images), _BATCH)]
    )


class ScoreBoard:
    """Evaluates a cell's global model and keeps what the record needs.

    Parameters
    ----------
    model : Model
        The network.
    federation : Federation
        Its test and validation data.
    attack : Attack
        Tells the trigger, where there is one.
    spec : AttackSpec
        The cell's setting as attackers see it.
    settings : Settings
        Says how many of the last evaluations count.
    """

    def __init__(
        self, model: Model, federation: Federation, attack: Attack, spec: AttackSpec, settings: Settings
    ) -> None:
        self._model = model
        self._federation = federation
        self._attack, self._spec = attack, spec
        self._flip = attack.test_flip(spec)
        self._settings = settings
        self.last: deque[Evaluation] = deque(maxlen=settings.eval_last)
        self.last_validation: deque[float] = deque(maxlen=settings.eval_last)
        self.rounds: list[int] = []
        self.accuracy: list[float] = []
        self.loss: list[float | None] = []
        self.attack_success: list[float | None] = []

    def evaluate(self, params: Tensor, round: int, state: State | None = None) -> None:
        """Evaluate the global model `params` after `round` rounds; the attack has come to `state`."""
        self._evaluate([params], round, state)

    def evaluate_alone(self, models: Tensor, round: int, state: State | None = None) -> None:
        """Evaluate the mean client of `models` [k, d], where it is one of the last evaluations.

        Each costs as much as k of a global model.
        """
        if self._counts(round):
            self._evaluate(list(models.unbind()), round, state)

    def _evaluate(self, models: Sequence[Tensor], round: int, state: State | None) -> None:
        federation = self._federation
        results = [evaluate(self._model, m, federation.test_images, federation.test_labels) for m in models]
        backdoor = self._attack.current_trigger(self._spec, state)
        rates = [self._success(m, result, backdoor) for m, result in zip(models, results, strict=True)]
        result = averaged(results)
        self.rounds.append(round)
        self.accuracy.append(result.accuracy)
        self.loss.append(result.loss)
        self.attack_success.append(_mean(rates))
        self.last.append(result)
        if len(federation.validation) and self._counts(round):
            images, labels = federation.validation_data()
            found = [evaluate(self._model, params, images, labels).accuracy for params in models]
            self.last_validation.append(float(np.mean(found)))

    def _counts(self, round: int) -> bool:
        """Whether an evaluation after `round` rounds is among the last, over which figures are means."""
        return (self._settings.rounds - round) / self._settings.eval_every < self._settings.eval_last

    def _success(self, params: Tensor, result: Evaluation, backdoor: Any) -> float | None:
        """Return how often the backdoor opens, or the flipped class is taken for its target."""
        if backdoor is not None:
            return attack_success(self._model, params, self._federation, *backdoor)
        return result.confused(*self._flip) if self._flip is not None else None

    @property
    def diverged(self) -> bool:
        """Whether the model's output was not finite in any of the last evaluations."""
        return any(not result.finite for result in self.last)

    def final_accuracy(self) -> tuple[float, float]:
        """Return mean and standard deviation of the last accuracies."""
        values = [result.accuracy for result in self.last]
        return float(np.mean(values)), float(np.std(values))

    def final_validation(self) -> float | None:
        """Return the mean of the last validation accuracies."""
        return float(np.mean(self.last_validation)) if self.last_validation else None

    def final_loss(self) -> float | None:
        """Return the mean of the last losses, ``None`` if one is not finite."""
        losses = [result.loss for result in self.last if result.loss is not None]
        return float(np.mean(losses)) if len(losses) == len(self.last) else None

    def final_classes(self) -> list[float | None]:
        """Return the mean of the last accuracies of each class."""
        per_class = zip(*(result.class_accuracy for result in self.last), strict=True)
        return [None if None in values else float(np.mean(values)) for values in per_class]

    def image_counts(self) -> NDArray[np.int64]:
        """Return in how many of the last evaluations each test image was classified correctly."""
        counts = np.zeros(len(self._federation.test_labels), dtype=np.int64)
        for result in self.last:
            if result.correct is not None:
                counts += result.correct
        return counts

    def final_attack_success(self) -> float | None:
        """Return the mean of the last success rates."""
        rates = [rate for rate in self.attack_success[-self._settings.eval_last :] if rate is not None]
        return float(np.mean(rates)) if rates else None
