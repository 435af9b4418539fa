"""A user's own pictures in folders."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

from annotated_types import Ge, Le

from robustbench_fl.api import OWN, register
from robustbench_fl.data.digests import files_digest
from robustbench_fl.data.sets._files import Split, SplitName
from robustbench_fl.data.sets._folders import BadImage, class_names, image_files, read_folder
from robustbench_fl.data.sets._own import OwnSet


@register("image_folder", paper=OWN, year=2026)
@dataclass(frozen=True, kw_only=True)
class ImageFolder(OwnSet):
    """Pictures in ``<path>/train/<class>/`` and ``<path>/test/<class>/``: JPEG, PNG, PPM, BMP, TIFF, WebP.

    Class i is the i-th folder of ``train`` by name; ``test`` must have the same folders. Pictures of
    another size are scaled to `size` × `size` (bilinear), whatever their proportions.

    Parameters
    ----------
    path : str
        The folder, relative to the data folder. It is not part of a cell's key.
    digest : str, optional
        First 16 hex digits of a SHA-256 of all names and contents. It is added when a sweep is
        planned, and is what names the data in a cell's key; if given, other content is refused.
    size : int
        Height and width to which pictures are scaled.
    grey : bool
        Whether one channel is used, or three.
    classes : int, optional
        Number of classes; by default that of the folders.
    mean, std : list of float, optional
        One value a channel, of pixels divided by 255; by default those of the training images.
    train : int, optional
        Use so many training images, the classes in proportion, the same ones in every cell.
    test : int, optional
        Likewise for the test images.
    """

    size: Annotated[int, Ge(4), Le(512)] = 32
    grey: bool = False

    name: ClassVar[str] = "image_folder"
    source: ClassVar[str] = "your own"

    @property
    def image_shape(self) -> tuple[int, int, int]:  # type: ignore[override]
        """One channel or three of `size` × `size` pixels."""
        return (1 if self.grey else 3, self.size, self.size)

    def exists(self, place: Path) -> str | None:
        """Return what is missing."""
        absent = [name for name in ("train", "test") if not (place / name).is_dir()]
        return (
            f"there is no folder {' and no folder '.join(str(place / n) for n in absent)}" if absent else None
        )

    def content_digest(self, data_dir: Path) -> str:
        """Return a SHA-256 of all names and contents."""
        place = self.place(data_dir)
        return files_digest(place, (file for part in ("train", "test") for file in image_files(place / part)))

    def read(self, data_dir: Path, split: SplitName) -> Split:
        """Read the pictures of one split."""
        place = self.place(data_dir)
        names = class_names(place / "train")
        if split == "test" and (odd := sorted(set(names) ^ set(class_names(place / "test")))):
            raise self.damaged(
                place / "test", f"train and test do not both have the classes {', '.join(odd)}"
            )
        try:
            return read_folder(place / split, side=self.size, grey=self.grey, resize=True)
        except BadImage as error:
            raise self.damaged(error.path, error.reason) from error
