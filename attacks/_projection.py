"""Crafted updates without the sums over classes that honest training never has.

Softmax cross-entropy makes the gradient of the last layer sum to zero over the classes, for every input
feature and for the bias; so do all updates of plain SGD, and what is linear in them. What an attacker
makes up does not, and a server can test for it. Projecting the crafted rows removes the tell-tale part.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from robustbench_fl.api import Added, Attack, AttackerView, AttackSpec, State

if TYPE_CHECKING:
    from torch import Tensor


def ends_linear(spec: AttackSpec) -> bool:
    """Whether the last two parameter tensors are weight and bias of a linear layer, one output a class."""
    shapes = [shape for _, shape in spec.layer_shapes[-2:]]
    return [len(shape) for shape in shapes] == [2, 1] and shapes[0][0] == shapes[1][0]


def without_class_sums(rows: Tensor, n_classes: int, n_features: int) -> Tensor:
    """Return the rows nearest to `rows` whose last layer sums to zero over the classes.

    Parameters
    ----------
    rows : Tensor [m, d]
        Updates that end with the last layer: weight [n_classes, n_features], then bias [n_classes].
    n_classes, n_features : int
        Its outputs and inputs.

    Returns
    -------
    Tensor [m, d]
        The orthogonal projection: from each class's weights and bias the mean over all classes is
        taken. Everything before the last layer is as it was.

    Examples
    --------
    Two classes, one feature: weights 3 and 1 have the mean 2, biases 0 and 4 too.

    >>> import torch
    >>> without_class_sums(torch.tensor([[7.0, 3.0, 1.0, 0.0, 4.0]]), 2, 1).tolist()
    [[7.0, 1.0, -1.0, -2.0, 2.0]]
    """
    projected = rows.clone()
    last = projected[:, rows.shape[1] - n_classes * (n_features + 1) :]
    weight, bias = last[:, :-n_classes].view(-1, n_classes, n_features), last[:, -n_classes:]
    weight -= weight.double().mean(1, keepdim=True).to(weight)
    bias -= bias.double().mean(1, keepdim=True).to(bias)
    return projected


@dataclass(frozen=True, kw_only=True)
class CraftedAttack(Attack):
    """Base of attacks whose rows are made up, and can be made to look like a last layer's update.

    Parameters
    ----------
    projected : bool
        Whether the class sums of the last layer's update are removed from what is sent.
    """

    projected: Annotated[bool, Added()] = False

    def infeasible(self, spec: AttackSpec) -> str | None:
        """Only a linear last layer has class sums."""
        if self.projected and not ends_linear(spec):
            return "projected=true needs a network that ends with a linear layer and its bias"
        return None

    def craft(self, view: AttackerView, state: Any) -> tuple[Tensor, State | None]:
        """Return what :meth:`sent` gives, without its class sums if they are to be removed."""
        rows, following = self.sent(view, state)
        if self.projected:
            weight = view.spec.layer_shapes[-2][1]
            rows = without_class_sums(rows, *weight)
        return rows, following

    @abstractmethod
    def sent(self, view: AttackerView, state: Any) -> tuple[Tensor, State | None]:
        """Return what the malicious clients send and the next state, as :meth:`craft` does."""
