"""Counts per test image as text."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from robustbench_fl.core.image_counts import packed, unpacked
from robustbench_fl.core.record import ImageCounts


def test_by_hand():
    # Bits 1, 0, 1 and five zeros: 160.
    assert packed(np.array([1, 0, 1]), 1) == "oA=="
    # Three bits each: 101 000 011 and seven zeros: 161, 128.
    assert packed(np.array([5, 0, 3]), 5) == "oYA="


@given(st.lists(st.integers(0, 7), min_size=1, max_size=60), st.integers(7, 300))
def test_there_and_back(counts, evaluations):
    text = packed(np.array(counts), evaluations)
    assert unpacked(text, len(counts), evaluations).tolist() == counts


def test_ten_thousand_images_take_five_kilobytes():
    text = packed(np.full(10_000, 5), 5)
    assert len(text) == 5000
    assert unpacked(text, 10_000, 5).sum() == 50_000


@pytest.mark.parametrize(
    ("text", "images", "evaluations", "message"),
    [
        ("oYA=", 30, 5, "4 characters are not the counts of 30 images"),
        ("oYA=", 10**15, 5, "4 characters are not the counts"),
        ("oYA=", 2, 5, "2 bytes are not the counts of 2 images"),
        ("o*A=", 3, 5, "base64"),
        ("öYA=", 3, 5, "ASCII"),
        ("oYA=", 0, 5, "no 0 images"),
        ("oYA=", 3, 0, "in 0 evaluations"),
        ("oYA=", 3, 10**30, "in 1000"),
        ("oYE=", 3, 5, "a count is above 5"),  # a bit behind the last image
        ("8AA=", 3, 5, "a count is above 5"),  # 111
    ],
)
def test_what_is_no_counts(text, images, evaluations, message):
    with pytest.raises(ValueError, match=message):
        unpacked(text, images, evaluations)


def test_a_record_holds_as_many_counts_as_it_says():
    ImageCounts(images=3, evaluations=5, packed="oYA=")
    with pytest.raises(ValidationError, match="characters are not the counts of 3000 images"):
        ImageCounts(images=3000, evaluations=5, packed="oYA=")
