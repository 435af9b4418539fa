"""Measure how long a suite takes on this machine: python sweeps/suites/time.py rbfl-1 DATA_DIR TIER...

The times go to sweeps/suites/NAME.times.json, where `robustbench-fl suite list` and `show` read them.
"""

import json
import sys
from pathlib import Path

from robustbench_fl.core.provenance import provenance
from robustbench_fl.sweep.runner.environment import Environment
from robustbench_fl.sweep.runner.local import LocalBackend
from robustbench_fl.sweep.suite_times import times_of_tier
from robustbench_fl.sweep.suites import read_suite

if __name__ == "__main__":
    name, data_dir, *tiers = sys.argv[1:]
    suite = read_suite(name)
    found = {**suite.times}
    backend = LocalBackend(1, Environment(data_dir=Path(data_dir)))
    for tier in tiers:
        found[tier] = times_of_tier(suite, suite.tier(tier), backend, print)
    processor = provenance()["hardware"]["processor"]
    found["how"] = (
        "two rounds of each kind of cell, or finished cells where there are some, on one core "
        f"({processor}); "
        "at most so many cells, since a picked strength may be the default."
    )
    Path(__file__).with_name(f"{name}.times.json").write_text(json.dumps(found, indent=1) + "\n")
