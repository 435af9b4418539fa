"""Lengths of time, read and written."""

from __future__ import annotations

import pytest

from robustbench_fl.cli.durations import seconds_of
from robustbench_fl.core.errors import UsageError


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("30m", 1800), ("2h", 7200), ("45", 45), ("0.5", 0.5), ("1h30m", 5400),
     (" 1H 30m ", 5400), ("1d", 86400)],
)  # fmt: skip
def test_what_a_length_of_time_means(text: str, seconds: float) -> None:
    assert seconds_of(text, "--timeout") == seconds


@pytest.mark.parametrize(
    "text", ["", "0", "0s", "-5", "3x", "m", "nan", "inf", "1e3", "5 5", "1h 2h", "30 1m", "9" * 12]
)
def test_what_is_none_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(UsageError, match=r"--timeout must be a length of time such as 90s") as error:
        seconds_of(text, "--timeout")
    assert repr(text.strip().lower()) in str(error.value)
