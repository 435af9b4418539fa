"""The grid, cell by cell, with those that cannot run and why."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import cache
from itertools import product
from math import prod
from pathlib import Path
from typing import Any, TypeVar

from robustbench_fl.api import Aggregator, Attack, AttackSpec, Need, build
from robustbench_fl.api.families import at_edge, family_of
from robustbench_fl.api.groups import ungrouped
from robustbench_fl.api.holds import unfit
from robustbench_fl.api.model import Model
from robustbench_fl.api.spec import parse_chain
from robustbench_fl.core.cell import Cell, Planned
from robustbench_fl.core.errors import RobustbenchError, UsageError
from robustbench_fl.core.settings import Settings
from robustbench_fl.core.tuned import COMMAND, Tuned, is_tuned, tuned, untuned
from robustbench_fl.data.locations import default_data_dir
from robustbench_fl.sweep.config import METHOD_AXES, Grid, Sweep

LARGEST_PLAN = 2_000_000
"""Points of a sweep's grids. Each takes 0.1 ms of processor time and 2 kB: these 3 minutes and 4 GB."""
T = TypeVar("T")


def expand(sweep: Sweep) -> list[Planned]:
    """Return every cell of `sweep` once, in the order of its axes.

    Rules that need no f meet an assumed f only once, and at fraction 0 every attack is ``none``.

    Raises
    ------
    UsageError
        On methods or parameters that do not exist.
    """
    plan: dict[str, Planned] = {}
    rows: dict[str, dict[tuple[str, float], None]] = {}
    picked = {one.place: one for one in sweep.tuned}
    for grid in canonical(sweep).grids:
        for planned, row in _expand_grid(grid, picked):
            plan.setdefault(planned.cell.key, planned)
            rows.setdefault(planned.cell.key, {})[row] = None
    return [_standing(planned, tuple(rows[key])) for key, planned in plan.items()]


def _standing(planned: Planned, rows: tuple[tuple[str, float], ...]) -> Planned:
    return planned if rows == planned.rows else replace(planned, stands_for=rows)


def canonical(sweep: Sweep, source: str = "", data_dir: Path | None = None) -> Sweep:
    """Return `sweep` with every method in its canonical text, groups and parameter grids expanded.

    A data set in the user's own files is named by its content, which is read unless it is given.

    Parameters
    ----------
    sweep : Sweep
        As read.
    source : str
        Where it was read from, for error messages.
    data_dir : Path, optional
        Where the user's own data sets lie; by default the one data directory.

    Raises
    ------
    UsageError
        On methods or parameters that do not exist, and of more points than :data:`LARGEST_PLAN`.
    """
    grids = []
    for grid in sweep.grids:
        texts = {axis: _canonical_texts(f"{axis}s", getattr(grid, axis), source) for axis in METHOD_AXES}
        texts["dataset"] = [_pinned(text, data_dir) for text in texts["dataset"]]
        grids.append(grid.model_copy(update=texts))
    whole = sweep.model_copy(update={"grids": tuple(grids)})
    if (n := n_points(whole)) > LARGEST_PLAN:
        largest = max(grids, key=_n_points)
        axes = ", ".join(f"{len(values):,} of {axis}" for axis, values in largest if len(values) > 1)
        raise UsageError(
            f"The sweep {sweep.name!r} names {n:,} cells ({axes}); at most {LARGEST_PLAN:,} are planned. "
            "Ask for fewer, or divide it by data set or seeds into sweeps with folders of their own. "
            "--only and --shard choose from a plan, which is no smaller for them."
        )
    return whole


def n_points(sweep: Sweep) -> int:
    """Return how many points the grids of `sweep` have; its plan, each cell once, has no more cells."""
    return sum(map(_n_points, sweep.grids))


def _n_points(grid: Grid) -> int:
    alike = prod(len(values) for axis, values in grid if axis not in ("malicious", "attack"))
    return alike * sum(len(grid.attack) if malicious else 1 for malicious in grid.malicious)


def _pinned(dataset: str, data_dir: Path | None) -> str:
    """Return the text of a data set with its content named."""
    return build.text_of(_method("datasets", dataset).pinned(data_dir or default_data_dir()))


def _expand_grid(
    grid: Grid, picked: Mapping[tuple[str, str, float], Tuned]
) -> Iterator[tuple[Planned, tuple[str, float]]]:
    """Yield planned cells, each with the rule and learning rate that it stands for."""
    names = list(Settings.__dataclass_fields__)
    for values in product(*(getattr(grid, name) for name in names)):
        settings = Settings(**dict(zip(names, values, strict=True)))
        for dataset, model, partition, malicious in product(
            grid.dataset, grid.model, grid.partition, grid.malicious
        ):
            for assumed, rule, attack, seed in product(
                grid.assumed_f, grid.aggregator, grid.attack if malicious else ["none"], grid.seeds
            ):
                form, held = _picked(rule, dataset, settings, picked) if is_tuned(rule) else (rule, settings)
                planned = plan_cell(
                    dataset=dataset,
                    model=model,
                    partition=partition,
                    aggregator=form,
                    attack=attack,
                    malicious=malicious,
                    assumed_f=assumed,
                    seed=seed,
                    settings=held,
                )
                yield planned, (rule, settings.lr)


def _picked(
    rule: str, dataset: str, settings: Settings, picked: Mapping[tuple[str, str, float], Tuned]
) -> tuple[str, Settings]:
    """Return what a tuned rule stands for: the rule with its parameters, and the settings with its lr."""
    found = picked.get((dataset, untuned(rule), settings.lr))
    if found is None:
        raise UsageError(
            f"What {rule!r} stands for on {dataset} at lr = {settings.lr:g} is not known. "
            f"Tune it with {COMMAND}, and name the file that this writes in the sweep file, as tuned = ..."
        )
    return found.picked, replace(settings, lr=found.picked_lr)


def plan_cell(
    *,
    dataset: str,
    model: str,
    partition: str,
    aggregator: str,
    attack: str,
    malicious: float,
    assumed_f: str | None,
    seed: int,
    settings: Settings,
) -> Planned:
    """Return one planned cell from canonical texts; parameters as in :class:`Cell`."""
    rule: Aggregator = _method("aggregators", aggregator)
    assumed_f = assumed_f if Need.F in rule.needs else None
    cell = Cell(
        dataset=dataset,
        model=model,
        partition=partition,
        aggregator=aggregator,
        attack=attack,
        malicious=malicious,
        assumed_f=assumed_f,
        seed=seed,
        settings=settings,
        methods=_identities(dataset, model, partition, aggregator, attack),
    )
    return Planned(cell, _facts(aggregator, attack), _infeasible(cell, rule))


def _canonical_texts(kind: str, texts: list[str], source: str) -> list[str]:
    axis = f"{source}, {kind.removesuffix('s')}" if source else kind.removesuffix("s")
    found: list[str] = []
    for number, text in enumerate(texts, 1):
        where = f"{axis} #{number}" if len(texts) > 1 else axis
        marked = kind == "aggregators" and is_tuned(text)
        for one in ungrouped(kind, untuned(text) if marked else text, where):
            forms = _canonical_grid(kind, one, where)
            found += map(tuned, forms) if marked else forms
    return list(dict.fromkeys(found))


@cache
def _canonical_grid(kind: str, text: str, where: str) -> list[str]:
    chains = build.expand_grid(kind, parse_chain(text, where), where)
    return [build.text_of(build.make(kind, chain, where)) for chain in chains]


@cache
def _method(kind: str, text: str) -> Any:
    return build.make(kind, text)


@cache
def _identity(kind: str, text: str) -> Any:
    parts = build.identity_of(_method(kind, text))
    return parts if kind == "aggregators" else parts[0]


@cache
def _identities(dataset: str, model: str, partition: str, aggregator: str, attack: str) -> dict[str, Any]:
    return {
        "dataset": _identity("datasets", dataset),
        "model": _identity("models", model),
        "partition": _identity("partitions", partition),
        "aggregator": _identity("aggregators", aggregator),
        "attack": _identity("attacks", attack),
    }


@cache
def _facts(aggregator: str, attack: str) -> dict[str, Any]:
    rule: Aggregator = _method("aggregators", aggregator)
    threat: Attack = _method("attacks", attack)
    return {
        "needs": sorted(need.value for need in rule.needs),
        "detector": rule.detector,
        "ranked": rule.baseline is None,
        "knowledge": threat.knowledge.name.lower(),
        "knows_defence": threat.knows_defence,
        "adaptive": threat.adaptive,
        "category": threat.category,
        "family": family_of(type(threat)),
        "edge": _at_edge(attack),
    }


_at_edge = cache(at_edge)


@cache
def _model(dataset: str, model: str) -> Model | str | None:
    """Return the network, why it cannot be built, or ``None`` where the data must be read first."""
    source, family = _method("datasets", dataset), _method("models", model)
    if reason := unfit(model, family.takes, dataset, source.holds):
        return reason
    if source.image_shape is None or source.n_classes is None:
        return None

    def network() -> Model | str:
        try:
            built: Model = family.build(source.image_shape, source.n_classes)
        except UsageError as error:
            return str(error)
        return built

    return _asked(model, "build", network)


def _answer(name: str, ask: Callable[..., str | None], *of: Any) -> str | None:
    """Return why the method `name` cannot run, as it says itself."""

    def said() -> str | None:
        if isinstance(answer := ask(*of), str | None):
            return answer
        raise TypeError(f"it returned {type(answer).__name__}, neither a text nor None")

    return _asked(name, ask.__name__, said)


def _asked(name: str, what: str, answer: Callable[[], T]) -> T:
    """Return what the method `name` says before it runs; a plug-in may raise anything."""
    try:
        return answer()
    except (RobustbenchError, KeyboardInterrupt):
        raise
    except BaseException as error:
        raise UsageError(
            f"{name} failed when it was asked whether it can run ({what}): "
            f"{type(error).__name__}: {error}. Correct the plug-in, or leave the method out."
        ) from error


def _infeasible(cell: Cell, rule: Aggregator) -> str | None:
    n, m = cell.settings.participants, round(cell.malicious * cell.settings.clients)
    if cell.malicious and not m:
        return (
            f"a share of {cell.malicious:g} of {cell.settings.clients} clients rounds to no malicious client"
        )
    if m >= cell.settings.clients:
        return f"{m} of {cell.settings.clients} clients malicious leaves no honest one"
    f = cell.assumed(n)
    if Need.F in rule.needs and f is None:
        return "the rule needs f, and the server assumes none"
    if Need.ROOT_DATA in rule.needs and cell.settings.root_size == 0:
        return "the rule needs root data, and root_size is 0"
    if rule.trajectories and cell.settings.worker_momentum:
        return (
            f"with worker_momentum = {cell.settings.worker_momentum:g} an update mixes many rounds; the rule "
            f"takes it for a training that began at the global model"
        )
    holds = _method("datasets", cell.dataset).holds
    for name, method in ((cell.aggregator, rule), (cell.attack, _method("attacks", cell.attack))):
        if reason := unfit(name, method.takes, cell.dataset, holds):
            return reason
    if holds != "images" and cell.settings.augment != "none":
        return f"augment = {cell.settings.augment} changes images; {cell.dataset} holds {holds}"
    attack: Attack = _method("attacks", cell.attack)
    rounds = cell.settings.rounds
    if attack.start >= min(rounds, attack.stop or rounds):
        until = "" if attack.stop is None else f", stop = {attack.stop}"
        return f"no round is attacked: start = {attack.start}{until}, and there are {rounds} rounds"
    if reason := _answer(cell.aggregator, rule.infeasible, n, f or 0):
        return reason if "n = " in reason else f"{reason} (n = {n}, f = {f or 0})"
    model = _model(cell.dataset, cell.model)
    if isinstance(model, str):
        return model
    if model is None:
        return None
    if reason := _answer(cell.aggregator, rule.refuses, model):
        return reason
    return _answer(
        cell.attack,
        attack.infeasible,
        AttackSpec(
            n_clients=cell.settings.clients,
            n_malicious=m,
            n_params=model.n_params,
            layer_shapes=model.layer_shapes,
            n_classes=model.n_classes,
            image_shape=model.input_shape,
        ),
    )
