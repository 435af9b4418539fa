"""Attacks: how the malicious clients train, when they are active, and how success is measured."""

from __future__ import annotations

from dataclasses import replace

import torch

from robustbench_fl.api import Attack, AttackSpec, Poison, RareImages, Stamp, Trigger
from robustbench_fl.conformance import world
from robustbench_fl.conformance.attack_scene import Mounted, Reads, WatchedView, specs_of_tasks
from robustbench_fl.conformance.checks import check, require
from robustbench_fl.conformance.courses import course_of_attack
from robustbench_fl.core.seeding import stream


@check("attacks")
def check_poison(attack: Attack) -> None:
    """Label map, triggers, target, share and mask of the poisoned training fit the task."""
    for spec in specs_of_tasks():
        if attack.infeasible(spec) is not None:
            continue
        for round in range(world.N_ROUNDS):
            poison = attack.poison(_view(attack, spec, round))
            if poison is not None:
                _require_valid(poison, spec)
    for poison in course_of_attack(attack)[1].poisons:
        if poison is not None:
            _require_valid(poison, Mounted().spec)


@check("attacks")
def check_usual_tasks(attack: Attack) -> None:
    """Ten classes on 8×8, 28×28 and 32×32 pixels are feasible."""
    for spec in specs_of_tasks():
        if spec.n_classes == 10:
            reason = attack.infeasible(spec)
            require(reason is None, f"{spec.image_shape}: {reason}")


@check("attacks")
def check_success_is_measurable(attack: Attack) -> None:
    """Backdoors, and only they, have a test trigger; it and a test flip fit the task."""
    for spec in specs_of_tasks():
        if attack.infeasible(spec) is not None:
            continue
        test, flip = attack.test_trigger(spec), attack.test_flip(spec)
        backdoor = attack.category == "backdoor"
        require(
            (test is not None) == backdoor, f"category {attack.category!r}, but test_trigger gives {test}"
        )
        if test is not None:
            _require_inside(test[0], spec)
            source = test[0].source if isinstance(test[0], RareImages) else None
            require(source != test[1], f"rare images of class {source} are to be taken for what they are")
            require(0 <= test[1] < spec.n_classes, f"target {test[1]} of {spec.n_classes} classes")
        if flip is not None:
            source, target = flip
            fits = source != target and min(flip) >= 0 and max(flip) < spec.n_classes
            require(fits, f"test_flip {source} → {target} with {spec.n_classes} classes")


@check("attacks")
def check_start_and_stop(attack: Attack) -> None:
    """It is active from round `start` until before round `stop`."""
    limited = replace(attack, start=2, stop=4)
    found = [round for round in range(6) if limited.active(round)]
    require(found == [2, 3], f"start=2, stop=4 is active in rounds {found}")
    require(all(attack.active(round) for round in range(6)), "by default it is not active in every round")


def _view(attack: Attack, spec: AttackSpec, round: int) -> WatchedView:
    past = world.history()[round]
    return WatchedView(
        Reads(),
        attack.knowledge,
        round=round,
        rng=stream("conformance", "poison", round),
        n_participants=spec.n_clients,
        client_ids=Mounted().malicious,
        spec=spec,
        model=world.network(),
        params=past.params.clone(),
        initial_params=world.history()[0].params.clone(),
        last_step=None if past.last_step is None else past.last_step.clone(),
    )


def _require_valid(poison: Poison, spec: AttackSpec) -> None:
    if poison.label_map is not None:
        fits = len(poison.label_map) == spec.n_classes and all(
            0 <= y < spec.n_classes for y in poison.label_map
        )
        require(fits, f"label map {poison.label_map} with {spec.n_classes} classes")
        require(poison.label_map != tuple(range(spec.n_classes)), "the label map changes nothing")
    for trigger in poison.triggers:
        _require_inside(trigger, spec)
    require(0 <= poison.target < spec.n_classes, f"target {poison.target} of {spec.n_classes} classes")
    require(0 <= poison.share <= 1, f"share {poison.share} is not in [0, 1]")
    require(poison.repeats >= 1, f"the local work is repeated {poison.repeats} times")
    if poison.gradient_mask is not None:
        mask = poison.gradient_mask
        require(
            mask.shape == (spec.n_params,),
            f"gradient mask {list(mask.shape)}, not [n_params] = [{spec.n_params}]",
        )
        require(torch.isfinite(mask).all(), "the gradient mask is not finite")


def _require_inside(trigger: Trigger | RareImages | Stamp, spec: AttackSpec) -> None:
    if isinstance(trigger, Stamp):
        plain = torch.zeros(2, *spec.image_shape)
        found = trigger.change(plain)
        require(found.shape == plain.shape, f"the stamp makes {list(found.shape)} of {list(plain.shape)}")
        require(not plain.any(), "the stamp changed the images it was given")
        require(torch.isfinite(found).all(), "stamped images are not finite")
        return
    if isinstance(trigger, RareImages):
        fits = 0 <= trigger.source < spec.n_classes and 0 < trigger.share <= 1
        require(fits, f"{trigger} with {spec.n_classes} classes")
        return
    _, height, width = spec.image_shape
    require(trigger.pixels, "a trigger has no pixels")
    outside = [p for p in trigger.pixels if not (0 <= p[0] < height and 0 <= p[1] < width)]
    require(not outside, f"trigger pixels {outside} are outside {height}×{width}")
    require(
        len(set(trigger.pixels)) == len(trigger.pixels), f"trigger pixels are named twice: {trigger.pixels}"
    )
