"""Small recurrent network that predicts the next character (McMahan et al., 2017)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

import torch
from annotated_types import Ge

from robustbench_fl.api import ImageShape, Model, ModelFamily, SampleKind, UsageError, register

if TYPE_CHECKING:
    from torch import Tensor


class CharLstmModel(Model):
    """An embedding, layers of long short-term memory, and one linear layer after the last character.

    Parameters
    ----------
    input_shape : tuple of int
        The length of the text.
    n_classes : int
        Characters that there are: of the text, and to be predicted.
    embedding, hidden, layers : int
        Numbers for each character, units of a layer, layers.
    """

    def __init__(
        self, input_shape: ImageShape, n_classes: int, *, embedding: int, hidden: int, layers: int
    ) -> None:
        shapes: list[tuple[str, tuple[int, ...]]] = [("embedding.weight", (n_classes, embedding))]
        for i in range(1, layers + 1):
            width = embedding if i == 1 else hidden
            shapes += [
                (f"lstm{i}.input", (4 * hidden, width)),
                (f"lstm{i}.hidden", (4 * hidden, hidden)),
                (f"lstm{i}.bias", (4 * hidden,)),
            ]
        shapes += [("output.weight", (n_classes, hidden)), ("output.bias", (n_classes,))]
        super().__init__(input_shape, n_classes, tuple(shapes))

    def forward(self, tensors: Sequence[Tensor], images: Tensor) -> Tensor:
        """Return the logits [b, n_classes] of texts [b, length], characters as whole numbers."""
        embedding, *layers, weight, bias = tensors
        seen = torch.nn.functional.embedding(images.long(), embedding)
        for i in range(0, len(layers), 3):
            seen = _lstm(seen, layers[i], layers[i + 1], layers[i + 2])
        return torch.nn.functional.linear(seen[:, -1], weight, bias)


def _lstm(seen: Tensor, from_input: Tensor, from_hidden: Tensor, bias: Tensor) -> Tensor:
    """Return the hidden states [b, length, h] of one layer; gates are input, forget, cell, output."""
    gates = torch.nn.functional.linear(seen, from_input, bias)
    hidden = seen.new_zeros(seen.shape[0], from_hidden.shape[1])
    cell = hidden
    states: list[Tensor] = []
    for step in gates.unbind(1):
        taken, kept, new, shown = (step + torch.nn.functional.linear(hidden, from_hidden)).chunk(4, -1)
        cell = kept.sigmoid() * cell + taken.sigmoid() * new.tanh()
        hidden = shown.sigmoid() * cell.tanh()
        states.append(hidden)
    return torch.stack(states, 1)


@register("char_lstm", paper="McMahan 2017", year=2017)
@dataclass(frozen=True, kw_only=True)
class CharLstm(ModelFamily):
    """Two layers of LSTM over characters: 817,872 parameters for the 80 of Shakespeare.

    The paper's network: an embedding of 8, two layers of 256 units, and a linear layer. A gate has one bias,
    not two that are always added.

    Parameters
    ----------
    embedding : int
        Numbers that stand for a character.
    hidden : int
        Units of a layer.
    layers : int
        How many.

    References
    ----------
    .. [1] H. B. McMahan et al., "Communication-Efficient Learning of Deep Networks from
       Decentralized Data", AISTATS 2017, Section 3.
    """

    embedding: Annotated[int, Ge(1)] = 8
    hidden: Annotated[int, Ge(1)] = 256
    layers: Annotated[int, Ge(1)] = 2

    takes: ClassVar[frozenset[SampleKind]] = frozenset({"text"})

    def build(self, input_shape: ImageShape, n_classes: int) -> CharLstmModel:
        """Return the network for one task.

        Raises
        ------
        UsageError
            If the input is no text.
        """
        if len(input_shape) != 1:
            found = "×".join(map(str, input_shape))
            raise UsageError(f"char_lstm takes text, one number a character, not samples of {found}.")
        return CharLstmModel(
            input_shape, n_classes, embedding=self.embedding, hidden=self.hidden, layers=self.layers
        )
