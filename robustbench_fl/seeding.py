"""Where plug-ins written for version 0.1 find what is now in :mod:`robustbench_fl.api`."""

import warnings

from robustbench_fl.core.seeding import stream, torch_generator

__all__ = ["stream", "torch_generator"]

warnings.warn(
    "robustbench_fl.seeding has moved: write `from robustbench_fl.api import stream`.",
    DeprecationWarning,
    stacklevel=2,
)
