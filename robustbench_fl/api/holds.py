"""What the samples of a data set are, and which methods can do with them."""

from __future__ import annotations

from typing import Literal

SampleKind = Literal["images", "numbers", "text"]
"""Images [channels, height, width], numbers [features], or characters [length], as whole numbers."""
EVERY_KIND: frozenset[SampleKind] = frozenset({"images", "numbers", "text"})


def unfit(method: str, takes: frozenset[SampleKind], dataset: str, holds: SampleKind) -> str | None:
    """Return why a method cannot work on a data set, ``None`` if it can.

    Parameters
    ----------
    method, dataset : str
        As the user knows them.
    takes : frozenset of str
        The kinds of samples that the method can do with.
    holds : str
        What the data set consists of.

    Examples
    --------
    >>> unfit("lenet5", frozenset({"images"}), "har", "numbers")
    'lenet5 takes images; har holds numbers'
    """
    if holds in takes:
        return None
    return f"{method} takes {' or '.join(sorted(takes))}; {dataset} holds {holds}"
