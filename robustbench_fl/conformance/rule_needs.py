"""What a rule reads of its view, against what it declares."""

from __future__ import annotations

import torch

from robustbench_fl.api import Aggregator, Need
from robustbench_fl.conformance.checks import check, listing, require
from robustbench_fl.conformance.courses import course_of_rule
from robustbench_fl.conformance.rule_contract import require_vector
from robustbench_fl.conformance.server_scene import play, scene, start


@check("aggregators")
def check_needs_declared(rule: Aggregator) -> None:
    """Nothing is read of the view that `needs` does not declare, not even with the error swallowed."""
    _, reads = course_of_rule(rule)
    require(
        not reads.refused, f"it read view.{listing(sorted(reads.refused))} without declaring it in `needs`"
    )


@check("aggregators", across=True)
def check_needs_used(forms: tuple[Aggregator, ...]) -> None:
    """Every need that is declared is also used, in some variant and round."""
    declared = frozenset[Need]().union(*(rule.needs for rule in forms)) - {Need.RAW}
    used: set[Need] = set()
    for rule in forms:
        used |= course_of_rule(rule)[1].needs & rule.needs
        if start(rule) is not None:
            used.add(Need.HISTORY)  # its own memory
        if declared <= used:
            return
    idle = sorted(need.name for need in declared - used)
    require(not idle, f"it declares Need.{listing(idle)} in `needs`, but never uses it")


@check("aggregators", applies=lambda rule: start(rule) is not None)
def check_memory_declared(rule: Aggregator) -> None:
    """A rule that keeps a state declares Need.HISTORY."""
    require(Need.HISTORY in rule.needs, "it keeps a state; add Need.HISTORY to its `needs`")


@check("aggregators", applies=lambda rule: Need.RAW in rule.needs)
def check_raw_rows(rule: Aggregator) -> None:
    """A rule that asks for raw rows survives NaN and Inf among them."""
    at = scene(rule)
    for value in (torch.nan, torch.inf):
        rows = at.updates.clone()
        rows[3, 5] = value
        require_vector(play(rule, at.with_updates(rows), start(rule))[0].aggregate, at)
