"""Counts with their nouns."""

import pytest

from robustbench_fl.core.counted import counted


@pytest.mark.parametrize(("count", "said"), [(0, "0 cells"), (1, "1 cell"), (2, "2 cells")])
def test_one_alone_has_no_s(count: int, said: str) -> None:
    assert counted(count, "cell") == said
