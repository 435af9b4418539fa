"""What a method was compared with is read from its docstring, whole or not at all."""

from __future__ import annotations

import pytest

from robustbench_fl.api import registry
from robustbench_fl.api.faithfulness import Faithfulness, faithfulness, without_faithfulness


class Noted:
    """Does things.

    Notes
    -----
    Time O(n).

    Faithfulness
    ------------
    Release: none by the authors.
    Compared: numbers,
        by hand.
    Difference: 1e-7 of the largest.
    On purpose: a colon: and a ratio 2:1.

    References
    ----------
    .. [1] Me, "A rule", 2026.
    """


def test_a_note_by_hand() -> None:
    assert faithfulness(Noted) == Faithfulness(
        release="none by the authors.",
        compared="numbers, by hand.",
        difference="1e-7 of the largest.",
        on_purpose="a colon: and a ratio 2:1.",
    )


def test_the_rest_of_the_docstring_stays() -> None:
    left = without_faithfulness(Noted.__doc__ or "")
    assert "Faithfulness" not in left
    assert "Release" not in left
    assert "Time O(n).\n\n    References\n" in left


def test_a_docstring_without_a_note_has_none() -> None:
    assert faithfulness(Faithfulness) is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Release: none.", "says nothing of Compared, Difference, On purpose"),
        ("Found: none.", "begins with 'Found:'; its lines begin with Release:, Compared:"),
    ],
)
def test_half_a_note_is_refused(text: str, message: str) -> None:
    half = type("Half", (), {"__doc__": f"Do.\n\nFaithfulness\n------------\n{text}\n"})
    with pytest.raises(ValueError, match=message):
        faithfulness(half)


RULES = [entry for entry in registry.load_all("aggregators") if ".aggregators." in entry.cls.__module__]


@pytest.mark.parametrize("entry", RULES, ids=lambda entry: entry.name)
def test_every_rule_says_what_it_was_compared_with(entry: registry.Entry) -> None:
    assert faithfulness(entry.cls) is not None, "see CONTRIBUTING.md, What it was compared with"
