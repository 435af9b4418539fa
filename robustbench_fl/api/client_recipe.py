"""The clients' training in the hands of the server."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class ClientRecipe:
    """The training that the server prescribes, to be run on data that it makes itself.

    Parameters
    ----------
    samples : int
        How many samples a client of this round has: the median of what they claim.
    train : callable
        ``train(images [k, s, ...], labels [k, s]) -> Tensor [k, n_params]``: the updates of k
        virtual clients, from the current global model. Images are inputs of the network, as the
        clients see them after normalisation; labels are classes.
    """

    samples: int
    train: Callable[[Tensor, Tensor], Tensor]
