"""A data set that Hugging Face's `datasets` saved on disk."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

import numpy as np
from annotated_types import Ge, Le

from robustbench_fl.api import OWN, UsageError, register
from robustbench_fl.data.digests import files_digest, open_data
from robustbench_fl.data.sets._files import Split, SplitName
from robustbench_fl.data.sets._folders import BadImage, decoded
from robustbench_fl.data.sets._own import OwnSet

if TYPE_CHECKING:
    import pyarrow  # type: ignore[import-untyped]
    from numpy.typing import NDArray

_MOST_STATE = 1 << 20


@register("hf", paper=OWN, year=2026)
@dataclass(frozen=True, kw_only=True)
class HuggingFace(OwnSet):
    """Images and labels in the folder that ``DatasetDict.save_to_disk`` wrote, with splits train and test.

    Read with pyarrow (extra ``hf``); `datasets` itself is not needed. Images must be stored in its files:
    paths to others are not followed. Further columns of whole numbers or texts are what
    ``by_column(column=<name>)`` can split by.

    Parameters
    ----------
    path : str
        The folder, relative to the data folder. It is not part of a cell's key.
    digest : str, optional
        First 16 hex digits of a SHA-256 of all names and contents. It is added when a sweep is
        planned, and is what names the data in a cell's key; if given, other content is refused.
    image : str
        The column of images.
    label : str
        The column of labels, whole numbers from 0.
    size : int
        Height and width to which images are scaled (bilinear).
    grey : bool
        Whether one channel is used, or three.
    classes : int, optional
        Number of classes; by default one more than the largest training label.
    mean, std : list of float, optional
        One value a channel, of pixels divided by 255; by default those of the training images.
    train : int, optional
        Use so many training images, the classes in proportion, the same ones in every cell.
    test : int, optional
        Likewise for the test images.
    """

    image: str = "image"
    label: str = "label"
    size: Annotated[int, Ge(4), Le(512)] = 32
    grey: bool = False

    name: ClassVar[str] = "hf"
    source: ClassVar[str] = "your own"

    @property
    def image_shape(self) -> tuple[int, ...]:  # type: ignore[override]
        """One channel or three of `size` × `size` pixels."""
        return (1 if self.grey else 3, self.size, self.size)

    def exists(self, place: Path) -> str | None:
        """Return what is missing."""
        absent = [part for part in ("train", "test") if not (place / part / "state.json").is_file()]
        return f"no state.json in {' nor in '.join(str(place / part) for part in absent)}" if absent else None

    def content_digest(self, data_dir: Path) -> str:
        """Return a SHA-256 of all names and contents."""
        place = self.place(data_dir)
        files = [file for part in ("train", "test") for file in self._arrow_files(place / part)]
        return files_digest(place, [*files, *(place / part / "state.json" for part in ("train", "test"))])

    def read(self, data_dir: Path, split: SplitName) -> Split:
        """Read one split, file by file."""
        folder = self.place(data_dir) / split
        tables = [self._table(path) for path in self._arrow_files(folder)]
        images = [image for table in tables for image in self._images(folder, table)]
        labels = np.concatenate([self._labels(folder, table) for table in tables])
        if not images:
            raise self.damaged(folder, "it holds no images")
        columns = self._columns(tables) if split == "train" else {}
        return Split(images=np.stack(images), labels=labels, columns=columns)

    def _arrow_files(self, folder: Path) -> Sequence[Path]:
        """Return the files that ``state.json`` names, which lie beside it."""
        path = folder / "state.json"
        try:
            with open_data(path) as file:
                names = [entry["filename"] for entry in json.loads(file.read(_MOST_STATE))["_data_files"]]
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise self.damaged(
                path, f"it does not name the files of a data set ({type(error).__name__})"
            ) from error
        if not names:
            raise self.damaged(path, "it names no files")
        for name in names:
            if not isinstance(name, str) or Path(name).name != name or not (folder / name).is_file():
                raise self.damaged(path, f"it names {str(name)[:80]!r}, which is no file beside it")
        return [folder / name for name in names]

    def _table(self, path: Path) -> pyarrow.Table:
        try:
            import pyarrow
        except ImportError:
            raise UsageError(
                "hf reads Arrow files, which takes pyarrow: pip install 'robustbench-fl[hf]'."
            ) from None
        try:
            with open_data(path) as file:
                table = pyarrow.ipc.open_stream(file).read_all()
                table.validate(full=True)
        except (OSError, pyarrow.ArrowException) as error:
            raise self.damaged(path, f"it is no whole Arrow stream ({str(error).splitlines()[0]})") from error
        if missing := [name for name in (self.image, self.label) if name not in table.column_names]:
            raise self.damaged(
                path, f"it has no column {' and no '.join(missing)}, only {', '.join(table.column_names)}"
            )
        return table

    def _images(self, folder: Path, table: pyarrow.Table) -> list[NDArray[np.uint8]]:
        found = []
        for number, value in enumerate(table.column(self.image).to_pylist()):
            content = value.get("bytes") if isinstance(value, dict) else value
            if not isinstance(content, bytes):
                raise self.damaged(
                    folder,
                    f"{self.image} {number} is not stored in the file; save the data set with its images",
                )
            try:
                found.append(decoded(io.BytesIO(content), folder, self.size, grey=self.grey, resize=True))
            except BadImage as error:
                raise self.damaged(folder, f"{self.image} {number}: {error.reason}") from error
        return found

    def _labels(self, folder: Path, table: pyarrow.Table) -> NDArray[np.int64]:
        values = table.column(self.label).to_pylist()
        if not all(type(value) is int and abs(value) < 2**63 for value in values):
            raise self.damaged(folder, f"{self.label} holds more than whole numbers")
        return np.array(values, dtype=np.int64)

    def _columns(self, tables: Sequence[pyarrow.Table]) -> dict[str, NDArray[np.int64]]:
        """Return the further columns of whole numbers or texts, their values numbered from 0."""
        found = {}
        for name in sorted(set(tables[0].column_names) - {self.image, self.label}):
            values = [value for table in tables for value in table.column(name).to_pylist()]
            if {type(value) for value in values} in ({int}, {str}):
                numbers = {value: number for number, value in enumerate(sorted(set(values)))}
                found[name] = np.array([numbers[value] for value in values], dtype=np.int64)
        return found
