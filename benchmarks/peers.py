"""The rules that ByzFL has too, as calls on the same matrix, and one round of ours."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np
import torch

from robustbench_fl.api import RootData, ServerSpec, ServerView
from robustbench_fl.api.build import make
from robustbench_fl.models.zoo.mlp import Mlp, MlpModel

try:
    import byzfl
except ImportError:
    byzfl = None

Rule = Callable[[Any], Any]
"""A rule of ByzFL: rows as a torch or NumPy matrix to one row."""

IMAGE, CLASSES = (1, 28, 28), 10


def after(stage: Callable[[int], Rule], rule: Callable[[int], Rule]) -> Callable[[int], Rule]:
    """Return a pre-aggregator's output given to a rule; each is made from f."""
    return lambda f: lambda rows: rule(f)(stage(f)(rows))


def bucketed(s: int) -> Callable[[int], Rule]:
    """Return ByzFL's bucketing with the permutation that our server stream gives, not a global one."""

    def run(rows: Any) -> Any:
        order = np.random.default_rng(0).permutation(len(rows))
        random = SimpleNamespace(permutation=lambda vectors: vectors[order])
        with mock.patch("byzfl.aggregators.preaggregators.random_tool", return_value=random):
            return byzfl.Bucketing(s)(rows)

    return lambda f: run


def exact_caf(f: int) -> Rule:
    """Return ByzFL's CAF with both of its shortcuts undone.

    It takes one power step from a random start where the rule asks for the leading eigenvector, and
    lets clients that have lost all their weight set the scale of the next step.
    """
    source = inspect.getsource(byzfl.CAF)
    for shortcut, whole in (
        ("max_eigen_vec = compute_dominant_eigenvector(", "max_eigen_vec = leading_pair("),
        ("tau_max = tau.max()", "tau_max = tau[c > 0].max(); tau = tools.minimum(tau, tau_max)"),
    ):
        assert source.count(shortcut) == 1, "ByzFL's CAF has changed"
        source = source.replace(shortcut, whole)
    names = {**vars(sys.modules[byzfl.CAF.__module__]), "leading_pair": leading_pair}
    exec(source, names)
    rule: Rule = names["CAF"](f)
    return rule


def leading_pair(tools: Any, vectors: Any, c: Any, diffs: Any, dimension: int) -> tuple[float, Any]:
    """Return the leading eigenpair of the c-weighted covariance of `diffs`, exactly."""
    weights = np.sqrt(np.asarray(c, np.float64) / float(c.sum()))
    _, singular, directions = np.linalg.svd(
        weights[:, None] * np.asarray(diffs, np.float64), full_matrices=False
    )
    direction = directions[0].astype(np.float32)
    return singular[0] ** 2, torch.from_numpy(direction) if isinstance(vectors, torch.Tensor) else direction


def mean_of(rows: Any) -> Any:
    return rows.mean(0)


PEERS: Mapping[str, Callable[[int], Rule]] = {
    "mean": lambda f: byzfl.Average(),
    "median": lambda f: byzfl.Median(),
    "trimmed_mean": lambda f: byzfl.TrMean(f),
    "meamed": lambda f: byzfl.Meamed(f),
    "krum(neighbours=n-f-1)": lambda f: byzfl.Krum(f),
    "multi_krum(neighbours=n-f-1)": lambda f: byzfl.MultiKrum(f),
    "geometric_median(start=zero, nu=0.1, steps=3)": lambda f: byzfl.GeometricMedian(nu=0.1, T=3),
    # ByzFL's object remembers its last answer: a new one for every round.
    "centered_clipping(tau=100)": lambda f: lambda rows: byzfl.CenteredClipping(tau=100.0)(rows),
    "mda": lambda f: byzfl.MDA(f),
    "caf": lambda f: byzfl.CAF(f),
    "nnm > trimmed_mean": after(lambda f: byzfl.NNM(f), lambda f: byzfl.TrMean(f)),
    "nnm > krum(neighbours=n-f-1)": after(lambda f: byzfl.NNM(f), lambda f: byzfl.Krum(f)),
    "bucketing(s=2) > median": after(bucketed(2), lambda f: byzfl.Median()),
    # Both of these write into their input.
    "clip(c=2) > mean": lambda f: lambda rows: mean_of(byzfl.Clipping(2.0)(_copied(rows))),
    "arc > mean": lambda f: lambda rows: mean_of(byzfl.ARC(f)(_copied(rows))),
    "monna(trusted=0)": lambda f: byzfl.MoNNA(f, 0),
}
"""Our text of each rule of ByzFL at ByzFL's settings, with what makes ByzFL's from f."""


def one_round(text: str, rows: torch.Tensor, f: int, *, memory: int = 0) -> Callable[[], torch.Tensor]:
    """Return one round of our rule `text` as a call without arguments.

    Parameters
    ----------
    text : str
        A chain of the spec language.
    rows : Tensor [n, d]
        The updates; d must be :func:`network`'s size for rules that look into the model.
    f : int
        Assumed malicious.
    memory : int
        Rounds with the same rows before it, for rules that remember.

    Raises
    ------
    InfeasibleError
        If the rule refuses n and f.
    """
    play, state = _played(text, rows, f, memory)
    return lambda: play(memory, state)[0].aggregate


def kept_bytes(text: str, rows: torch.Tensor, f: int) -> int:
    """Return the size of what our rule `text` remembers of the clients after a round with these rows."""
    _, state = _played(text, rows, f, 1)
    return 0 if state is None else sum(x.numel() * x.element_size() for x in state.to_tensors().values())


def _played(text: str, rows: torch.Tensor, f: int, rounds: int) -> tuple[Callable[..., Any], Any]:
    """Return ``play(round, state)``, and the state after so many rounds."""
    rule = make("aggregators", text)
    n, d = rows.shape
    model = network(d)
    shapes = model.layer_shapes if model.n_params == d else ()
    spec = ServerSpec(n_clients=n, n_params=d, layer_shapes=shapes, device=str(rows.device))
    rng = np.random.default_rng(1)
    images = torch.from_numpy(rng.standard_normal((100, *IMAGE), np.float32))
    labels = torch.from_numpy(rng.integers(0, CLASSES, 100))
    given = {
        "layer_shapes": spec.layer_shapes,
        "f": f,
        "root": RootData(
            images=images.to(rows.device), labels=labels.to(rows.device), train=lambda: rows.new_ones(d)
        ),
        "model": model,
        "params": torch.from_numpy(0.05 * rng.standard_normal(d).astype(np.float32)).to(rows.device),
        "client_ids": tuple(range(n)),
        "last_step": rows.new_ones(d),
        "sample_counts": torch.full((n,), 64, device=rows.device),
    }

    # Made beforehand, as ByzFL's objects are: a caller's part of a round is not the rule's.
    views = [
        ServerView(rule.needs, round=number, rng=np.random.default_rng(0), **given)
        for number in range(rounds + 1)
    ]

    def play(number: int, state: Any) -> Any:
        return rule.aggregate(rows, views[number], state)

    state = rule.init_state(spec)
    for number in range(rounds if state is not None else 0):
        state = play(number, state)[1]
    return play, state


def network(n_params: int) -> MlpModel:
    """Return the network of one hidden layer whose size is nearest to `n_params`."""
    pixels = IMAGE[1] * IMAGE[2]
    hidden = max(1, round((n_params - CLASSES) / (pixels + 1 + CLASSES)))
    return Mlp(hidden=(hidden,)).build(IMAGE, CLASSES)


def _copied(rows: Any) -> Any:
    return rows.clone() if isinstance(rows, torch.Tensor) else rows.copy()
