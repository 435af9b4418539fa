"""Robust aggregation rules and pre-aggregators, one file each; the file's stem is the name.

May import ``api`` alone.
"""

if __name__ != "robustbench_fl.aggregators":
    raise ImportError(
        f"Import robustbench_fl.aggregators, not {__name__!r}: the same file under two names "
        "would register every rule twice."
    )
