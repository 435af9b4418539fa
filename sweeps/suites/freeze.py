"""Write how many cells a suite plans and the digests of their keys: python sweeps/suites/freeze.py rbfl-1.

Run it when a suite is new, and when picks of a pilot were added. A test compares the file with the plan.
"""

import json
import sys
from pathlib import Path

from robustbench_fl.sweep.suite_plan import frozen
from robustbench_fl.sweep.suites import read_suite

if __name__ == "__main__":
    for name in sys.argv[1:]:
        path = Path(__file__).with_name(f"{name}.frozen.json")
        path.write_text(json.dumps(frozen(read_suite(name)), indent=1) + "\n")
