"""The exact ways to unroll a network, and which one is taken."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, Protocol

from robustbench_fl.aggregators._reconstruction_lowrank import LowRankDistance
from robustbench_fl.aggregators._reconstruction_unroll import (
    UnrolledDistance,
    stacked_by_model,
    stacked_by_vmap,
)
from robustbench_fl.api import UsageError

if TYPE_CHECKING:
    from torch import Tensor

    from robustbench_fl.api import Model

Path = Literal["auto", "vmap", "stacked", "lowrank"]
"""Names of the ways, ``auto`` for the fastest that applies."""


class Distance(Protocol):
    """Squared distances between updates and unrolled training."""

    start: Tensor

    def __call__(self, images: Tensor, labels: Tensor, steps: Tensor, updates: Tensor | None) -> Tensor:
        """Return ‖φ_S − φ_0 − u‖² [m]."""

    def row_bytes(self, images: Tensor, n_classes: int) -> int:
        """Return roughly what the graph of one client takes."""


def distance_for(
    model: Model | Callable[[Tensor, Tensor], Tensor], start: Tensor, unroll_steps: int, path: Path = "auto"
) -> Distance:
    """Return the fastest exact way to unroll `model`, or the one named by `path`.

    Parameters
    ----------
    model : Model or callable
        A network of the zoo, or ``apply(params [P], images [b, ...]) -> logits [b, C]``.
    start : Tensor [P]
        Global parameters.
    unroll_steps : int
        Gradient steps S.
    path : {"auto", "vmap", "stacked", "lowrank"}
        ``lowrank`` for networks with ``widths`` (MLPs), ``stacked`` for those with their own
        ``forward_stacked``, ``vmap`` for everything; ``auto`` takes the first that applies.

    Raises
    ------
    UsageError
        If the network has not what `path` needs.
    """
    network: Any = model
    widths = getattr(network, "widths", None)
    own_stack = _has_own_stack(network)
    chosen = path
    if path == "auto":
        chosen = "lowrank" if widths else "stacked" if own_stack else "vmap"
    if chosen == "lowrank":
        if not widths:
            raise UsageError(
                f"path='lowrank' needs an MLP with `widths`; {model!r} has none. Use path='auto'."
            )
        return LowRankDistance(widths, start, unroll_steps)
    if chosen == "stacked":
        if not hasattr(network, "forward_stacked"):
            raise UsageError(f"path='stacked' needs `forward_stacked`; {model!r} has none. Use path='vmap'.")
        return UnrolledDistance(stacked_by_model(network), start, unroll_steps)
    if chosen == "vmap":
        return UnrolledDistance(stacked_by_vmap(model), start, unroll_steps)
    raise UsageError(f"path must be auto, vmap, stacked or lowrank, got {path!r}.")


def _has_own_stack(model: object) -> bool:
    """Whether the network brings its own stacked forward pass, not the base class's ``vmap``."""
    owner = next((cls for cls in type(model).__mro__ if "forward_stacked" in vars(cls)), None)
    return owner is not None and owner.__name__ != "Model"
