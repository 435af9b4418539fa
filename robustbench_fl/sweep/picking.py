"""From the results of a pilot to its picks: arithmetic on planned cells and their accuracies."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean, stdev
from typing import NamedTuple

from robustbench_fl.core.cell import ENGINE_VERSION, Cell, Planned
from robustbench_fl.core.picks import Block, Member, Pick, Picks
from robustbench_fl.core.version import __version__

WITHIN = 2.0
"""Members at most this many standard errors above the worst are run too."""

Near = tuple[str, float, float, float]


class _Group(NamedTuple):
    """Whose members are compared."""

    block: int
    aggregator: str
    assumed_f: str | None
    family: str


def worst_members(accuracies: Mapping[str, Sequence[float]]) -> list[Near]:
    """Return the worst member, then those that the pilot cannot tell from it.

    Parameters
    ----------
    accuracies : mapping of str to sequence of float
        Of each member, one for each pilot seed, at least two, in the same order.

    Returns
    -------
    list of (member, mean, above, error)
        The member of the smallest mean (of equal ones the first), then in increasing order those
        whose mean lies at most :data:`WITHIN` standard errors above it: `above` is the mean of the
        differences paired over seeds, `error` their standard error s/√n.

    Examples
    --------
    >>> worst_members({"weak": [0.9, 0.8], "strong": [0.5, 0.5], "near": [0.5, 0.75]})
    [('strong', 0.5, 0.0, 0.0), ('near', 0.625, 0.125, 0.125)]
    """
    if not accuracies:
        return []
    means = {name: fmean(values) for name, values in accuracies.items()}
    worst = min(means, key=means.__getitem__)
    found = []
    for name in sorted(means, key=lambda name: (means[name], name != worst)):
        apart = [x - y for x, y in zip(accuracies[name], accuracies[worst], strict=True)]
        above, error = fmean(apart), stdev(apart) / math.sqrt(len(apart))
        if above <= WITHIN * error:
            found.append((name, means[name], above, error))
    return found


def picks_of(
    planned: Iterable[Planned],
    accuracies: Mapping[str, float],
    *,
    sweep: str,
    seeds: Sequence[int],
    named: frozenset[str],
) -> Picks:
    """Return the worst members of each family, for each rule and block.

    Parameters
    ----------
    planned : iterable of Planned
        The cells of the pilot.
    accuracies : mapping of str to float
        Of those that have one, by key. A member without one on some seed cannot be run there
        (it is infeasible) and is left out.
    sweep : str
        Name of the sweep that the pilot is for.
    seeds : sequence of int
        The pilot seeds.
    named : frozenset of str
        Names of the attacks of the sweep, whose defaults the picks stand beside.
    """
    blocks: dict[str, Block] = {}
    places: dict[str, int] = {}
    found: dict[_Group, dict[str, dict[int, float]]] = {}
    edges: dict[str, bool] = {}
    used = []
    for one in planned:
        cell = one.cell
        if cell.key in accuracies:
            used.append(cell.key)
            edges[cell.attack] = one.facts["edge"]
        for rule, lr in one.rows:
            block = block_of(cell, lr)
            name = block.model_dump_json()
            blocks.setdefault(name, block)
            place = places.setdefault(name, len(places))
            members = found.setdefault(_Group(place, rule, cell.assumed_f, one.facts["family"]), {})
            if cell.key in accuracies:
                members.setdefault(cell.attack, {})[cell.seed] = accuracies[cell.key]
    picks = []
    for group, tried in found.items():
        whole = {attack: values for attack, values in tried.items() if values.keys() == set(seeds)}
        lists = {attack: [values[seed] for seed in seeds] for attack, values in whole.items()}
        picks.append(_pick(group, lists, edges, named))
    return Picks(
        version=__version__,
        engine=ENGINE_VERSION,
        sweep=sweep,
        seeds=list(seeds),
        cells=digest_of(used),
        blocks=list(blocks.values()),
        picks=picks,
    )


def digest_of(keys: Iterable[str]) -> str:
    """Return the first 12 hex digits of the SHA-256 of sorted keys, a line each."""
    return hashlib.sha256("\n".join(sorted(keys)).encode()).hexdigest()[:12]


def block_of(cell: Cell, lr: float) -> Block:
    """Return what the rules of a cell's block meet alike, at the sweep's learning rate `lr`."""
    return Block(
        dataset=cell.dataset,
        model=cell.model,
        partition=cell.partition,
        malicious=cell.malicious,
        settings={**vars(cell.settings), "lr": lr},
    )


def _pick(
    group: _Group, members: Mapping[str, Sequence[float]], edges: Mapping[str, bool], named: frozenset[str]
) -> Pick:
    defaults = {attack: fmean(values) for attack, values in members.items() if attack in named}
    default = min(defaults, key=defaults.__getitem__) if defaults else None
    return Pick(
        **group._asdict(),
        members=[
            Member(attack=attack, accuracy=mean, above=above, error=error, edge=edges[attack])
            for attack, mean, above, error in worst_members(members)
        ],
        tried=len(members),
        default=default,
        default_accuracy=None if default is None else defaults[default],
    )
