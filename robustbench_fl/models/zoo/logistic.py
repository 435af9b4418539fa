"""Multinomial logistic regression."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from robustbench_fl.api import ImageShape, ModelFamily, SampleKind, register
from robustbench_fl.models.zoo.mlp import MlpModel


@register("logistic", aliases=("logreg", "linear"), paper="Cox 1958", year=1958)
@dataclass(frozen=True, kw_only=True)
class Logistic(ModelFamily):
    """One linear layer from the pixels to the logits; the loss is convex.

    References
    ----------
    .. [1] D. R. Cox, "The Regression Analysis of Binary Sequences", Journal of the Royal
       Statistical Society B 20(2), 1958.
    """

    takes: ClassVar[frozenset[SampleKind]] = frozenset({"images", "numbers"})

    def build(self, input_shape: ImageShape, n_classes: int) -> MlpModel:
        """Return the network for one task; any input will do."""
        return MlpModel(input_shape, n_classes)
