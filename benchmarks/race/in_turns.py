"""A round of this project and of the plain loop in turns, in one process: what else runs meets both.

``python -m race.in_turns FOLDER NETWORK ROUNDS`` (in ``benchmarks/``, this project on the path) prints the
least and the median processor milliseconds of a round, and how far both models are apart after the first.
"""

from __future__ import annotations

import statistics
import sys
from pathlib import Path
from time import process_time

import torch

from race.inputs import LR, Inputs
from race.networks import flat
from race.plain_loop import one_round
from race.prepare import simulation
from robustbench_fl.sweep.runner.execute import one_thread


def main() -> None:
    folder, network, rounds = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    inputs = Inputs(folder, network)
    module = inputs.module()
    optimiser = torch.optim.SGD(module.parameters(), lr=LR)
    params = flat(module)
    times: dict[str, list[float]] = {"loop": [], "ours": []}
    with one_thread():
        cell = simulation(folder, network, rounds)
        for number in range(rounds):
            began = process_time()
            params = one_round(inputs, module, optimiser, params, number)
            times["loop"].append(process_time() - began)
            began = process_time()
            cell.step()
            times["ours"].append(process_time() - began)
            if not number:
                apart = float((cell.params - params).norm() / params.norm())
    said = [f"{n} {1e3 * min(t):.0f} ms ({1e3 * statistics.median(t):.0f})" for n, t in times.items()]
    print(f"{network}: {', '.join(said)}; apart after the first round {apart:.0e}")


if __name__ == "__main__":
    main()
