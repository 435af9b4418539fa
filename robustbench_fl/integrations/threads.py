"""How many threads a round may use."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

import torch
from threadpoolctl import ThreadpoolController


@contextmanager
def at_most(threads: int | None) -> Iterator[None]:
    """Give PyTorch, and with it the rules' own pools, so many threads for a while.

    NumPy's linear algebra gets one, as in a simulated cell: its bits depend on their number, and those of
    its own would take the cores from a rule's.

    Parameters
    ----------
    threads : int, optional
        At least 1; by default PyTorch is left as it is.
    """
    before = torch.get_num_threads()
    with _libraries(len(sys.modules)).limit(limits=1, user_api="blas"):
        torch.set_num_threads(threads or before)
        try:
            yield
        finally:
            torch.set_num_threads(before)


@lru_cache(maxsize=1)
def _libraries(n_modules: int) -> ThreadpoolController:
    """Return the libraries that are loaded; to look for them takes milliseconds, so once a set of modules."""
    return ThreadpoolController()
