"""CPU seconds of a cell by what they went into."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import process_time


@dataclass
class Timers:
    """CPU seconds of this process by phase."""

    seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))

    @contextmanager
    def of(self, phase: str) -> Iterator[None]:
        """Add the time inside the block to `phase`."""
        before = process_time()
        try:
            yield
        finally:
            self.seconds[phase] += process_time() - before
