"""Measure how long a suite takes on this machine: python sweeps/suites/time.py rbfl-1 DATA_DIR TIER...

The times go to sweeps/suites/NAME.times.json, where `robustbench-fl suite list` and `show` read them.
"""

import sys
from pathlib import Path

from robustbench_fl.core.provenance import provenance
from robustbench_fl.sweep.runner.environment import Environment
from robustbench_fl.sweep.runner.local import LocalBackend
from robustbench_fl.sweep.suite_times import times_of_tier
from robustbench_fl.sweep.suites import SuiteTimes, read_suite

if __name__ == "__main__":
    name, data_dir, *tiers = sys.argv[1:]
    suite = read_suite(name)
    backend = LocalBackend(1, Environment(data_dir=Path(data_dir)))
    found = {**suite.times.tiers}
    for tier in tiers:
        found[tier] = times_of_tier(suite, suite.tier(tier), backend, print)
    processor = provenance()["hardware"]["processor"]
    how = (
        "two rounds of each kind of cell, or finished cells where there are some, on one core "
        f"({processor}) of a busy machine; at most so many cells, since a picked strength may be the default."
    )
    text = SuiteTimes(how=how, tiers=found).model_dump_json(indent=1)
    Path(__file__).with_name(f"{name}.times.json").write_text(f"{text}\n")
