"""Images in folders named by their class, in the formats and the order of torchvision's ImageFolder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from robustbench_fl.data.digests import open_data
from robustbench_fl.data.sets._files import Split

ENDINGS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")
FORMATS = ("JPEG", "PNG", "PPM", "BMP", "TIFF", "WEBP")
"""What Pillow may try; some of its other readers start programs."""
MOST_PIXELS = 50_000_000
"""Of one picture, as its header says, before any of it is decoded."""


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
    return sorted(path for name in class_names(folder) for path in _files(folder / name) if path.is_file())


def _files(folder: Path) -> Iterator[Path]:
    """Yield every file below a folder, folder by folder; a folder that links reach again is left out."""
    seen = set()
    for root, below, names in os.walk(folder, followlinks=True):
        below.sort()
        if (real := os.path.realpath(root)) in seen:
            below.clear()  # a link that leads back would have no end
            continue
        seen.add(real)
        yield from (Path(root) / name for name in sorted(names))


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
        If a file is damaged, of another size or too large, or a class has none.
    """
    listed = [
        (path, label) for label, name in enumerate(class_names(folder)) for path in _listed(folder / name)
    ]
    images = np.empty((len(listed), 1 if grey else 3, side, side), dtype=np.uint8)
    for place, (path, _) in enumerate(listed):
        with _opened(path) as file:
            images[place] = decoded(file, path, side, grey=grey, resize=resize)
    return Split(images=images, labels=np.array([label for _, label in listed], dtype=np.int64))


def _listed(folder: Path) -> list[Path]:
    """Return the pictures of one class, folder by folder, each sorted by name."""
    found = sorted(
        (path for path in _files(folder) if path.name.lower().endswith(ENDINGS)),
        key=lambda path: (str(path.parent), path.name),
    )
    if not found:
        raise BadImage(folder, f"it holds no picture whose name ends in {', '.join(ENDINGS)}")
    return found


def _opened(path: Path) -> BinaryIO:
    try:
        return open_data(path)
    except OSError as error:
        raise BadImage(path, f"it cannot be read as an image ({error})") from error


def decoded(file: BinaryIO, path: Path, side: int, *, grey: bool, resize: bool) -> Any:
    """Return the pixels of an image, uint8 [1 or 3, side, side].

    Parameters
    ----------
    file : binary file
        Holds it.
    path : Path
        What a message names.
    side, grey, resize
        As in :func:`read_folder`.

    Raises
    ------
    BadImage
        If it is damaged, too large, of more than 8 bits, or of another size that is not to be changed.
    """
    from PIL import Image

    try:
        with Image.open(file, formats=FORMATS) as opened:
            width, height = opened.size
            if width * height > MOST_PIXELS:
                raise BadImage(path, f"it has {width}×{height} pixels; at most {MOST_PIXELS:,} are read")
            if opened.mode.startswith(("I", "F")):  # Pillow would cut such pixels off at 255
                raise BadImage(path, f"its pixels have more than 8 bits ({opened.mode}); save it with 8 bits")
            image = opened.convert("L" if grey else "RGB")
    except BadImage:
        raise
    except Exception as error:  # Pillow's many readers fail in many ways
        raise BadImage(path, f"it cannot be read as an image ({type(error).__name__}: {error})") from error
    if image.size != (side, side):
        if not resize:
            raise BadImage(path, f"it has {image.width}×{image.height} pixels, not {side}×{side}")
        image = image.resize((side, side), Image.Resampling.BILINEAR)
    pixels = np.asarray(image)
    return pixels[None] if grey else pixels.transpose(2, 0, 1)
