"""A digest of this program's own code: what was made by the same code need not be made again."""

from __future__ import annotations

import hashlib
from pathlib import Path

_PACKAGE = Path(__file__).parent


def digest_of_sources(*packages: str) -> str:
    """Return the SHA-256 of the Python files and assets of parts of this package.

    Parameters
    ----------
    *packages : str
        Modules or folders in ``robustbench_fl/``, such as ``"analysis"`` and ``"record.py"``.
    """
    digest = hashlib.sha256()
    for package in packages:
        place = _PACKAGE / package
        files = [place] if place.is_file() else sorted(p for p in place.rglob("*") if p.suffix in _KINDS)
        for path in files:
            content = path.read_bytes()
            digest.update(f"{path.relative_to(_PACKAGE)} {len(content)}\n".encode() + content)
    return digest.hexdigest()


_KINDS = frozenset({".py", ".js", ".css", ".j2"})
