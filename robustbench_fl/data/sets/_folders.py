"""Images in folders named by their class, read with torchvision's ImageFolder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from robustbench_fl.data.sets._files import Split


class BadImage(Exception):
    """A file that is no image of the kind expected.

    Parameters
    ----------
    path : Path
        The file.
    reason : str
        What is wrong with it.
    """

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path, self.reason = path, reason


def image_files(folder: Path) -> list[Path]:
    """Return all files in the class folders below `folder`, sorted."""
    return sorted(path for path in folder.glob("*/**/*") if path.is_file())


def class_names(folder: Path) -> list[str]:
    """Return the names of the class folders, sorted: class i is the i-th."""
    return sorted(path.name for path in folder.iterdir() if path.is_dir())


def read_folder(folder: Path, *, side: int, grey: bool = False, resize: bool = False) -> Split:
    """Read every image of a folder of class folders.

    Parameters
    ----------
    folder : Path
        Holds one folder a class; class i is the i-th by name.
    side : int
        Height and width.
    grey : bool
        Whether one channel is kept, the luminance, or three.
    resize : bool
        Whether images of another size are scaled (bilinear), or refused.

    Returns
    -------
    Split
        uint8 images [N, 1 or 3, side, side], by class, then by name.

    Raises
    ------
    BadImage
        If a file is damaged or of another size.
    """
    from torchvision.datasets import ImageFolder

    listed: Sequence[tuple[str, int]] = ImageFolder(str(folder)).samples
    images = np.empty((len(listed), 1 if grey else 3, side, side), dtype=np.uint8)
    for place, (path, _) in enumerate(listed):
        images[place] = _pixels(Path(path), side, grey, resize)
    return Split(images=images, labels=np.array([label for _, label in listed], dtype=np.int64))


def _pixels(path: Path, side: int, grey: bool, resize: bool) -> Any:
    from PIL import Image

    try:
        with Image.open(path) as opened:
            image = opened.convert("L" if grey else "RGB")
    except Exception as error:  # Pillow's many readers fail in many ways
        raise BadImage(path, f"it cannot be read as an image ({type(error).__name__}: {error})") from error
    if image.size != (side, side):
        if not resize:
            raise BadImage(path, f"it has {image.width}×{image.height} pixels, not {side}×{side}")
        image = image.resize((side, side), Image.Resampling.BILINEAR)
    pixels = np.asarray(image)
    return pixels[None] if grey else pixels.transpose(2, 0, 1)
