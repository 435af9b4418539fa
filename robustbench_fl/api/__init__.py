"""The contracts that aggregators and attacks implement, and what each side may see."""

from robustbench_fl.api.attacker import Attack, AttackerView, AttackSpec, Defence, Poison, Trigger
from robustbench_fl.api.needs import Knowledge, Need
from robustbench_fl.api.server import (
    Aggregation,
    Aggregator,
    LayerShapes,
    PreAggregator,
    RootData,
    ServerSpec,
    ServerView,
    SortedRows,
    Trial,
)
from robustbench_fl.api.state import StageStates, State

__all__ = [
    "Aggregation",
    "Aggregator",
    "Attack",
    "AttackSpec",
    "AttackerView",
    "Defence",
    "Knowledge",
    "LayerShapes",
    "Need",
    "Poison",
    "PreAggregator",
    "RootData",
    "ServerSpec",
    "ServerView",
    "SortedRows",
    "StageStates",
    "State",
    "Trial",
    "Trigger",
]
