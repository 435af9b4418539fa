"""CPU seconds of a cell by what they went into."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import process_time

import torch


@dataclass
class Timers:
    """CPU seconds of this process by phase.

    Parameters
    ----------
    device : str
        Where the phases compute. A GPU computes on after it has been told what to do, so that a phase
        waits for what it began: else the next one would be charged with it.
    """

    device: str = "cpu"
    seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))

    @contextmanager
    def of(self, phase: str) -> Iterator[None]:
        """Add the time inside the block to `phase`."""
        self._settle()
        before = process_time()
        try:
            yield
        finally:
            self._settle()
            self.seconds[phase] += process_time() - before

    def _settle(self) -> None:
        if self.device == "cuda":
            torch.cuda.synchronize()
