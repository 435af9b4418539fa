"""What a page shows between its markers, made anew."""

from __future__ import annotations

import re
from collections.abc import Mapping


def with_made(text: str, made: Mapping[str, str], page: str) -> str:
    """Return a page's `text` with what stands between the markers of each name of `made` replaced.

    Raises
    ------
    SystemExit
        If the text does not hold a pair of markers once. It names the `page`.
    """
    for name, new in made.items():
        pattern = rf"(<!-- {re.escape(name)} -->\n).*?(<!-- /{re.escape(name)} -->)"
        text, count = re.subn(
            pattern, lambda found, new=new: f"{found[1]}{new}\n{found[2]}", text, flags=re.DOTALL
        )
        if count != 1:
            raise SystemExit(f"{page} must hold the marker {name!r} once, found {count}.")
    return text
