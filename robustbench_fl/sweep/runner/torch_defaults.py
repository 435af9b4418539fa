"""What a method may set in torch or NumPy for the whole process, and what is put back after every cell."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

_RNG = "the state of its random numbers"


def _set_device(kind: str) -> None:
    torch.set_default_device(None if kind == "cpu" else kind)  # any device but none costs time in every call


_DEFAULTS: dict[str, tuple[Callable[[], Any], Callable[[Any], Any], Any]] = {
    "the default dtype": (torch.get_default_dtype, torch.set_default_dtype, torch.float32),
    "the number of threads": (torch.get_num_threads, torch.set_num_threads, 1),
    "deterministic algorithms": (
        torch.are_deterministic_algorithms_enabled,
        torch.use_deterministic_algorithms,
        False,
    ),
    "gradients": (torch.is_grad_enabled, torch.set_grad_enabled, True),
    "the default device": (lambda: torch.get_default_device().type, _set_device, "cpu"),
    "the precision of products": (
        torch.get_float32_matmul_precision,
        torch.set_float32_matmul_precision,
        "highest",
    ),
    "NumPy's errors": (np.geterr, lambda how: np.seterr(**how), np.geterr()),
}
"""How each is read and set, and what it is in every cell."""


@contextmanager
def torch_defaults(methods: str) -> Iterator[None]:
    """Run a cell under the same defaults as every other, and warn if its methods leave others behind.

    Parameters
    ----------
    methods : str
        Names the methods of the cell in the warning.
    """
    before = {name: read() for name, (read, _, _) in _DEFAULTS.items()}
    for name, (_, put, usual) in _DEFAULTS.items():
        if before[name] != usual:
            put(usual)
    drawn = torch.get_rng_state()
    try:
        yield
    finally:
        changed = [name for name, (read, _, usual) in _DEFAULTS.items() if read() != usual]
        if not torch.equal(torch.get_rng_state(), drawn):
            changed.append(_RNG)
            torch.set_rng_state(drawn)
        for name, (read, put, _) in _DEFAULTS.items():
            if read() != before[name]:
                put(before[name])
        if changed:
            warnings.warn(
                f"{methods} changed what holds for all methods: {', '.join(changed)}. It was put back after "
                "the cell; a method should leave it alone.",
                stacklevel=2,
            )
