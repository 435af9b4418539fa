"""The whole state of a simulation between two rounds, as tensors and plain data, and back.

Random numbers need no place in it: every stream is named by the round it is for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from torch import Tensor

from robustbench_fl.api import State
from robustbench_fl.core.image_counts import packed, unpacked
from robustbench_fl.engine.detection import Rates
from robustbench_fl.engine.evaluation import Evaluation
from robustbench_fl.engine.momenta import Momenta
from robustbench_fl.engine.saved_facts import Misfit, check_facts
from robustbench_fl.engine.simulation import Simulation

_STATES = ("rule_state", "attack_state", "optimiser_state")
_TENSORS = ("last_step", "own_models")
_MOMENTUM = "momentum/"
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
    if simulation.momenta is not None:
        tensors |= {f"{_MOMENTUM}{client}": row for client, row in simulation.momenta.known.items()}
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
    Misfit
        If they are no state of this cell; the simulation is then as it was.
    """
    check_facts(simulation, facts)
    try:
        placed = {name: tensor.to(simulation.params.device) for name, tensor in tensors.items()}
        momenta = _momenta(simulation, placed)
        states = {name: _state(getattr(simulation, name), name, placed) for name in _STATES}
        verdicts = {name: np.array(part, dtype=bool) for name, part in facts["verdicts"].items()}
        rates = [Rates(*of_a_round) for of_a_round in facts["rates"]]
        last = [_evaluation(values) for values in facts["last"]]
    except (KeyError, TypeError, ValueError, RuntimeError, AttributeError) as error:
        raise Misfit(f"{type(error).__name__}: {error}") from None
    for name in ("params", *_TENSORS):
        _check_shape(name, placed.get(name), getattr(simulation, name), simulation.params)
    simulation.params, simulation.momenta = placed["params"], momenta
    for name in _TENSORS:
        setattr(simulation, name, placed.get(name))
    for name, state in states.items():
        setattr(simulation, name, state)
    simulation.timers.seconds.update(facts["seconds"])
    simulation.ledger.counts = dict(facts["counts"])
    simulation.ledger.diagnostics = {name: list(rounds) for name, rounds in facts["diagnostics"].items()}
    simulation.ledger.tally.resume(verdicts, rates, facts["aucs"])
    for name in _CURVES:
        setattr(simulation.scores, name, list(facts["curves"][name]))
    simulation.scores.last.extend(last)
    simulation.scores.last_validation.extend(facts["last_validation"])
    simulation.round = facts["round"]


def _momenta(simulation: Simulation, tensors: Mapping[str, Tensor]) -> Momenta | None:
    """Return the saved worker momenta, of clients that there are, one as long as the parameters each."""
    kept = {int(n.removeprefix(_MOMENTUM)): t for n, t in tensors.items() if n.startswith(_MOMENTUM)}
    for client, row in kept.items():
        if not 0 <= client < simulation.settings.clients or simulation.momenta is None:
            raise Misfit(f"there is no momentum of a client {client}")
        _check_shape("a momentum", row, simulation.params, simulation.params)
    return Momenta(torch.zeros_like(simulation.params), kept) if simulation.momenta is not None else None


def _state(fresh: State | None, name: str, tensors: Mapping[str, Tensor]) -> State | None:
    """Return the saved state of the rule, the attack or the optimiser; `fresh` lends its structure."""
    if fresh is None:
        return None
    prefix = f"{name}/"
    return fresh.from_tensors({n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)})


def _check_shape(name: str, saved: Tensor | None, fresh: Tensor | None, params: Tensor) -> None:
    """Refuse a tensor of another shape or type than it has in this cell."""
    like = params if name == "last_step" else fresh  # which there is none of before the first round
    if saved is None and (fresh is None or name == "last_step"):
        return
    if saved is None or like is None or saved.shape != like.shape or saved.dtype != like.dtype:
        raise Misfit(f"{name} has not the shape of this cell's")


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
