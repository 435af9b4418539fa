"""Labels as file names that no file system objects to and no label can break out of."""

from __future__ import annotations

import hashlib
import re

_MAX = 80


def safe(label: str) -> str:
    """Return `label` as one part of a file name.

    Everything but letters, digits, ``.``, ``=``, ``_`` and ``-`` becomes ``-``. A label that had to
    be changed beyond brackets, blanks, commas and ``>``, or cut, gets a short digest, so that two labels
    never share a name.

    Examples
    --------
    >>> safe("dirichlet(alpha=0.5)"), safe("0.3"), safe("../../etc")
    ('dirichlet-alpha=0.5', '0.3', 'etc-74ccf3')
    """
    plain = re.sub(r"[^A-Za-z0-9.=_-]+", "-", label)
    plain = re.sub(r"\.{2,}", "-", plain).strip("-.")
    harmless = re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9.=_(), >-]*", label) and ".." not in label
    if harmless and 0 < len(plain) <= _MAX:
        return plain
    digest = hashlib.sha256(label.encode(errors="backslashreplace")).hexdigest()[:6]
    return f"{plain[:_MAX]}-{digest}".lstrip("-.")
