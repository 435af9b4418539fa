"""Where a number comes from: versions, commit and hardware; never a path, host or user name."""

from __future__ import annotations

import hashlib
import platform
import subprocess
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

_PACKAGE = Path(__file__).resolve().parents[1]
_KINDS = frozenset({".py", ".js", ".css", ".j2"})
SIMULATION = ("aggregators", "attacks", "api", "core", "data", "engine", "models")
"""All code that decides what a cell gives; what was begun with other code is not gone on with."""
_PACKAGES = ("robustbench-fl", "torch", "torchvision", "numpy", "scikit-learn", "scipy")


@lru_cache(maxsize=1)
def provenance() -> dict[str, Any]:
    """Return versions, git commit, dirty flag and hardware of this process."""
    return {
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in _PACKAGES}},
        "commit": _git("rev-parse", "--short=12", "HEAD"),
        "dirty": _dirty(),
        "hardware": {"machine": platform.machine(), "processor": _processor(), "system": platform.system()},
    }


def digest_of_sources(*packages: str) -> str:
    """Return the SHA-256 of the Python files and assets of parts of this package.

    Parameters
    ----------
    *packages : str
        Modules or folders in ``robustbench_fl/``, such as ``"analysis"`` and ``"core/record.py"``.

    Raises
    ------
    ValueError
        If there is no such module or folder: the digest of nothing would agree with anything.
    """
    digest = hashlib.sha256()
    for package in packages:
        place = _PACKAGE / package
        if not place.exists():
            raise ValueError(f"There is no {package!r} in {_PACKAGE.name}/ of which to take a digest.")
        files = [place] if place.is_file() else sorted(p for p in place.rglob("*") if p.suffix in _KINDS)
        for path in files:
            content = path.read_bytes()
            digest.update(f"{path.relative_to(_PACKAGE)} {len(content)}\n".encode() + content)
    return digest.hexdigest()


def without_paths(text: str, *known: Path) -> str:
    """Return `text` with absolute paths of this machine shortened, fit to be stored and shared.

    Parameters
    ----------
    text : str
        A message or a traceback.
    known : Path
        Further folders to shorten to their last name.
    """
    import sys

    roots = {
        str(_PACKAGE.parent): ".",
        sys.prefix: "<python>",
        sys.base_prefix: "<python>",
        str(Path.home()): "~",
    }
    roots |= {str(path): f"<{path.name}>" for path in known if len(path.parts) > 1}
    for root in sorted(roots, key=len, reverse=True):
        text = text.replace(root, roots[root])
    return text


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _git(*arguments: str) -> str | None:
    """Return git's answer in the source checkout, ``None`` outside of one."""
    folder = _PACKAGE.parent
    if not (folder / ".git").exists():
        return None
    try:
        done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _dirty() -> bool | None:
    changes = _git("status", "--porcelain", "--untracked-files=no", "--", "*.py", "*.toml", "*.cfg")
    return None if changes is None else bool(changes)


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
