"""LEAF's JSON files: samples by user (Caldas et al., 2018)."""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from robustbench_fl.data.digests import open_data
from robustbench_fl.data.sets._files import Split, SplitName
from robustbench_fl.data.sets._manual import ManualSet

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOST_BYTES = 4 * 2**30
"""Of one JSON file."""


@dataclass(frozen=True, kw_only=True)
class LeafSet(ManualSet):
    """A data set in ``<name>/data/train/*.json`` and ``<name>/data/test/*.json``, as LEAF writes them.

    Each file has ``users`` and ``user_data``, in which every user has lists ``x`` and ``y`` of equal length.
    """

    @abstractmethod
    def samples(self, x: list[Any]) -> NDArray[np.uint8]:
        """Return the samples of one user as an array.

        Raises
        ------
        ValueError, TypeError
            If they are not what the data set has.
        """

    @abstractmethod
    def labels(self, y: list[Any]) -> NDArray[np.int64]:
        """Return the labels of one user; errors as in :meth:`samples`."""

    def wanted(self, data_dir: Path) -> Sequence[Path]:
        """Return the two folders."""
        return [data_dir / self.name / "data" / split for split in ("train", "test")]

    def read_from(self, data_dir: Path) -> Sequence[Path]:
        """Return the JSON files."""
        return [path for folder in self.wanted(data_dir) for path in _json_files(folder)]

    def where(self, data_dir: Path, split: SplitName) -> Path:
        """Return the split's folder."""
        return data_dir / self.name / "data" / split

    def read(self, data_dir: Path, split: SplitName) -> Split:
        """Read all users of one split, file by file, in the order of the files."""
        folder = self.where(data_dir, split)
        names: dict[str, int] = {}
        parts: list[tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64]]] = []
        for path in _json_files(folder):
            for user, x, y in self._users(path):
                try:
                    images, labels = self.samples(x), self.labels(y)
                except (ValueError, TypeError, OverflowError) as error:
                    raise self.damaged(path, f"of {user!r}: {error}") from error
                number = names.setdefault(user, len(names))
                parts.append((images, labels, np.full(len(labels), number, dtype=np.int64)))
        if not parts:
            raise self.damaged(folder, "it holds no JSON file with samples")
        images, labels, users = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
        return Split(images=images, labels=labels, columns={"users": users} if split == "train" else {})

    def _users(self, path: Path) -> list[tuple[str, list[Any], list[Any]]]:
        """Return the users of a file who have samples, with these."""
        if (size := path.stat().st_size) > MOST_BYTES:
            raise self.damaged(path, f"it has {size:,} bytes; at most {MOST_BYTES:,} are read")
        try:
            with open_data(path) as file:
                held = json.load(file)["user_data"]
            found = [(str(user), data["x"], data["y"]) for user, data in held.items()]
        except (OSError, ValueError, RecursionError, KeyError, TypeError, AttributeError) as error:
            raise self.damaged(path, f"it is no JSON of LEAF ({type(error).__name__}: {error})") from error
        for user, x, y in found:
            if not isinstance(x, list) or not isinstance(y, list) or len(x) != len(y):
                raise self.damaged(path, f"x and y of {user!r} are no lists of equal length")
        return [(user, x, y) for user, x, y in found if y]


def _json_files(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.glob("*.json")) if path.is_file()]
