"""From the results of tuning to the tuned rules: arithmetic on planned cells and validation accuracies."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean, stdev
from typing import TYPE_CHECKING, NamedTuple

from robustbench_fl.core.cell import ENGINE_VERSION, Cell, Planned
from robustbench_fl.core.tuned import Candidate, TunedPick, TunedRules
from robustbench_fl.core.version import __version__
from robustbench_fl.sweep.picking import block_of, digest_of

if TYPE_CHECKING:
    from robustbench_fl.sweep.tuning import Candidates


class _Place(NamedTuple):
    """Where a candidate is measured; the order is that in which means are taken, from the last."""

    block: str
    family: str
    attack: str
    seed: int


_Values = dict[_Place, float]


def tuned_rules(
    planned: Iterable[Planned],
    accuracies: Mapping[str, float],
    tried: Mapping[tuple[str, str, float], Candidates],
    *,
    sweep: str,
    seeds: Sequence[int],
) -> TunedRules:
    """Return the best candidate of each rule on each data set.

    Parameters
    ----------
    planned : iterable of Planned
        The cells of the pilot.
    accuracies : mapping of str to float
        On the validation split, of the cells that have one, by key.
    tried : mapping
        The candidates by data set, rule and learning rate of the sweep.
    sweep : str
        Name of the sweep that is tuned for.
    seeds : sequence of int
        The pilot seeds.

    Returns
    -------
    TunedRules
        Of each rule the candidate of largest accuracy: the mean over seeds, then over the attacks of a
        family, over families and over blocks. Of equal ones the first: the rule as it is named, at the
        sweep's learning rate, before all others. A candidate that has no result where another has one
        (it is infeasible there) is left out.
    """
    values: dict[tuple[str, str, float], _Values] = {}
    used = []
    for one in planned:
        cell = one.cell
        if cell.key in accuracies:
            used.append(cell.key)
            form = values.setdefault((cell.dataset, cell.aggregator, cell.settings.lr), {})
            form[_place(cell, one.facts["family"])] = accuracies[cell.key]
    log: dict[tuple[str, str, float], Candidate] = {}
    picks = []
    for (dataset, rule, lr), forms in tried.items():
        own = {
            (form, rate): found
            for form in forms.forms
            for rate in forms.lrs
            if (found := values.get((dataset, form, rate)))
        }
        wanted = set().union(*own.values())
        whole = {name: found for name, found in own.items() if found.keys() == wanted}
        scores = {name: mean_score(found) for name, found in whole.items()}
        for (text, rate), score in scores.items():
            entry = Candidate(dataset=dataset, aggregator=text, lr=rate, accuracy=score)
            log[dataset, text, rate] = entry
        picks.append(_pick(dataset, rule, lr, forms, whole, scores, seeds))
    return TunedRules(
        version=__version__,
        engine=ENGINE_VERSION,
        sweep=sweep,
        seeds=list(seeds),
        cells=digest_of(used),
        picks=picks,
        log=list(log.values()),
    )


def mean_score(values: Mapping[_Place, float]) -> float:
    """Return the mean over seeds, then over the attacks of each family, over families and over blocks.

    Examples
    --------
    Two attacks of one family count as much as the one of another:

    >>> values = {_Place("b", "min", "max", 0): 0.2, _Place("b", "min", "sum", 0): 0.4}
    >>> round(mean_score({**values, _Place("b", "ipm", "ipm", 0): 0.9}), 9)
    0.6
    """
    groups: dict[tuple[object, ...], list[float]] = {tuple(place): [value] for place, value in values.items()}
    for length in (3, 2, 1, 0):
        means = [(place[:length], fmean(group)) for place, group in groups.items()]
        groups = {}
        for place, mean in means:
            groups.setdefault(place, []).append(mean)
    return fmean(groups[()])


def _pick(
    dataset: str,
    rule: str,
    lr: float,
    forms: Candidates,
    whole: Mapping[tuple[str, float], _Values],
    scores: Mapping[tuple[str, float], float],
    seeds: Sequence[int],
) -> TunedPick:
    best = max(scores, key=scores.__getitem__) if scores else (rule, lr)
    gain = error = None
    if (rule, lr) in whole:
        gains = [
            mean_score(_of_seed(whole[best], seed)) - mean_score(_of_seed(whole[rule, lr], seed))
            for seed in seeds
            if _of_seed(whole[best], seed)
        ]
        gain = fmean(gains)
        error = stdev(gains) / math.sqrt(len(gains)) if len(gains) > 1 else None
    form, rate = best
    return TunedPick(
        dataset=dataset,
        aggregator=rule,
        lr=lr,
        picked=form,
        picked_lr=rate,
        accuracy=scores.get(best),
        untuned_accuracy=scores.get((rule, lr)),
        gain=gain,
        error=error,
        edge=[*forms.forms[form], *["lr"] * forms.lrs[rate]],
        tried=len(scores),
    )


def _of_seed(values: _Values, seed: int) -> _Values:
    return {place: value for place, value in values.items() if place.seed == seed}


def _place(cell: Cell, family: str) -> _Place:
    """Return where a cell stands; the learning rate is what is tuned and belongs to no block."""
    block = block_of(cell, lr=1.0)
    return _Place(f"{block.model_dump_json()} {cell.assumed_f}", family, cell.attack, cell.seed)
