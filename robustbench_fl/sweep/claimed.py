"""What a claim says of its cells, against the plan of its sweep made anew, and which are run again."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from robustbench_fl.core.cell import Planned
from robustbench_fl.core.claim import Claim, ClaimError, Row
from robustbench_fl.core.code import code_in, digest_of_code
from robustbench_fl.core.errors import UsageError
from robustbench_fl.core.seeding import stream
from robustbench_fl.core.status import COUNTED
from robustbench_fl.store.versions import without_versions
from robustbench_fl.sweep.config import Sweep, make_sweep
from robustbench_fl.sweep.verify import OTHER_CODE, OTHER_VERSION

_SHARE = 5
MOST_CELLS = 200_000
"""A sweep of more is planned for no claim."""


@dataclass(frozen=True)
class Checked:
    """A claim beside its plan.

    Parameters
    ----------
    faults : list of str
        A sentence for each thing that the plan says otherwise.
    runnable : dict
        Planned cells of the rows that can be run as they were, by key.
    others : dict
        Why some of the others cannot, by key.
    infeasible : frozenset of str
        Keys of cells that the plan runs for nobody.
    """

    faults: list[str]
    runnable: dict[str, Planned]
    others: dict[str, str]
    infeasible: frozenset[str]


def code_of(parts: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Return the digests of the code of rules by name. Imports torch.

    Parameters
    ----------
    parts : iterable of mappings
        Their identities; those of plug-ins hold the digest already.
    """
    from robustbench_fl.api import registry

    found: dict[str, str] = {}
    for part in parts:
        if code := part.get("code"):
            found[part["name"]] = code
            continue
        entry = registry.entry("aggregators", part["name"])
        path = Path(inspect.getfile(entry.cls)).resolve()
        found[part["name"]] = digest_of_code(path, entry.cls.__qualname__, home=path.parent)
    return found


def against_plan(claim: Claim) -> Checked:
    """Return what the plan of a claim's sweeps, made anew, says of its rows. Imports torch.

    Raises
    ------
    ClaimError
        If a sweep is none, or they are far too large.
    UsageError
        If a method of it is not known here.
    """
    from robustbench_fl.sweep.expand import expand

    places: dict[str, tuple[int, Planned]] = {}
    for number, sweep in enumerate(_sweeps(claim)):
        for one in expand(sweep):
            places.setdefault(_without_code(_plan_row(one)), (number, one))
    faults: list[str] = []
    runnable, others = {}, {}
    infeasible = set()
    for row in claim.cell_rows:
        stated = claim.planned(row)
        place, found = places.pop(_without_code(stated), (None, None))
        if found is None or place != row.sweep:
            faults.append(f"Cell {row.key} is not in the plan of the claim's sweeps, or of another of them.")
            continue
        faults += _other_facts(row, stated, found)
        if found.infeasible:
            infeasible.add(row.key)
        elif found.cell.key == row.key:
            runnable[row.key] = found
        elif code_in(stated["cell"]) != code_in(found.cell.identity):
            others[row.key] = OTHER_CODE
        else:
            others[row.key] = OTHER_VERSION
    if places:
        some = next(iter(places.values()))[1].cell
        faults.append(
            f"{len(places)} cells of its plan are missing, such as {some.aggregator} against {some.attack} "
            f"at seed {some.seed}."
        )
    return Checked(faults, runnable, others, frozenset(infeasible))


def sampled(claim: Claim, checked: Checked, count: int, seed: int) -> list[Row]:
    """Return some of the rows that a simulation made, the same for the same claim and seed.

    One in five is of the reference. Of rows that are infeasible though the plan does not say so, one is
    always among them: nothing but running it again tells whether that is true.

    Parameters
    ----------
    claim : Claim
        The claim.
    checked : Checked
        Beside its plan.
    count : int
        How many, at most.
    seed : int
        Of the choice.
    """
    rows = sorted(
        (row for row in claim.cell_rows if row.key not in checked.infeasible), key=lambda row: row.key
    )
    rows = [rows[place] for place in stream("claim", seed).permutation(len(rows))]
    own = [row for row in rows if claim.forms[row.form].rule == claim.rule]
    reference = [row for row in rows if claim.forms[row.form].rule != claim.rule]
    doubtful = [row for row in own if row.status not in COUNTED][:1]
    n_reference = min(count // _SHARE, len(reference))
    chosen = doubtful + [row for row in own if row not in doubtful]
    return [*chosen[: count - n_reference], *reference[:n_reference]]


def _sweeps(claim: Claim) -> list[Sweep]:
    from robustbench_fl.sweep.expand import n_points

    sweeps = []
    for part in claim.sweeps:
        if set(part.table) & {"plugins", "pilot"}:
            raise ClaimError(f"its sweep {part.name} names files; a claim names none.")
        try:
            sweeps.append(make_sweep({"name": "claim", **part.table}, {}, f"the claim's sweep {part.name}"))
        except UsageError as error:
            raise ClaimError(f"its sweep {part.name} is none: {error}") from None
    if (n_cells := sum(map(n_points, sweeps))) > MOST_CELLS:
        raise ClaimError(f"its sweeps have {n_cells} cells, more than any claim.")
    rules = {rule for sweep in sweeps for grid in sweep.grids for rule in grid.aggregator}
    if rules != {claim.rule, *filter(None, [claim.reference])}:
        raise ClaimError(f"its sweeps are of {', '.join(sorted(rules))}, not of its rule and its reference.")
    return sweeps


def _plan_row(planned: Planned) -> dict[str, Any]:
    return {"cell": planned.cell.identity, "labels": planned.cell.labels}


def _without_code(row: Mapping[str, Any]) -> str:
    """Return what a planned cell is, apart from versions and code of what computes it."""
    return without_versions({"cell": _bare(row["cell"]), "labels": row["labels"]})


def _bare(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _bare(item) for name, item in value.items() if name != "code"}
    return [_bare(item) for item in value] if isinstance(value, list) else value


def _other_facts(row: Row, stated: Mapping[str, Any], planned: Planned) -> list[str]:
    said = []
    if json.dumps(stated["facts"], sort_keys=True) != json.dumps(dict(planned.facts), sort_keys=True):
        names = [name for name, value in planned.facts.items() if stated["facts"].get(name) != value]
        said.append(f"Of cell {row.key} it says other {', '.join(names)} than its methods do.")
    stands = tuple((one["aggregator"], one["lr"]) for one in stated.get("stands_for", ()))
    if not set(stands or ((planned.cell.aggregator, planned.cell.settings.lr),)) <= set(planned.rows):
        said.append(f"Cell {row.key} stands for another rule than in its plan.")
    if planned.infeasible and row.status in COUNTED:
        said.append(
            f"Cell {row.key} is {row.status}; its plan says that it cannot run: {planned.infeasible}."
        )
    return said
