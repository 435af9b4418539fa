"""Where the parameter tensors lie in a flat update."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from robustbench_fl.api import LayerShapes, UsageError

if TYPE_CHECKING:
    from torch import Tensor


def layer_columns(
    updates: Tensor, layer_shapes: LayerShapes, rule: str
) -> list[tuple[slice, tuple[int, ...]]]:
    """Return the columns and the shape of each parameter tensor.

    Parameters
    ----------
    updates : Tensor [n, d]
        One row a client.
    layer_shapes : tuple of (str, tuple of int)
        Names and shapes of the parameter tensors, in flattening order.
    rule : str
        Who asks, for the message.

    Raises
    ------
    UsageError
        If the shapes do not fill an update, for example because there are none.
    """
    found, start = [], 0
    for _, shape in layer_shapes:
        stop = start + math.prod(shape)
        found.append((slice(start, stop), shape))
        start = stop
    if start != updates.shape[1]:
        told = f"hold {start} of {updates.shape[1]} parameters" if layer_shapes else "are not known here"
        raise UsageError(
            f"{rule} looks at each parameter tensor, but the shapes of these {told}. Give them: "
            f'aggregate("{rule}", updates, layer_shapes=(("layer.weight", (10, 64)), ("layer.bias", (10,)))).'
        )
    return found
