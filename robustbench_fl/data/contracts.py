"""Where plug-ins written for version 0.1 find what is now in :mod:`robustbench_fl.api`."""

import warnings

from robustbench_fl.api import Arrays, Dataset, Partition, Samples

__all__ = ["Arrays", "Dataset", "Partition", "Samples"]

warnings.warn(
    "robustbench_fl.data.contracts has moved: write `from robustbench_fl.api import Dataset, Partition`.",
    DeprecationWarning,
    stacklevel=2,
)
