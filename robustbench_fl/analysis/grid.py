"""Cells of a table as the arrays that :mod:`robustbench_fl.analysis.inference` takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from robustbench_fl.analysis.image_counts import COLUMN, SharedImages
from robustbench_fl.analysis.picks import Array


@dataclass(frozen=True)
class Grid:
    """One number for every rule, block, attack and seed.

    Attributes
    ----------
    rules, blocks, attacks, seeds : list
        What the places of each axis are, sorted.
    values : array of shape [n_rules, n_blocks, n_attacks, n_seeds]
        NaN where there is no cell or it has no value.
    image_correct : SharedImages or None
        Indexed by rule, block and attack; None where a cell that has a value does not say which test
        images it classified correctly. All seeds of a data set share its test images.
    test_sets : list of str
        The data set of each block.
    """

    rules: list[str]
    blocks: list[int]
    attacks: list[str]
    seeds: list[int]
    values: Array
    image_correct: SharedImages | None
    test_sets: list[str]


def grid(cells: pd.DataFrame, value: str = "accuracy") -> Grid:
    """Return the cells of a table as arrays.

    Parameters
    ----------
    cells : pandas.DataFrame
        Rows of :func:`robustbench_fl.analysis.blocks.in_blocks`, at least one, such as those under an
        attack that is not adaptive.
    value : str, optional
        A column of numbers. Only accuracies have images.
    """
    names = ("aggregator", "_block", "attack", "seed")
    axes = [sorted(cells[name].unique().tolist()) for name in names]
    places = tuple(pd.Index(axis).get_indexer(cells[name]) for axis, name in zip(axes, names, strict=True))
    values = _spread(axes, places, cells[value].to_numpy(dtype=float), np.nan)
    images = None
    if value == "accuracy" and COLUMN in cells:
        images = SharedImages.of(_spread(axes, places, cells[COLUMN].to_numpy(dtype=object), None), values)
    of_block = cells.drop_duplicates("_block").set_index("_block")["dataset"]
    rules, blocks, attacks, seeds = axes
    return Grid(rules, blocks, attacks, seeds, values, images, of_block[blocks].tolist())


def _spread(
    axes: list[list[Any]], places: tuple[NDArray[np.intp], ...], column: NDArray[Any], empty: object
) -> NDArray[Any]:
    found = np.full([len(axis) for axis in axes], empty, dtype=column.dtype)
    found[places] = column
    return found
