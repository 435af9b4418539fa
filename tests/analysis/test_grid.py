import numpy as np
import pytest

from robustbench_fl.analysis.blocks import completed, in_blocks
from robustbench_fl.analysis.frame import frame
from robustbench_fl.analysis.grid import grid
from robustbench_fl.analysis.inference import mean_interval, pairwise, worst_interval
from robustbench_fl.core.errors import UsageError
from robustbench_fl.core.image_counts import packed

RULES, ATTACKS, SEEDS = ("krum", "mean", "median"), ("alie", "ipm"), (3, 5, 7)


def records_of(record, values, counts=None, **common):
    """Return a record for each place of `values` [rules, attacks, seeds]; NaN is infeasible."""
    made = []
    for place in np.ndindex(values.shape):
        names = (RULES[place[0]], ATTACKS[place[1]])
        accuracy = float(values[place])
        if np.isnan(accuracy):
            made.append(record(*names, None, seed=SEEDS[place[2]], status="infeasible", **common))
            continue
        made.append(record(*names, accuracy, seed=SEEDS[place[2]], **common))
        if counts is not None:
            text = packed(counts[place], 5)
            made[-1]["image_counts"] = {"images": counts.shape[-1], "evaluations": 5, "packed": text}
    return made


def cells_of(records):
    return in_blocks(completed(frame(records)))


def test_the_places_of_the_axes(record):
    values = np.arange(18).reshape(3, 2, 3) / 100
    values[1, 0] = np.nan
    rng = np.random.default_rng(0)
    made = [*records_of(record, values, dataset="a"), *records_of(record, values + 0.5, dataset="b")]
    found = grid(cells_of([made[place] for place in rng.permutation(len(made))]))
    assert (found.rules, found.attacks, found.seeds) == (list(RULES), list(ATTACKS), list(SEEDS))
    assert sorted(found.test_sets) == ["a", "b"]
    for block, name in enumerate(found.test_sets):
        np.testing.assert_allclose(found.values[:, block], values + (0.5 if name == "b" else 0))
    assert found.image_correct is None


def test_images_enter_where_every_cell_has_them(record):
    counts = np.random.default_rng(1).integers(0, 6, (3, 2, 3, 50))
    values = counts.mean(axis=-1) / 5
    found = grid(cells_of(records_of(record, values, counts)))
    correct = (counts / 5)[:, None]
    told = {"image_correct": found.image_correct, "test_sets": found.test_sets}
    assert (
        pairwise(found.values, **told).tolist() == pairwise(values[:, None], image_correct=correct).tolist()
    )
    one = {**told, "image_correct": found.image_correct[0]}
    expected = worst_interval(values[:1], image_correct=correct[0])
    assert worst_interval(found.values[0], **one) == pytest.approx(expected)
    assert grid(cells_of(records_of(record, values, counts)), "loss").image_correct is None


def test_one_cell_without_images_and_one_that_is_missing(record):
    counts = np.random.default_rng(2).integers(0, 6, (3, 2, 3, 50))
    made = records_of(record, counts.mean(axis=-1) / 5, counts)
    old = {name: part for name, part in made[0].items() if name != "image_counts"}
    assert grid(cells_of([old, *made[1:]])).image_correct is None
    holed = grid(cells_of(made[1:]))
    assert holed.image_correct is not None
    with pytest.raises(UsageError, match=r"missing .* world 0, attack 0, seed 0"):
        mean_interval(holed.values[0])
