"""Robust aggregation in federated learning, made comparable.

Three functions for a notebook, and a server for everything else::

    import robustbench_fl as rb

    rb.aggregate("nnm > krum", updates, f=2, seed=0)
    rb.run_cell(dataset="digits", aggregator="krum", attack="alie", malicious=0.3, seed=0)
    rb.load_results("results/quickstart")

    server = rb.Server("centered_clipping", params=net)
    server.aggregate_models(clients)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from robustbench_fl.core.version import __version__

_HOMES = {
    "CellResult": "notebook",
    "Outcome": "integrations.outcome",
    "Server": "integrations.server",
    "aggregate": "notebook",
    "load_results": "notebook",
    "run_cell": "notebook",
}

__all__ = ["CellResult", "Outcome", "Server", "__version__", "aggregate", "load_results", "run_cell"]

if TYPE_CHECKING:
    from robustbench_fl.integrations.outcome import Outcome
    from robustbench_fl.integrations.server import Server
    from robustbench_fl.notebook import CellResult, aggregate, load_results, run_cell


def __getattr__(name: str) -> Any:
    """Import what is asked for when it is first used: ``--help`` needs no torch."""
    if name in _HOMES:
        return getattr(import_module(f"robustbench_fl.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'robustbench_fl' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
