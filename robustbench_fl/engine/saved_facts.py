"""What a saved simulation may say: its counts, curves and verdicts, against the cell that is planned."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from annotated_types import Ge, Le
from pydantic import BaseModel, ConfigDict, ValidationError

from robustbench_fl.engine.simulation import Simulation

_Share = Annotated[float, Ge(0), Le(1)]
_Count = Annotated[int, Ge(0)]


class Misfit(Exception):
    """What was saved cannot be a state of this cell; the message says what of it."""


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore", allow_inf_nan=False)


class _Curves(_Strict):
    rounds: list[int]
    accuracy: list[_Share]
    loss: list[float | None]
    attack_success: list[_Share | None]


class _Verdicts(_Strict):
    seen: list[bool]
    ever: list[bool]
    last: list[bool]


class _Facts(_Strict):
    round: int
    seconds: dict[str, Annotated[float, Ge(0)]]
    counts: dict[str, _Count]
    diagnostics: dict[str, list[dict[str, float | None]]]
    verdicts: _Verdicts
    rates: list[list[_Share | None]]
    aucs: list[_Share]
    curves: _Curves
    last: list[dict[str, Any]]
    last_validation: list[_Share]


def check_facts(simulation: Simulation, facts: Mapping[str, Any]) -> None:
    """Refuse facts that a simulation of this cell cannot have come to.

    Parameters
    ----------
    simulation : Simulation
        Of the cell, before its first round.
    facts : mapping
        As :func:`~robustbench_fl.engine.snapshot.snapshot` gave them, or somebody says so.

    Raises
    ------
    Misfit
        With the first thing that does not fit.
    """
    try:
        told = _Facts.model_validate(facts)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise Misfit(f"{'.'.join(map(str, first['loc'])) or 'all of it'}: {first['msg'].lower()}") from None
    for what, fits in _fits(simulation, told):
        if not fits:
            raise Misfit(f"{what} cannot be what it says")


def _fits(simulation: Simulation, told: _Facts) -> Iterator[tuple[str, bool]]:
    settings, n = simulation.settings, simulation.settings.clients
    yield "the round", 0 < told.round < settings.rounds
    due = [r for r in range(1, told.round + 1) if r % settings.eval_every == 0]
    rounds = told.curves.rounds
    alone = simulation.own_models is not None  # evaluated at the end only
    yield "the evaluated rounds", rounds == due[len(due) - len(rounds) :] if alone else rounds == due
    lengths = {len(values) for _, values in told.curves}
    yield "the curves", lengths == {len(rounds)}
    yield "the last evaluations", len(told.last) == min(len(rounds), settings.eval_last)
    yield "the last validations", len(told.last_validation) <= len(told.last)
    yield "the counts", told.counts.keys() == simulation.ledger.counts.keys()
    yield "a count", all(count <= told.round * n for count in told.counts.values())
    yield "the verdicts", all(len(values) == n for _, values in told.verdicts)
    yield "the verdicts", all(seen or not ever for seen, ever in zip(told.verdicts.seen, told.verdicts.ever))
    yield "the rates", len(told.rates) == (told.round if simulation.rule.detector else 0)
    yield "the rates", all(len(rates) == 3 for rates in told.rates) and len(told.aucs) <= told.round
    clients = {str(client) for client in range(n)}
    rows = [row for rounds_ in told.diagnostics.values() for row in rounds_]
    yield "the diagnostics", all(len(rounds_) <= told.round for rounds_ in told.diagnostics.values())
    yield "a diagnostic", all(row.keys() <= clients for row in rows)
