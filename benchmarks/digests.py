"""Processor time of digesting the code of plug-ins: what their identity adds to a start.

``python benchmarks/digests.py`` from a checkout. The plug-ins are this project's own rules, copied.
"""

from __future__ import annotations

import shutil
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from robustbench_fl.core import code

RULES = Path(__file__).resolve().parent.parent / "robustbench_fl" / "aggregators"


def seconds(files: Sequence[Path]) -> tuple[int, float]:
    """Return the methods that `files` register, and the processor time that digesting them all takes."""
    code._parsed.cache_clear()
    code._said.cache_clear()
    start = time.process_time()
    methods = [(file, name) for file in files for name in code.registered_in(file).values()]
    for file, name in methods:
        code.digest_of_code(file, name)
    return len(methods), time.process_time() - start


def main() -> None:
    """Print a Markdown table."""
    print("| plug-ins | methods | lines | s |\n|---|--:|--:|--:|")
    with tempfile.TemporaryDirectory() as folder:
        package = Path(folder) / "package"
        shutil.copytree(RULES, package)
        alone = Path(folder) / "alone" / "median.py"
        alone.parent.mkdir()
        shutil.copy(RULES / "median.py", alone)
        for what, files in (("one file", [alone]), ("a package", sorted(package.glob("[a-z]*.py")))):
            found = [seconds(files) for _ in range(5)]
            lines = sum(len(path.read_text().splitlines()) for path in files[0].parent.glob("*.py"))
            print(f"| {what} | {found[0][0]} | {lines:,} | {statistics.median(s for _, s in found):.3f} |")


if __name__ == "__main__":
    main()
