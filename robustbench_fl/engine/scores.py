"""Evaluations of a cell: curves over the rounds, final figures over the last of them."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from robustbench_fl.api import Attack, AttackSpec
from robustbench_fl.core.settings import Settings
from robustbench_fl.engine.evaluation import Evaluation, attack_success, evaluate

if TYPE_CHECKING:
    from robustbench_fl.api.model import Model
    from robustbench_fl.data.federation import Federation


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
        self._backdoor = attack.test_trigger(spec)
        self._flip = attack.test_flip(spec)
        self._settings = settings
        self.last: deque[Evaluation] = deque(maxlen=settings.eval_last)
        self.last_validation: deque[float] = deque(maxlen=settings.eval_last)
        self.rounds: list[int] = []
        self.accuracy: list[float] = []
        self.loss: list[float | None] = []
        self.attack_success: list[float | None] = []

    def evaluate(self, params: Tensor, round: int) -> None:
        """Evaluate the global model `params` after `round` rounds."""
        federation = self._federation
        result = evaluate(self._model, params, federation.test_images, federation.test_labels)
        self.rounds.append(round)
        self.accuracy.append(result.accuracy)
        self.loss.append(result.loss)
        self.attack_success.append(self._success(params, result))
        self.last.append(result)
        evaluations_left = (self._settings.rounds - round) / self._settings.eval_every
        if len(federation.validation) and evaluations_left < self._settings.eval_last:
            images, labels = federation.validation_data()
            self.last_validation.append(evaluate(self._model, params, images, labels).accuracy)

    def _success(self, params: Tensor, result: Evaluation) -> float | None:
        """Return how often the backdoor opens, or the flipped class is taken for its target."""
        if self._backdoor is not None:
            return attack_success(self._model, params, self._federation, *self._backdoor)
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

    def final_attack_success(self) -> float | None:
        """Return the mean of the last success rates."""
        rates = [rate for rate in self.attack_success[-self._settings.eval_last :] if rate is not None]
        return float(np.mean(rates)) if rates else None
