"""Data sets: what they load, or what they say is missing."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path

import numpy as np

from robustbench_fl.api import Arrays, Dataset
from robustbench_fl.api.params import parameters
from robustbench_fl.conformance.checks import check, require
from robustbench_fl.core.errors import MissingDataError


@cache
def loaded(dataset: Dataset) -> Arrays | MissingDataError:
    """Return the arrays, or the error about missing files, from an empty data folder."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            return dataset.load(Path(folder))
        except MissingDataError as error:
            return error


def _needs_no_files(dataset: Dataset) -> bool:
    return isinstance(loaded(dataset), Arrays)


@check("datasets", applies=lambda dataset: not _needs_no_files(dataset))
def check_says_what_is_missing(dataset: Dataset) -> None:
    """Without its files it says where it looked and what to do, and fetches nothing by itself."""
    error = loaded(dataset)
    if isinstance(error, Arrays):
        return
    require(str(Path(tempfile.gettempdir())) in str(error), f"the folder is not named: {error}")
    require(len(str(error)) > 80, f"it does not say what to do: {error}")
    if any(parameter.place for parameter in parameters(type(dataset))):
        return  # the user's own data: only its files tell
    require(
        dataset.image_shape is not None, "its image_shape is unknown without the files; the plan needs it"
    )
    require(dataset.n_classes is not None, "its n_classes is unknown without the files; the plan needs it")


@check("datasets", applies=_needs_no_files)
def check_arrays(dataset: Dataset) -> None:
    """Images [N, channels, height, width] and int64 labels in range, as declared, in every class."""
    arrays = loaded(dataset)
    if not isinstance(arrays, Arrays):
        return
    shape, classes = arrays.train_images.shape[1:], arrays.n_classes
    require(dataset.image_shape in (None, shape), f"images are {shape}, declared {dataset.image_shape}")
    require(dataset.n_classes in (None, classes), f"{classes} classes, declared {dataset.n_classes}")
    for part, images, labels in (
        ("training", arrays.train_images, arrays.train_labels),
        ("test", arrays.test_images, arrays.test_labels),
    ):
        require(images.ndim == 4 and images.shape[1:] == shape, f"{part} images are {images.shape}")
        require(images.dtype in (np.uint8, np.float32), f"{part} images are {images.dtype}")
        require(
            labels.dtype == np.int64 and labels.shape == images.shape[:1], f"{part} labels: {labels.dtype}"
        )
        require(
            set(labels.tolist()) == set(range(classes)), f"{part} labels are not all of 0 … {classes - 1}"
        )


@check("datasets", applies=_needs_no_files)
def check_normalisation(dataset: Dataset) -> None:
    """One mean and one positive standard deviation a channel, near those of the training images."""
    arrays = loaded(dataset)
    if not isinstance(arrays, Arrays):
        return
    channels = arrays.train_images.shape[1]
    require(
        len(arrays.mean) == len(arrays.std) == channels, f"{len(arrays.mean)} means for {channels} channels"
    )
    require(min(arrays.std) > 0 and arrays.full_scale > 0, "std or full_scale is not positive")
    scaled = arrays.train_images.astype(np.float64) / arrays.full_scale
    normal = (scaled - _column(arrays.mean)) / _column(arrays.std)
    mean, std = np.abs(normal.mean((0, 2, 3))).max(), normal.std((0, 2, 3))
    require(mean < 0.1, f"normalised channels have means up to {mean:.2f}")
    require(
        std.min() > 0.8 and std.max() < 1.25, f"normalised channels have standard deviations {std.round(2)}"
    )


@check("datasets", applies=_needs_no_files)
def check_repeatable(dataset: Dataset) -> None:
    """Loading it again gives the same arrays."""
    first = loaded(dataset)
    if not isinstance(first, Arrays):
        return
    with tempfile.TemporaryDirectory() as folder:
        second = dataset.load(Path(folder))
    for name in ("train_images", "train_labels", "test_images", "test_labels"):
        require(
            np.array_equal(getattr(first, name), getattr(second, name)), f"{name} differs in a second load"
        )


def _column(values: tuple[float, ...]) -> np.ndarray:
    return np.array(values)[None, :, None, None]
