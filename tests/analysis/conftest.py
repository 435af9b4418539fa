"""Fake cell records with chosen numbers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any

import pytest

NEEDS = {"trimmed_mean": ["f"], "krum": ["f"], "bulyan": ["f"], "fltrust": ["root_data", "model"]}
DETECTORS = {"flame", "krum_detector"}
ADAPTIVE = {"adaptive_min_max"}
BACKDOORS = {"dba"}


def fake_record(
    aggregator: str = "mean",
    attack: str = "none",
    accuracy: float | None = 0.9,
    *,
    seed: int = 0,
    malicious: float = 0.2,
    status: str = "done",
    **changes: Any,
) -> dict[str, Any]:
    """Return one record; `changes` go to the metrics if they are metrics, else to the identity."""
    metrics = {
        "accuracy": accuracy,
        "accuracy_std": 0.01,
        "validation_accuracy": accuracy,
        "class_accuracy": [accuracy] * 10,
        "worst_class_accuracy": accuracy and accuracy / 2,
        "loss": 0.3,
        "attack_success": None,
        "tpr": None,
        "fpr": None,
        "dacc": None,
        "auc": None,
    }
    metrics |= {name: changes.pop(name) for name in list(changes) if name in metrics}
    labels = {"dataset": "digits", "model": "mlp", "partition": "dirichlet(alpha=0.5)"}
    labels |= {name: changes.pop(name) for name in list(changes) if name in labels}
    needs = NEEDS.get(aggregator.split("(")[0], [])
    cell = {
        **{name: _method(text) for name, text in labels.items()},
        "attack": {"name": attack, "version": 1, "params": {}},
        "aggregator": [{"name": aggregator, "version": 1, "params": {}}],
        "clients": 10,
        "rounds": 20,
        "participation": 1.0,
        "local_epochs": 1,
        "local_steps": None,
        "batch_size": 32,
        "lr": 0.1,
        "momentum": 0.0,
        "weight_decay": 0.0,
        "server_lr": 1.0,
        "eval_every": 1,
        "validation": 0.1,
        "root_size": 100,
        "malicious": malicious,
        "assumed_f": "exact" if "f" in needs else None,
        "seed": seed,
    }
    cell |= changes
    bad = [] if attack == "none" else list(range(round(malicious * 10)))
    record: dict[str, Any] = {
        "schema_version": 1,
        "key": hashlib.sha256(json.dumps([cell, labels]).encode()).hexdigest()[:16],
        "status": status,
        "cell": cell,
        "labels": {**labels, "aggregator": aggregator, "attack": attack},
        "facts": {
            "needs": needs,
            "detector": aggregator in DETECTORS,
            "ranked": aggregator != "oracle_mean",
            "knowledge": "nothing" if attack == "none" else "all",
            "knows_defence": attack in ADAPTIVE,
            "adaptive": attack in ADAPTIVE,
            "category": "none" if attack == "none" else "backdoor" if attack in BACKDOORS else "update",
        },
        "reason": "krum needs n >= 2f + 3" if status == "infeasible" else None,
    }
    if status not in ("done", "diverged"):
        return record
    curve = [accuracy * (1 - 0.8 ** (t + 1)) for t in range(20)] if accuracy is not None else []
    return record | {
        "metrics": metrics,
        "curves": {
            "round": list(range(1, len(curve) + 1)),
            "accuracy": curve,
            "loss": [None] * len(curve),
            "attack_success": [None] * len(curve),
        },
        "detection": {"tpr": [0.5, None], "fpr": [0.25, 0.75], "dacc": [None, None], "lost_clients": [3, 4]}
        if aggregator in DETECTORS
        else None,
        "costs": {
            "train_seconds": 2.0,
            "attack_seconds": 0.1,
            "aggregate_seconds": 0.05,
            "evaluate_seconds": 0.2,
            "peak_memory_mb": 30.0,
        },
        "counts": {
            "rounds": 20,
            "non_finite_rows": 0,
            "capped_rounds": 0,
            "underestimated_rounds": 0,
            "kept_model_rounds": 0,
        },
        "federation": {
            "sizes": [100] * 10,
            "label_entropy": 2.0,
            "total_variation": 0.3,
            "malicious": bad,
        },
        "provenance": {"engine": "batched", "device": "cpu"},
    }


def _method(text: str) -> dict[str, Any]:
    """Return the identity of a method whose parameters, if any, are numbers."""
    name, _, inside = text.removesuffix(")").partition("(")
    pairs = [pair.split("=") for pair in inside.split(", ") if pair]
    return {"name": name, "version": 1, "params": {key: float(value) for key, value in pairs}}


def fake_grid(accuracies: dict[str, dict[str, float]], **common: Any) -> list[dict[str, Any]]:
    """Return one record for every rule and attack of ``{rule: {attack: accuracy}}``."""
    return [
        fake_record(rule, attack, accuracy, **common)
        for rule, row in accuracies.items()
        for attack, accuracy in row.items()
    ]


@pytest.fixture
def record() -> Callable[..., dict[str, Any]]:
    return fake_record


@pytest.fixture
def grid() -> Callable[..., list[dict[str, Any]]]:
    return fake_grid
