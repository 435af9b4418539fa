"""A round under the attack `optimal`, beside ByzFL's Optimal_ALIE on the same honest updates.

Run ``python benchmarks/attacks.py``; ``--size 100x100k`` for others than 100 x 10k. Both simulate
the server's rule 20 times and send the strongest shift that they found. Prints one Markdown table:
processor time of one thread for the whole round of the attacker, and how far the rule's answer
ends from the honest mean (ByzFL's, in the units of ours: how good the two searches are).
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from functools import partial
from typing import Any

if __name__ == "__main__":  # before NumPy and torch read them
    os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"))

import numpy as np
import torch
from peers import byzfl, network
from rules import Size, best, matrix

from robustbench_fl.api import AttackerView, AttackSpec, ServerSpec
from robustbench_fl.api.build import make
from robustbench_fl.engine.defence import SimulatedDefence
from robustbench_fl.engine.server import ServerRound

EVALUATIONS = 20
RULES: dict[str, Callable[[int], tuple[Any, list[Any]]]] = {
    "median": lambda f: (byzfl.Median(), []),
    "trimmed_mean": lambda f: (byzfl.TrMean(f), []),
    "krum(neighbours=n-f-1)": lambda f: (byzfl.Krum(f), []),
    "multi_krum(neighbours=n-f-1)": lambda f: (byzfl.MultiKrum(f), []),
    "geometric_median(start=zero, nu=0.1, steps=3)": lambda f: (byzfl.GeometricMedian(nu=0.1, T=3), []),
    "meamed": lambda f: (byzfl.Meamed(f), []),
    "nnm > trimmed_mean": lambda f: (byzfl.TrMean(f), [byzfl.NNM(f)]),
}
"""Rules simulated, each with ByzFL's rule and pre-aggregators for f."""


def main() -> None:
    options = parse()
    torch.set_num_threads(1)
    for size in options.size:
        honest = matrix(size)[size.malicious :]
        print(f"### {size.clients} x {size.parameters:,} float32, {size.malicious} malicious, one thread\n")
        print("| rule | ms | ByzFL torch / numpy, ms | speed-up | damage | ByzFL's damage |")
        print("|---|--:|--:|--:|--:|--:|")
        for text in options.rules or RULES:
            print(line(text, honest, size), flush=True)
        print()


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("rules", nargs="*", help=f"of {', '.join(RULES)}; all by default")
    parser.add_argument("--size", action="append", type=Size.read, help="such as 100x100k")
    options = parser.parse_args()
    options.size = options.size or [Size.read("100x10k")]
    return options


def line(text: str, honest: torch.Tensor, size: Size) -> str:
    ours = best(craft := our_round(text, honest, size), 2)
    start = f"| `{text}` | {ours:.0f} |"
    damage = damage_of(text, honest, size, craft())
    if byzfl is None:
        return f"{start} - | - | {damage:.4g} | - |"
    theirs = byzfl_round(text, size)
    in_torch, in_numpy = best(partial(theirs, honest), 1), best(partial(theirs, honest.numpy()), 1)
    sent = torch.as_tensor(theirs(honest.numpy())).repeat(size.malicious, 1)
    return (
        f"{start} {in_torch:.0f} / {in_numpy:.0f} | {in_torch / ours:.1f} / {in_numpy / ours:.1f} "
        f"| {damage:.4g} | {damage_of(text, honest, size, sent):.4g} |"
    )


def our_round(text: str, honest: torch.Tensor, size: Size) -> Callable[[], torch.Tensor]:
    """Return the attacker's whole round as a call: statistics, 20 simulations, the rows to send [m, d]."""
    attack = make("attacks", f"optimal(evaluations={EVALUATIONS})")
    view = attacker_view(text, honest, size)
    return lambda: attack.craft(view, None)[0]


def byzfl_round(text: str, size: Size) -> Callable[[Any], Any]:
    rule, stages = RULES[text](size.malicious)
    return byzfl.Optimal_ALittleIsEnough(rule, stages, f=size.malicious, evals=EVALUATIONS)


def damage_of(text: str, honest: torch.Tensor, size: Size, sent: torch.Tensor) -> float:
    """Return ‖rule's answer − honest mean‖ if `sent` [m, d] is sent."""
    answer = attacker_view(text, honest, size).defence.aggregate(sent).aggregate
    return float((answer - honest.mean(0)).norm())


def attacker_view(text: str, honest: torch.Tensor, size: Size) -> AttackerView:
    attack, rule = make("attacks", "optimal"), make("aggregators", text)
    n, m, d = size.clients, size.malicious, size.parameters
    model, params = network(d), torch.zeros(d)
    defence = SimulatedDefence(
        rule=rule,
        state=rule.init_state(ServerSpec(n_clients=n, n_params=d, layer_shapes=model.layer_shapes)),
        updates=torch.cat([torch.zeros(m, d), honest]),
        malicious=torch.arange(m),
        context=ServerRound(
            round=0, assumed_f=m, client_ids=tuple(range(n)), sample_counts=torch.ones(n),
            model=model, params=params, last_step=None, root=None,
        ),
        make_rng=lambda: np.random.default_rng(0),
    )  # fmt: skip
    return AttackerView(
        attack.knowledge,
        round=0,
        rng=np.random.default_rng(0),
        n_participants=n,
        client_ids=tuple(range(m)),
        spec=AttackSpec(
            n_clients=n, n_malicious=m, n_params=d, layer_shapes=model.layer_shapes, n_classes=10,
            image_shape=(1, 28, 28),
        ),
        params=params,
        initial_params=params,
        last_step=None,
        model=model,
        defence=defence,
        own=honest[:m],
        colluders=honest[:m],
        honest=honest,
        honest_ids=tuple(range(m, n)),
    )  # fmt: skip


if __name__ == "__main__":
    main()
