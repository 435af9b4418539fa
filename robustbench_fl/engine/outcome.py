"""A finished simulation as the parts of a stored record."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from robustbench_fl.core.durability import durability
from robustbench_fl.core.image_counts import packed
from robustbench_fl.core.record import (
    Costs,
    Counts,
    Curves,
    Detection,
    FederationReport,
    ImageCounts,
    Metrics,
)
from robustbench_fl.engine.simulation import Simulation


def outcome(simulation: Simulation, peak_memory_mb: float | None) -> dict[str, Any]:
    """Return status, metrics, curves, verdicts, costs, counts and images of a finished simulation.

    Parameters
    ----------
    simulation : Simulation
        After its last round.
    peak_memory_mb : float, optional
        Peak memory of the cell, where it could be measured.
    """
    seconds = simulation.timers.seconds
    return {
        "status": "diverged" if simulation.scores.diverged else "done",
        "metrics": _metrics(simulation),
        "curves": Curves(
            round=simulation.scores.rounds,
            accuracy=simulation.scores.accuracy,
            loss=simulation.scores.loss,
            attack_success=simulation.scores.attack_success,
        ),
        "detection": _detection(simulation),
        "costs": Costs(
            train_seconds=seconds["train"],
            attack_seconds=seconds["attack"],
            aggregate_seconds=seconds["aggregate"],
            evaluate_seconds=seconds["evaluate"],
            peak_memory_mb=peak_memory_mb,
        ),
        "counts": Counts(rounds=simulation.round, **simulation.ledger.counts),
        "federation": _federation(simulation),
        "image_counts": _image_counts(simulation),
        "diagnostics": simulation.ledger.diagnostics or None,
    }


def _image_counts(simulation: Simulation) -> ImageCounts | None:
    if simulation.own_models is not None:
        return None  # one model a client: an image is neither right nor wrong
    counts, evaluations = simulation.scores.image_counts(), len(simulation.scores.last)
    return ImageCounts(images=len(counts), evaluations=evaluations, packed=packed(counts, evaluations))


def _metrics(simulation: Simulation) -> Metrics:
    scores, tally = simulation.scores, simulation.ledger.tally
    accuracy, deviation = scores.final_accuracy()
    classes = scores.final_classes()
    detected = tally.cumulative() if simulation.rule.detector else None
    return Metrics(
        accuracy=accuracy,
        accuracy_std=deviation,
        validation_accuracy=scores.final_validation(),
        class_accuracy=classes,
        worst_class_accuracy=min((value for value in classes if value is not None), default=0.0),
        loss=scores.final_loss(),
        attack_success=scores.final_attack_success(),
        tpr=detected.tpr if detected else None,
        fpr=detected.fpr if detected else None,
        dacc=detected.dacc if detected else None,
        auc=float(np.mean(tally.aucs)) if tally.aucs else None,
        **durability(
            scores.rounds,
            scores.accuracy,
            scores.attack_success,
            start=simulation.attack.start,
            stop=simulation.attack.stop,
        ),
        **_by_client(simulation, classes),
    )


def _by_client(simulation: Simulation, classes: Sequence[float | None]) -> dict[str, Any]:
    """Return mean and worst accuracy of the global model on the honest clients' own mixes of classes.

    A client's accuracy is the mean of the classes' accuracies, weighed by its samples of each; classes
    without test images are left out.
    """
    federation = simulation.federation
    if simulation.own_models is not None:
        return {"client_accuracy": None, "worst_client_accuracy": None}
    counts = federation.label_counts
    known = np.array([value is not None for value in classes])
    weights = counts[~simulation.malicious][:, known].astype(float)
    weights = weights[weights.sum(axis=1) > 0]
    if not len(weights):
        return {"client_accuracy": None, "worst_client_accuracy": None}
    values = np.array([value for value in classes if value is not None])
    found = weights @ values / weights.sum(axis=1)
    return {"client_accuracy": float(found.mean()), "worst_client_accuracy": float(found.min())}


def _detection(simulation: Simulation) -> Detection | None:
    if not simulation.rule.detector:
        return None
    rounds = simulation.ledger.tally.per_round
    return Detection(
        tpr=[r.tpr for r in rounds],
        fpr=[r.fpr for r in rounds],
        dacc=[r.dacc for r in rounds],
        lost_clients=simulation.ledger.tally.lost_clients(),
    )


def _federation(simulation: Simulation) -> FederationReport:
    report = simulation.federation.report
    return FederationReport(
        sizes=list(report.sizes),
        label_entropy=report.label_entropy,
        total_variation=report.total_variation,
        malicious=np.flatnonzero(simulation.malicious).tolist(),
    )
