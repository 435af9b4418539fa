"""What a running cell says of itself, whoever listens."""

from __future__ import annotations


class Listener:
    """Hears of a running cell; this one does nothing with it."""

    def round_finished(self, rounds: int) -> None:
        """Take note that so many rounds are finished."""

    def warned(self, message: str) -> None:
        """Take note of a warning, as it would be printed."""

    def retrying(self, reason: str) -> None:
        """Take note that the cell begins anew, and why."""
