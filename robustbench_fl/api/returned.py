"""What rules and attacks hand back is checked in every round, so that no slip becomes an accuracy.

Shapes, types and devices are looked at, never values: an aggregate that is not finite is a result.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from robustbench_fl.api.aggregator import Aggregation
from robustbench_fl.api.attack import Poison
from robustbench_fl.api.state import State
from robustbench_fl.core.errors import RobustbenchError

if TYPE_CHECKING:
    from torch import Tensor

    from robustbench_fl.api.aggregator import Aggregator, PreAggregator
    from robustbench_fl.api.attack import Attack, AttackSpec


class WrongReturn(RobustbenchError, TypeError):
    """A method returned something else than its contract says."""


_PER_CLIENT = ("weights", "selected", "rejected", "scores")
_VERDICTS = frozenset({"selected", "rejected"})


def checked_outcome(
    rule: Aggregator, returned: Any, updates: Tensor, state: State | None
) -> tuple[Aggregation, State | None]:
    """Return what ``rule.aggregate`` `returned`, if it is what the contract says.

    Parameters
    ----------
    rule : Aggregator
        The rule.
    returned : object
        What it returned.
    updates : Tensor [n, n_params]
        What it was given.
    state : State or None
        The state it was given.

    Raises
    ------
    WrongReturn
        If it is no pair of an :class:`Aggregation` and a state; if the aggregate is no real floating
        [n_params] on the updates' device; or if weights, selection, accusation, scores or a diagnostic
        are not [n], the first and the scores floating, the two in between bool.
    """
    who = f"{type(rule).__name__}.aggregate"
    outcome, following = _pair(who, returned, "Aggregation(aggregate)")
    if not isinstance(outcome, Aggregation):
        raise WrongReturn(
            f"{who} returned {_said(outcome)} as its outcome. Return an Aggregation and the state: "
            f"Aggregation(aggregate), None."
        )
    n, n_params = updates.shape
    _require_floats(who, "an aggregate", outcome.aggregate, (n_params,), updates.device, "updates.mean(0)")
    for name in _PER_CLIENT:
        value = getattr(outcome, name)
        if value is not None:
            _require_per_client(who, f"`{name}`", value, n, verdict=name in _VERDICTS)
    for name, value in outcome.diagnostics.items():
        _require_per_client(who, f"the diagnostic {name!r}", value, n, verdict=None)
    _require_state(who, following, state)
    return outcome, following


def checked_mixing(
    stage: PreAggregator, returned: Any, updates: Tensor, state: State | None
) -> tuple[Tensor, State | None]:
    """Return what ``stage.mixing`` `returned`, if it is weights [rows, n] or [n] and a state.

    Parameters
    ----------
    stage : PreAggregator
        The stage.
    returned : object
        What it returned.
    updates : Tensor [n, n_params]
        What it was given.
    state : State or None
        The state it was given.

    Raises
    ------
    WrongReturn
        If it is something else.
    """
    who = f"{type(stage).__name__}.mixing"
    weights, following = _pair(who, returned, "weights")
    n = len(updates)
    rows = n if stage.keeps_clients else stage.n_rows(n)
    shape = (n,) if isinstance(weights, torch.Tensor) and weights.ndim == 1 else (rows, n)
    _require_floats(who, "weights", weights, shape, updates.device, "torch.eye(n)")
    _require_state(who, following, state)
    return weights, following


def checked_rows(
    attack: Attack, returned: Any, own: Tensor, state: State | None
) -> tuple[Tensor, State | None]:
    """Return what ``attack.craft`` `returned`, if it is one row a malicious client and a state.

    Parameters
    ----------
    attack : Attack
        The attack.
    returned : object
        What it returned.
    own : Tensor [m, n_params]
        The malicious clients' own updates.
    state : State or None
        The state it was given.

    Raises
    ------
    WrongReturn
        If it is something else than a real floating Tensor [m, n_params] on the updates' device and
        a state.
    """
    who = f"{type(attack).__name__}.craft"
    rows, following = _pair(who, returned, "rows")
    _require_floats(who, "rows", rows, tuple(own.shape), own.device, "row.repeat(len(view.client_ids), 1)")
    _require_state(who, following, state)
    return rows, following


def checked_poison(attack: Attack, poison: Any, spec: AttackSpec) -> Poison | None:
    """Return what ``attack.poison`` returned, if it is a :class:`Poison` that fits the task, or ``None``.

    Parameters
    ----------
    attack : Attack
        The attack.
    poison : object
        What it returned.
    spec : AttackSpec
        Classes and parameters of the task.

    Raises
    ------
    WrongReturn
        If it is something else, names a class that there is not, or has a gradient mask of another
        length than the parameters.
    """
    who = f"{type(attack).__name__}.poison"
    if poison is None:
        return None
    if not isinstance(poison, Poison):
        raise WrongReturn(f"{who} returned {_said(poison)}. Return a Poison, or None to train honestly.")
    classes = range(spec.n_classes)
    if poison.label_map is not None and (
        len(poison.label_map) != len(classes) or not set(poison.label_map) <= set(classes)
    ):
        raise WrongReturn(
            f"{who} returned the label map {poison.label_map}. Return one class from 0 to {classes[-1]} "
            f"for each of the {len(classes)} classes."
        )
    if poison.triggers and poison.target not in classes:
        raise WrongReturn(
            f"{who} returned the target {poison.target}. Return a class from 0 to {classes[-1]}."
        )
    mask = poison.gradient_mask
    if mask is not None and (not isinstance(mask, torch.Tensor) or mask.shape != (spec.n_params,)):
        raise WrongReturn(
            f"{who} returned {_said(mask)} as gradient_mask. Return a Tensor [{spec.n_params}], one factor "
            f"a parameter."
        )
    return poison


def _pair(who: str, returned: Any, first: str) -> tuple[Any, Any]:
    if isinstance(returned, tuple) and len(returned) == 2:
        return returned
    raise WrongReturn(
        f"{who} returned {_said(returned)}, not a pair. Return {first}, state; None is the state of a "
        f"method without memory."
    )


def _require_floats(
    who: str, what: str, value: Any, shape: tuple[int, ...], device: torch.device, example: str
) -> None:
    if isinstance(value, torch.Tensor) and value.shape == shape and value.dtype.is_floating_point:
        if value.device == device:
            return
        raise WrongReturn(
            f"{who} returned {what} on {value.device}; the updates are on {device}. Return it there: "
            f".to(updates.device)."
        )
    raise WrongReturn(
        f"{who} returned {what} that is {_said(value)}. Return a real floating Tensor {list(shape)}, "
        f"as {example} is."
    )


def _require_per_client(who: str, what: str, value: Any, n: int, *, verdict: bool | None) -> None:
    """Raise unless `value` is [n]: bool for a verdict, floating for a number, either for ``None``."""
    if isinstance(value, torch.Tensor) and value.shape == (n,) and not value.dtype.is_complex:
        fits = {True: value.dtype == torch.bool, False: value.dtype.is_floating_point, None: True}[verdict]
        if fits:
            return
    kind = {True: "bool ", False: "floating ", None: ""}[verdict]
    raise WrongReturn(
        f"{who} returned {what} that is {_said(value)}. Return a {kind}Tensor [{n}], one value for each row "
        f"of updates."
    )


def _require_state(who: str, following: Any, state: State | None) -> None:
    if following is not None and not isinstance(following, State):
        raise WrongReturn(
            f"{who} returned {_said(following)} as its state. Return a State (a frozen dataclass that "
            f"derives from it), or None."
        )
    if type(following) is not type(state):
        raise WrongReturn(
            f"{who} returned {_said(following)} as its state after {_said(state)}. Return the kind that "
            f"init_state gives in every round: a checkpoint is read by it."
        )


def _said(value: Any) -> str:
    """Return what `value` is, in words."""
    if value is None:
        return "None"
    if isinstance(value, torch.Tensor):
        return f"a {str(value.dtype).removeprefix('torch.')} Tensor {list(value.shape)}"
    if isinstance(value, tuple):
        return f"a tuple of {len(value)}"
    name = type(value).__name__
    return f"{'an' if name[0] in 'AEIOUaeiou' else 'a'} {name}"
