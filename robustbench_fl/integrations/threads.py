"""How many threads of PyTorch a round may use."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def at_most(threads: int | None) -> Iterator[None]:
    """Give PyTorch, and with it the rules' own pools, so many threads for a while.

    Parameters
    ----------
    threads : int, optional
        At least 1; by default PyTorch is left as it is.
    """
    if threads is None:
        yield
        return
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
