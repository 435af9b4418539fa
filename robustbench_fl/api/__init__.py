"""The one door for authors: every contract, the registry, the spec language, parameters and pipelines.

A method's file imports from here and from nowhere else::

    from robustbench_fl.api import Aggregation, Aggregator, Need, register

May import ``core`` alone. Names are imported when they are first asked for, since some need torch and
the main process of a sweep never imports it; modules within this room import each other directly.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from robustbench_fl.api.adam import Adam
    from robustbench_fl.api.aggregator import (
        Aggregation,
        Aggregator,
        PreAggregator,
        RootData,
        ServerSpec,
        ServerView,
    )
    from robustbench_fl.api.attack import Attack, AttackerView, AttackSpec, Defence, Poison
    from robustbench_fl.api.build import make
    from robustbench_fl.api.client_recipe import ClientRecipe
    from robustbench_fl.api.dataset import Arrays, Dataset
    from robustbench_fl.api.fast_paths import FromDistances, FromLengths, FromOrder, SortedRows, Trial
    from robustbench_fl.api.holds import EVERY_KIND, SampleKind
    from robustbench_fl.api.mapped import columns_of, in_file
    from robustbench_fl.api.model import ImageShape, LayerShapes, Model, ModelFamily
    from robustbench_fl.api.needs import Knowledge, Need
    from robustbench_fl.api.params import Added, Place, Shown
    from robustbench_fl.api.partition import Partition, Samples
    from robustbench_fl.api.registry import OWN, register
    from robustbench_fl.api.state import StageStates, State
    from robustbench_fl.api.trigger import GivenImages, RareImages, Stamp, Trigger
    from robustbench_fl.core.errors import (
        InfeasibleError,
        MissingDataError,
        PartitionError,
        UsageError,
        did_you_mean,
    )
    from robustbench_fl.core.seeding import stream, torch_generator

_HOMES = {
    "api.adam": ("Adam",),
    "api.aggregator": (
        "Aggregation",
        "Aggregator",
        "PreAggregator",
        "RootData",
        "ServerSpec",
        "ServerView",
    ),
    "api.attack": ("Attack", "AttackSpec", "AttackerView", "Defence", "Poison"),
    "api.build": ("make",),
    "api.client_recipe": ("ClientRecipe",),
    "api.dataset": ("Arrays", "Dataset"),
    "api.fast_paths": ("FromDistances", "FromLengths", "FromOrder", "SortedRows", "Trial"),
    "api.mapped": ("columns_of", "in_file"),
    "api.model": ("ImageShape", "LayerShapes", "Model", "ModelFamily"),
    "api.needs": ("Knowledge", "Need"),
    "api.params": ("Added", "Place", "Shown"),
    "api.holds": ("EVERY_KIND", "SampleKind"),
    "api.partition": ("Partition", "Samples"),
    "api.registry": ("OWN", "register"),
    "api.state": ("StageStates", "State"),
    "api.trigger": ("GivenImages", "RareImages", "Stamp", "Trigger"),
    "core.errors": ("InfeasibleError", "MissingDataError", "PartitionError", "UsageError", "did_you_mean"),
    "core.seeding": ("stream", "torch_generator"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "EVERY_KIND",
    "OWN",
    "Adam",
    "Added",
    "Aggregation",
    "Aggregator",
    "Arrays",
    "Attack",
    "AttackSpec",
    "AttackerView",
    "ClientRecipe",
    "Dataset",
    "Defence",
    "FromDistances",
    "FromLengths",
    "FromOrder",
    "GivenImages",
    "ImageShape",
    "InfeasibleError",
    "Knowledge",
    "LayerShapes",
    "MissingDataError",
    "Model",
    "ModelFamily",
    "Need",
    "Partition",
    "PartitionError",
    "Place",
    "Poison",
    "PreAggregator",
    "RareImages",
    "RootData",
    "SampleKind",
    "Samples",
    "ServerSpec",
    "ServerView",
    "Shown",
    "SortedRows",
    "StageStates",
    "Stamp",
    "State",
    "Trial",
    "Trigger",
    "UsageError",
    "columns_of",
    "did_you_mean",
    "in_file",
    "make",
    "register",
    "stream",
    "torch_generator",
]


def __getattr__(name: str) -> Any:
    """Import the module that holds `name`, when `name` is first used."""
    if name not in _HOME_OF:
        raise AttributeError(f"module 'robustbench_fl.api' has no attribute {name!r}")
    value = getattr(import_module(f"robustbench_fl.{_HOME_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
