"""The whole state of a simulation between two rounds, as tensors and plain data, and back.

Random numbers need no place in it: every stream is named by the round it is for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
from torch import Tensor

from robustbench_fl.api import State
from robustbench_fl.core.image_counts import packed, unpacked
from robustbench_fl.engine.detection import Rates
from robustbench_fl.engine.evaluation import Evaluation
from robustbench_fl.engine.simulation import Simulation

_STATES = ("rule_state", "attack_state", "optimiser_state")
_TENSORS = ("last_step", "momenta", "own_models")
_CURVES = ("rounds", "accuracy", "loss", "attack_success")


def snapshot(simulation: Simulation) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return what is needed to go on from here: tensors by name, and what JSON can hold.

    Parameters
    ----------
    simulation : Simulation
        Between two rounds.
    """
    tensors = {"params": simulation.params}
    tensors |= {name: value for name in _TENSORS if (value := getattr(simulation, name)) is not None}
    for name in _STATES:
        state: State | None = getattr(simulation, name)
        if state is not None:
            tensors |= {f"{name}/{part}": tensor for part, tensor in state.to_tensors().items()}
    ledger, tally, scores = simulation.ledger, simulation.ledger.tally, simulation.scores
    facts = {
        "round": simulation.round,
        "seconds": dict(simulation.timers.seconds),
        "counts": ledger.counts,
        "diagnostics": ledger.diagnostics,
        "verdicts": {name: part.tolist() for name, part in tally.verdicts().items()},
        "rates": [[rates.tpr, rates.fpr, rates.dacc] for rates in tally.per_round],
        "aucs": tally.aucs,
        "curves": {name: getattr(scores, name) for name in _CURVES},
        "last": [_plain(evaluation) for evaluation in scores.last],
        "last_validation": list(scores.last_validation),
    }
    return {name: tensor.detach().cpu() for name, tensor in tensors.items()}, facts


def restore(simulation: Simulation, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
    """Put a simulation that has not begun where :func:`snapshot` was taken.

    Parameters
    ----------
    simulation : Simulation
        Of the same cell, before its first round.
    tensors, facts
        What :func:`snapshot` gave.

    Raises
    ------
    KeyError
        If something is missing; the simulation is then of no use.
    """
    device = simulation.params.device
    placed = {name: tensor.to(device) for name, tensor in tensors.items()}
    simulation.params = placed["params"]
    for name in _TENSORS:
        setattr(simulation, name, placed.get(name))
    for name in _STATES:
        fresh: State | None = getattr(simulation, name)
        if fresh is not None:
            prefix = f"{name}/"
            parts = {n.removeprefix(prefix): t for n, t in placed.items() if n.startswith(prefix)}
            setattr(simulation, name, fresh.from_tensors(parts))
    simulation.timers.seconds.update(facts["seconds"])
    simulation.ledger.counts = dict(facts["counts"])
    simulation.ledger.diagnostics = {name: list(rounds) for name, rounds in facts["diagnostics"].items()}
    verdicts = {name: np.array(part, dtype=bool) for name, part in facts["verdicts"].items()}
    simulation.ledger.tally.resume(verdicts, [Rates(*rates) for rates in facts["rates"]], facts["aucs"])
    for name in _CURVES:
        setattr(simulation.scores, name, list(facts["curves"][name]))
    simulation.scores.last.extend(_evaluation(values) for values in facts["last"])
    simulation.scores.last_validation.extend(facts["last_validation"])
    simulation.round = facts["round"]


def _plain(evaluation: Evaluation) -> dict[str, Any]:
    values = asdict(evaluation)
    if evaluation.confusion is not None:
        values["confusion"] = evaluation.confusion.tolist()
    if evaluation.correct is not None:
        values["correct"] = packed(evaluation.correct.astype(np.uint8), 1)
    return values


def _evaluation(values: Mapping[str, Any]) -> Evaluation:
    if values["confusion"] is None:
        return Evaluation(**values)
    confusion = np.array(values["confusion"], dtype=np.int64)
    correct = unpacked(values["correct"], int(confusion.sum()), 1).astype(bool)
    return Evaluation(**{**values, "confusion": confusion, "correct": correct})
