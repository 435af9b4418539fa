"""Where plug-ins written for version 0.1 find what is now in :mod:`robustbench_fl.api`."""

import warnings

from robustbench_fl.api.registry import OWN, register

__all__ = ["OWN", "register"]

warnings.warn(
    "robustbench_fl.registry has moved: write `from robustbench_fl.api import register`.",
    DeprecationWarning,
    stacklevel=2,
)
