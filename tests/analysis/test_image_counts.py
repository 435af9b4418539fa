import numpy as np
import pytest

from robustbench_fl.analysis.frame import COLUMNS, frame
from robustbench_fl.analysis.image_counts import COLUMN, Counted, SharedImages
from robustbench_fl.analysis.inference import mean_interval, pairwise
from robustbench_fl.core.errors import UsageError
from robustbench_fl.core.image_counts import packed
from robustbench_fl.report.tables import render

COUNTS = np.array([5, 4, 0, 5])


def with_counts(told, counts=COUNTS, evaluations=5, accuracy=None):
    """Return the record `told` with counts per image and the accuracy they give."""
    shown = float(counts.mean()) / evaluations if accuracy is None else accuracy
    stored = {"images": len(counts), "evaluations": evaluations, "packed": packed(counts, evaluations)}
    metrics = {**told["metrics"], "accuracy": shown}
    return {**told, "metrics": metrics, "image_counts": stored}


def test_shares_of_the_evaluations(record):
    counted = Counted.of(with_counts(record()))
    assert counted.correct().tolist() == [1.0, 0.8, 0.0, 1.0]


def test_an_evaluation_that_broke_down_counts_as_chance(record):
    # One of five evaluations, ten classes: 0.02 for each image beside what the other four say.
    counts = np.array([4, 4, 0, 3])
    told = with_counts(record(status="diverged"), counts, accuracy=0.55 + 0.02)
    assert Counted.of(told).correct() == pytest.approx([0.82, 0.82, 0.02, 0.62])


@pytest.mark.parametrize("changes", [{"image_counts": None}, {"metrics": None}])
def test_records_without_counts(record, changes):
    assert Counted.of(record()) is None
    assert Counted.of({**with_counts(record()), **changes}) is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"accuracy": 0.9}, r"their mean is 0\.7000, the accuracy 0\.9000"),
        ({"text": "AAA="}, r"their mean is 0\.0000, the accuracy 0\.7000"),
        ({"text": "////"}, "characters|bytes"),
        ({"finite": False, "accuracy": 0.6}, r"the accuracy 0\.6000"),
    ],
)
def test_a_record_that_contradicts_itself_is_named(record, changes, message):
    told = with_counts(record())
    with pytest.raises(UsageError, match=message) as caught:
        Counted.of(told)._replace(**changes).correct()
    assert f"cells/{told['key']}.json" in str(caught.value)


def test_a_frame_carries_them_where_there_are_any_and_no_listing_shows_them(record):
    old, new = record(seed=0), with_counts(record(seed=1))
    assert COLUMN not in frame([old])
    table = frame([old, new])
    assert table.columns[-1] == COLUMN
    assert isinstance(table[COLUMN][1], Counted)
    for format_ in ("csv", "json", "md"):
        assert COLUMN not in render(table, format_)
    assert set(COLUMNS) <= set(table)


def test_intervals_from_records(record):
    rng = np.random.default_rng(0)
    counts = rng.integers(0, 6, (2, 1, 1, 3, 40))
    cells = np.empty((2, 1, 1, 3), dtype=object)
    for place in np.ndindex(cells.shape):
        cells[place] = Counted.of(with_counts(record(seed=place[-1]), counts[place]))
    correct = counts / 5
    values = correct.mean(axis=-1)
    shared = SharedImages.of(cells, values)
    assert len(shared) == 2
    assert mean_interval(values[0], image_correct=shared[0]) == pytest.approx(
        mean_interval(values[0], image_correct=correct[0])
    )
    assert pairwise(values, image_correct=shared).tolist() == pairwise(values, image_correct=correct).tolist()
    assert [len(part) for part in shared[:1]] == [1]


def test_one_old_record_is_enough_to_leave_images_out(record):
    cells = np.array([[None, None]], dtype=object)
    cells[0, 0] = Counted.of(with_counts(record()))
    assert SharedImages.of(cells, np.array([[0.7, 0.5]])) is None
    assert SharedImages.of(cells, np.array([[0.7, np.nan]])) is not None
    assert SharedImages.of(cells, np.array([[np.nan, np.nan]])) is None


def test_seeds_with_other_numbers_of_images(record):
    cells = np.empty((1, 2), dtype=object)
    cells[0, :] = [Counted.of(with_counts(record(), counts)) for counts in (COUNTS, COUNTS[:3])]
    with pytest.raises(UsageError, match="3 and 4 test images"):
        SharedImages(cells)[0]
