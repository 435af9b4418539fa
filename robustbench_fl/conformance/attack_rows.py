"""Attacks: the rows they send."""

from __future__ import annotations

import torch
from torch import Tensor

from robustbench_fl.api import Attack, Knowledge, State
from robustbench_fl.conformance import world
from robustbench_fl.conformance.attack_scene import Mounted, Reads, craft, first_state
from robustbench_fl.conformance.checks import check, listing, require
from robustbench_fl.conformance.comparing import require_same, same_bits, tensors_of
from robustbench_fl.conformance.courses import course_of_attack
from robustbench_fl.conformance.rule_contract import copied_all, with_untouched_generators

_COMPANIES = (((4,), 12), ((4, 9), 12), ((0,), 1), ((0, 1), 2), ((0, 1, 2), 4), (tuple(range(12)), 12))
"""Malicious participants and number of participants: alone, in pairs, without honest clients."""
_LEVELS = {
    "own": Knowledge.OWN,
    "train": Knowledge.OWN,
    "own_data": Knowledge.OWN,
    "colluders": Knowledge.COLLUDERS,
    "honest": Knowledge.ALL,
    "honest_ids": Knowledge.ALL,
}


@check("attacks")
def check_rows(attack: Attack) -> None:
    """It sends one float32 row for each malicious client, in every round."""
    for call in course_of_attack(attack)[0]:
        _require_rows(call.result, call.at)
        require(
            call.following is None or isinstance(call.following, State),
            f"its state is a {type(call.following).__name__}, not a State or None",
        )


@check("attacks")
def check_finite(attack: Attack) -> None:
    """What it sends is finite."""
    for round, call in enumerate(course_of_attack(attack)[0]):
        finite = torch.isfinite(call.result).all()
        require(finite, f"round {round}: NaN or Inf is sent, which the server drops")


@check("attacks")
def check_any_company(attack: Attack) -> None:
    """It also works for one or two malicious clients, and with hardly an honest one or none."""
    for malicious, n in _COMPANIES:
        state = first_state(attack)
        for round in range(2):
            at = Mounted(malicious, n, round)
            try:
                rows, state = craft(attack, at, state)
                _require_rows(rows, at)
                broken = torch.isnan(rows).any() and not _sends_nan(attack)
                require(not broken, "NaN is sent")
            except Exception as error:
                require(
                    False,
                    f"{len(malicious)} malicious of {n}, round {round}: {type(error).__name__}: {error}",
                )


@check("attacks")
def check_inputs_unchanged(attack: Attack) -> None:
    """Nothing in the view is changed."""
    state = first_state(attack)
    at = Mounted(round=1)
    view = at.view(attack)
    given = {
        name: value for name, value in {**vars(view), **view._gated}.items() if isinstance(value, Tensor)
    }
    before = copied_all(given)
    attack.craft(view, state)
    require_same(before, given, "it changed its view")


@check("attacks")
def check_repeatable(attack: Attack) -> None:
    """The same view, stream and state give the same bits again, and the state is not changed."""
    for round, first in enumerate(course_of_attack(attack)[0]):
        rows, following = craft(attack, first.at, first.state)
        require_same(first.before, tensors_of(first.state), f"round {round} changed the state it was given")
        require(same_bits(first.result, rows), f"a second call in round {round} sends other rows")
        require_same(
            tensors_of(first.following),
            tensors_of(following),
            f"the state after a second call in round {round}",
        )


@check("attacks")
def check_no_global_randomness(attack: Attack) -> None:
    """Randomness comes from the view's stream alone; no global generator is read or seeded."""
    state = first_state(attack)
    with_untouched_generators(
        lambda: (attack.poison(Mounted().view(attack, trained=False)), craft(attack, Mounted(), state))
    )


@check("attacks")
def check_knowledge_respected(attack: Attack) -> None:
    """Nothing is read of the view that its knowledge does not cover, nor updates before the training."""
    _, reads = course_of_attack(attack)
    require(
        not reads.refused,
        f"it read view.{listing(sorted(reads.refused))}; it declares Knowledge.{attack.knowledge.name}"
        f"{', knows_defence' if attack.knows_defence else ''}, and poison comes before the training",
    )


@check("attacks")
def check_knowledge_used(attack: Attack) -> None:
    """It uses the highest knowledge it declares, and the defence if it declares to know it."""
    _, reads = course_of_attack(attack)
    used = max((_LEVELS[name] for name in reads.granted if name in _LEVELS), default=Knowledge.NOTHING)
    require(
        used == attack.knowledge,
        f"it declares Knowledge.{attack.knowledge.name}, but uses Knowledge.{used.name}",
    )
    require(
        "defence" in reads.granted or not attack.knows_defence,
        "it declares `knows_defence`, but never asks the rule",
    )


@check("attacks", applies=lambda attack: first_state(attack) is not None)
def check_checkpoint(attack: Attack) -> None:
    """A state that went through to_tensors and from_tensors continues with the same bits."""
    for round, call in enumerate(course_of_attack(attack)[0]):
        restored = first_state(attack).from_tensors({name: t.clone() for name, t in call.before.items()})
        again, following = craft(attack, call.at, restored)
        require(same_bits(call.result, again), f"round {round} after a checkpoint sends other rows")
        require_same(
            tensors_of(call.following),
            tensors_of(following),
            f"the state of round {round} after a checkpoint",
        )


@check("attacks")
def check_category(attack: Attack) -> None:
    """Its category says what it tampers with: nothing, the training data, the update, or a backdoor."""
    at, reads = Mounted(round=1), Reads()
    poison = attack.poison(at.view(attack, trained=False))
    state = first_state(attack)
    rows, _ = craft(attack, at, state, reads)
    honest = same_bits(rows, world.history()[1].updates[list(at.malicious)])
    if attack.category == "none":
        require(
            poison is None and honest, "category 'none', yet it poisons or does not send the honest update"
        )
    elif attack.category == "data":
        require(poison is not None, "category 'data', yet it does not poison the training")
    elif attack.category == "backdoor":
        triggered = any(p is not None and p.triggers for p in (poison, *reads.poisons))
        triggered |= "own_data" in reads.granted and not honest  # it trains on its own
        require(triggered, "category 'backdoor', yet no training sample carries a trigger")
    else:
        idle = poison is None and honest and state is None
        require(not idle, "category 'update', yet the honest update is sent")


def _require_rows(rows: Tensor, at: Mounted) -> None:
    shape = (len(at.malicious), world.network().n_params)
    require(rows.shape == shape, f"it sends {list(rows.shape)}, not [m, n_params] = {list(shape)}")
    require(rows.dtype == torch.float32, f"it sends {rows.dtype}, not float32")
    require(not rows.requires_grad, "what it sends drags an autograd graph along; detach it")


def _sends_nan(attack: Attack) -> bool:
    rows, _ = craft(attack, Mounted(), first_state(attack))
    return bool(torch.isnan(rows).any())
