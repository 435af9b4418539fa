"""The protocol by this project: one cell of a sweep, round by round."""

from __future__ import annotations

from race.inputs import Inputs
from race.log import Log, options
from race.networks import load
from race.prepare import simulation
from robustbench_fl.sweep.runner.execute import one_thread


def main() -> None:
    given = options()
    inputs = Inputs(given.folder, given.network)
    module = inputs.module()
    with one_thread():
        cell = simulation(given.folder, given.network, given.rounds)
        log = Log(inputs, given.rounds, "robustbench-fl")
        for _ in range(given.rounds):
            with log.round():
                cell.step()
            if log.due:
                load(module, cell.params)
                log.evaluate(module)
    log.write(module, given.out)


if __name__ == "__main__":
    main()
