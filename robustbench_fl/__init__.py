"""Robust aggregation in federated learning, made comparable.

Three functions for a notebook::

    import robustbench_fl as rb

    rb.aggregate("nnm > krum", updates, f=2, seed=0)
    rb.run_cell(dataset="digits", aggregator="krum", attack="alie", malicious=0.3, seed=0)
    rb.load_results("results/quickstart")
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from robustbench_fl.core.version import __version__

__all__ = ["CellResult", "__version__", "aggregate", "load_results", "run_cell"]

if TYPE_CHECKING:
    from robustbench_fl.notebook import CellResult, aggregate, load_results, run_cell


def __getattr__(name: str) -> Any:
    """Import the notebook functions when they are first used: ``--help`` needs no torch."""
    if name in __all__:
        from robustbench_fl import notebook

        return getattr(notebook, name)
    raise AttributeError(f"module 'robustbench_fl' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
