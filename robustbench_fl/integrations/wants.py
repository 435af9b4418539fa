"""What a rule must be given before it can serve, and the sentences that say so."""

from __future__ import annotations

from collections.abc import Set
from typing import Any

import numpy as np
import torch
from torch import Tensor

from robustbench_fl.api import Aggregator, InfeasibleError, Need, UsageError
from robustbench_fl.api.build import make
from robustbench_fl.integrations.forms import as_tensor

_GIVE = {
    "f": "the number of clients assumed malicious (f=2)",
    "model": "the network (model=net)",
    "params": "the global parameters (params=net.state_dict())",
    "root": "clean data of the server's own (root=(inputs, labels))",
    "recipe": "how the clients train (recipe={'lr': 0.05, 'local_epochs': 1, 'batch_size': 32})",
}
_FOR = {
    Need.F: ("f",),
    Need.MODEL: ("model", "params"),
    Need.ROOT_DATA: ("root", "recipe", "params"),
    Need.RECIPE: ("recipe", "params"),
}
_EACH_ROUND = {
    "client_ids": "who sent which row (client_ids=[…])",
    "sample_counts": "how many samples each client has (sample_counts=[…])",
}


def require(rule: Aggregator, text: str, given: Set[str]) -> None:
    """Raise unless `given` names all that `rule`, written `text`, needs for its whole life.

    Raises
    ------
    UsageError
        With all that is missing in one sentence; also for a baseline that no server can be.
    """
    if rule.baseline in ("honest", "local"):
        why = "is told who is malicious" if rule.baseline == "honest" else "lets every client train alone"
        raise UsageError(f"{text} {why}: a baseline for tables, which no server can be.")
    wanted = dict.fromkeys(name for need, names in _FOR.items() if need in rule.needs for name in names)
    _complain(text, [_GIVE[name] for name in wanted if name not in given])


def require_of_round(rule: Aggregator, text: str, **given: Any) -> None:
    """Raise unless a round gives the `client_ids` and `sample_counts` that `rule` needs.

    Raises
    ------
    UsageError
        With all that is missing in one sentence.
    """
    wanted = ["client_ids"] if Need.CLIENT_IDS in rule.needs else []
    wanted += ["sample_counts"] if rule.needs & {Need.SAMPLE_COUNTS, Need.RECIPE} else []
    _complain(text, [_EACH_ROUND[name] for name in wanted if given[name] is None], " in every round")


def require_feasible(rule: Aggregator, text: str, n: int, f: int) -> None:
    """Raise if `rule`, written `text`, cannot bear `f` malicious clients of `n`.

    Raises
    ------
    InfeasibleError
        With the rule's reason, and n and f.
    """
    if reason := rule.infeasible(n, f):
        raise InfeasibleError(f"{text}: {reason}{'' if 'n = ' in reason else f' (n = {n}, f = {f})'}.")


def made_rule(rule: Any, device: Any) -> Aggregator:
    """Return the rule that a text names, on a machine that has the `device`.

    Raises
    ------
    UsageError
        If it names none, or PyTorch cannot work on such a device here.
    """
    if not isinstance(rule, str):
        raise UsageError(f"rule must be a text such as 'krum' or 'nnm > median'; got {rule!r}.")
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, TypeError, ValueError, NotImplementedError) as error:
        why = str(error).partition("\n")[0]
        raise UsageError(f"device={device!r} is none that PyTorch can use here: {why}") from None
    made: Aggregator = make("aggregators", rule)
    return made


def whole(what: str, value: Any, least: int) -> int | None:
    """Return `value` as a whole number from `least`, or ``None`` if it is ``None``.

    Raises
    ------
    UsageError
        If it is something else; the message calls it `what`.
    """
    if value is None:
        return None
    if isinstance(value, int | np.integer) and not isinstance(value, bool) and value >= least:
        return int(value)
    raise UsageError(f"{what}, {least} or more; got {value!r}.")


def whole_seed(seed: Any) -> int:
    """Return `seed` as a whole number.

    Raises
    ------
    UsageError
        If it is something else.
    """
    if isinstance(seed, int | np.integer) and not isinstance(seed, bool):
        return int(seed)
    raise UsageError(f"seed must be a whole number; got {seed!r}.")


def root_tensors(root: Any, device: str) -> tuple[Tensor, Tensor]:
    """Return the server's data as float32 inputs [r, ...] and int64 labels [r].

    Raises
    ------
    UsageError
        If `root` is no such pair, or holds NaN, Inf or labels that are no classes.
    """
    wanted = "root must be a pair of arrays, inputs and labels"
    try:
        inputs, labels = root
    except (TypeError, ValueError) as error:
        raise UsageError(f"{wanted}: {error}") from None
    inputs, labels = as_tensor(inputs, wanted), as_tensor(labels, wanted)
    if inputs.ndim < 2 or labels.ndim != 1 or len(inputs) != len(labels) or not len(labels):
        raise UsageError(
            f"root must be inputs [r, ...] and labels [r]; got {list(inputs.shape)} and {list(labels.shape)}."
        )
    if inputs.is_complex() or not bool(torch.isfinite(inputs).all()):
        raise UsageError("The inputs of root hold NaN, Inf or complex numbers. Give clean data.")
    whole = labels.to(torch.int64)
    if labels.is_complex() or bool((whole != labels).any()) or int(whole.min()) < 0:
        raise UsageError("The labels of root must be classes, whole numbers from 0.")
    return inputs.to(device, torch.float32), whole.to(device)


def _complain(text: str, missing: list[str], when: str = "") -> None:
    if missing:
        *first, last = missing
        before = f"{', '.join(first)} and " if first else ""
        raise UsageError(f"{text} needs{when} {before}{last}.")
