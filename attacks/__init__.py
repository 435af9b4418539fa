"""Attacks, one file each; the file's stem is the name.

May import ``api`` alone.
"""

if __name__ != "robustbench_fl.attacks":
    raise ImportError(
        f"Import robustbench_fl.attacks, not {__name__!r}: the same file under two names "
        "would register every attack twice."
    )
