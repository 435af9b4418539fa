"""The protocol by Flower's simulation engine: its server's strategy, and clients in Ray actors."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

os.environ |= {"FLWR_TELEMETRY_ENABLED": "0", "RAY_USAGE_STATS_ENABLED": "0", "RAY_DEDUP_LOGS": "0"}

from flwr.app import ArrayRecord, ConfigRecord, Context, Message, MessageType, RecordDict
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg
from flwr.simulation import run_simulation

from race.flower_client import client_app, world
from race.log import Log, options


class Cohorts(FedAvg):
    """Averaging that tells each node its place in the round's cohort."""

    def __init__(self, given: Any, cohort: int) -> None:
        super().__init__(fraction_train=0.05, fraction_evaluate=0.0, min_available_nodes=cohort)
        self.given, self.cohort = given, cohort

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        nodes = sorted(grid.get_node_ids())
        users = self.given.users[server_round - 1]
        for place, user in enumerate(users):
            own = ConfigRecord(
                {
                    "folder": str(self.given.folder),
                    "network": self.given.network,
                    "round": server_round - 1,
                    "place": place,
                }
            )
            content = RecordDict({"arrays": arrays, "config": own})
            yield Message(content, dst_node_id=nodes[user % len(nodes)], message_type=MessageType.TRAIN)

    def aggregate_train(self, server_round: int, replies: Iterable[Message]) -> Any:
        replies = list(replies)
        for reply in replies:
            if reply.has_error():
                raise SystemExit(f"a client failed: {reply.error.reason}")
        return super().aggregate_train(server_round, replies)


def main() -> None:
    given = options()
    inputs, module = world(str(given.folder), given.network)
    given.users = inputs.cohorts.tolist()
    log = Log(inputs, given.rounds, "flwr", "ray")
    server_app = ServerApp()

    def evaluate(number: int, arrays: ArrayRecord) -> None:
        if number:
            log.end_round()
            module.load_state_dict(arrays.to_torch_state_dict())
            if log.due:
                log.evaluate(module)
        if number < given.rounds:
            log.begin_round()

    @server_app.main()
    def serve(grid: Grid, context: Context) -> None:
        Cohorts(given, inputs.cohorts.shape[1]).start(
            grid=grid,
            initial_arrays=ArrayRecord(module.state_dict()),
            num_rounds=given.rounds,
            evaluate_fn=evaluate,
        )

    run_simulation(
        server_app=server_app,
        client_app=client_app,
        num_supernodes=1000,
        backend_config={
            "client_resources": {"num_cpus": 1, "num_gpus": 0.0},
            "init_args": {
                "num_cpus": given.workers,
                "include_dashboard": False,
                "_node_ip_address": "127.0.0.1",
                "object_store_memory": 500_000_000,
            },
        },
    )
    log.write(module, given.out)


if __name__ == "__main__":
    main()
