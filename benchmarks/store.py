"""Speed and memory of reading folders of many finished cells, loose and packed, with and without an index.

Run ``python benchmarks/store.py``; ``--cells 100000`` for another size, ``--folder DIR`` to keep the fake
folders. Every figure is taken in a process of its own, started anew: ``cold`` without an index file,
``warm`` with one. Files lie in the system's cache in both. Prints one Markdown table.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from fakes import fake_folder

ACTIONS = {
    "statuses": "store.statuses()",
    "frame": "frame(store.summaries())",
    "records": "store.records()",
}
_CODE = """
import json, resource, sys, time
from pathlib import Path
from robustbench_fl.store import Store
from robustbench_fl.analysis.frame import frame
store = Store.existing(Path(sys.argv[1]))
before = time.process_time()
found = {action}
seconds = time.process_time() - before
print(json.dumps([len(found), seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024]))
"""


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, nargs="+", default=[10_000])
    parser.add_argument("--folder", type=Path, help="Where fake folders lie, or are made.")
    options = parser.parse_args()
    place = options.folder or Path(tempfile.mkdtemp())
    print("| cells | stored | index | what | seconds | peak MB |\n|--:|---|---|---|--:|--:|")
    try:
        for cells in options.cells:
            for packed in (False, True):
                _measure(place / f"{cells}-{'packed' if packed else 'loose'}", cells, packed)
    finally:
        if not options.folder:
            shutil.rmtree(place)


def _measure(folder: Path, cells: int, packed: bool) -> None:
    if not folder.exists():
        fake_folder(folder, cells, packed=packed)
        time.sleep(0.1)  # so that no file is as young as one that may still change
    for what, action in ACTIONS.items():
        for warm in (False, True):
            if not warm:
                (folder / ".index.sqlite").unlink(missing_ok=True)
            found, seconds, memory = _timed(folder, action)
            assert found == cells
            stored, index = "packed" if packed else "loose", "warm" if warm else "cold"
            print(f"| {cells:,} | {stored} | {index} | {what} | {seconds:.2f} | {memory:.0f} |", flush=True)


def _timed(folder: Path, action: str) -> tuple[int, float, float]:
    done = subprocess.run(
        [sys.executable, "-c", _CODE.format(action=action), str(folder)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    found, seconds, memory = json.loads(done.stdout)
    return found, seconds, memory


if __name__ == "__main__":
    main()
