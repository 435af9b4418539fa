"""What can be wrong with a sweep's folder, and with one record in it."""

from __future__ import annotations

from pathlib import Path

from robustbench_fl.core.errors import UsageError
from robustbench_fl.core.foreign import command
from robustbench_fl.core.sealed import Damaged as Damaged


class StoreError(UsageError):
    """The folder cannot be read as a sweep's folder."""


def damaged(path: Path, why: object) -> StoreError:
    """Return the error for a file of a sweep's folder that cannot be trusted as a whole."""
    folder = str(path.parent)
    return StoreError(
        f"{path.name} in {folder!r} is damaged (it {why}). It is left as it is. Restore it, or keep what "
        f"is whole: {command('robustbench-fl', 'recover', folder)}"
    )


class NewerSchema(StoreError):
    """A record was written by a later version of this program."""

    def __init__(self, found: int, known: int) -> None:
        super().__init__(
            f"Records of schema {found} were written by a later robustbench-fl; "
            f"this one reads up to {known}. "
            "Update it (pip install --upgrade robustbench-fl), or use another folder."
        )
