"""One cell from start to end: rounds of local training, attack, aggregation, evaluation."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from robustbench_fl.api import (
    Aggregator,
    Attack,
    AttackerView,
    AttackSpec,
    Knowledge,
    Need,
    Poison,
    ServerSpec,
)
from robustbench_fl.api.build import content_text, stream_text
from robustbench_fl.api.mapped import copied_rows
from robustbench_fl.api.model import Model
from robustbench_fl.api.recipes import ServerOptimiser, choice
from robustbench_fl.api.returned import checked_poison, checked_rows
from robustbench_fl.core.cell import Cell
from robustbench_fl.core.seeding import stream
from robustbench_fl.data.federation import Federation
from robustbench_fl.data.shares import Shares
from robustbench_fl.engine.defence import SimulatedDefence
from robustbench_fl.engine.evaluation import ScoreBoard
from robustbench_fl.engine.ledger import Ledger
from robustbench_fl.engine.local_training import LocalTraining, rows_among
from robustbench_fl.engine.mapped import ScratchRows, scratch_rows
from robustbench_fl.engine.momenta import Momenta
from robustbench_fl.engine.optimiser import direction, initial_state
from robustbench_fl.engine.server import ServerRound, Verdict, serve
from robustbench_fl.engine.timers import Timers
from robustbench_fl.engine.training import Engine


@dataclass(frozen=True, kw_only=True)
class Methods:
    """The methods of one cell, made."""

    model: Model
    rule: Aggregator
    attack: Attack


class Simulation:
    """The state of one cell between two rounds.

    Parameters
    ----------
    cell : Cell
        What to simulate.
    federation : Federation
        Its data, spread over the clients.
    methods : Methods
        Its network, rule and attack.
    engine : {"auto", "stacked", "loop"}
        How clients are trained; the numbers agree to float tolerance.
    chunk_divisor : int
        Divides how many clients are trained as one batch: less memory, on a CPU the same numbers.
    updates_in : Path, optional
        A folder for the updates of each round, which may be larger than the memory. Only on a CPU,
        with the same numbers.
    """

    def __init__(
        self,
        cell: Cell,
        federation: Federation,
        methods: Methods,
        engine: Engine = "auto",
        chunk_divisor: int = 1,
        updates_in: Path | None = None,
    ) -> None:
        self.cell = cell
        self.updates_in = updates_in
        self.settings = cell.settings
        self.federation = federation
        self.model, self.rule, self.attack = methods.model, methods.rule, methods.attack
        self.training = LocalTraining(
            model=self.model,
            federation=federation,
            settings=self.settings,
            seed=cell.seed,
            engine=engine,
            chunk_divisor=chunk_divisor,
        )
        self.optimiser: ServerOptimiser = choice("server", self.settings.server)
        order = federation.malicious_order(
            content_text("datasets", cell.dataset),
            cell.partition,
            cell.seed,
            placement=self.attack.placement,
        )
        self.malicious = np.zeros(self.settings.clients, dtype=bool)
        self.malicious[order[: cell.n_malicious]] = True
        device = federation.device
        self.params = self.model.init(stream("init", cell.model, cell.seed)).to(device)
        self.initial_params = self.params
        self.own_models: Tensor | None = None
        """What each client has learned alone [n_clients, d], for ``local_only``."""
        if self.rule.baseline == "local":
            self.own_models = self.params.repeat(self.settings.clients, 1)
        self.momenta = Momenta(torch.zeros_like(self.params)) if self.settings.worker_momentum else None
        self.last_step: Tensor | None = None
        self.round = 0
        sizes = torch.from_numpy(Shares.of(federation.clients).sizes)
        self.sample_counts = sizes.to(device, torch.float32)
        self.server_spec = ServerSpec(
            n_clients=self.settings.clients,
            n_params=self.model.n_params,
            layer_shapes=self.model.layer_shapes,
            device=device,
        )
        self.attack_spec = AttackSpec(
            n_clients=self.settings.clients,
            n_malicious=cell.n_malicious,
            n_params=self.model.n_params,
            layer_shapes=self.model.layer_shapes,
            n_classes=federation.n_classes,
            image_shape=federation.image_shape,
            device=device,
        )
        self.rule_state = self.rule.init_state(self.server_spec)
        self.attack_state = self.attack.init_state(self.attack_spec)
        self.optimiser_state = initial_state(self.optimiser, self.params)
        self.timers = Timers(device)
        self.ledger = Ledger(self.malicious, self.rule.detector)
        self.scores = ScoreBoard(self.model, federation, self.attack, self.attack_spec, self.settings)

    def run(self, after_round: Callable[[int], None] | None = None) -> None:
        """Run the rounds that are left; `after_round` is called with the rounds finished."""
        while self.round < self.settings.rounds:
            self.step()
            if after_round is not None:
                after_round(self.round)

    def step(self) -> None:
        """Run one server round, and evaluate if it is due."""
        clients = self._participants()
        if self.own_models is not None:
            with self.timers.of("train"):
                self.own_models = self._trained_alone(self.own_models, clients)
        else:
            self._federate(clients)
        self.round += 1
        if self.round % self.settings.eval_every == 0 or self.round == self.settings.rounds:
            with self.timers.of("evaluate"):
                self._evaluate()

    def _federate(self, clients: np.ndarray) -> None:
        """Train, attack, aggregate, and take the step."""
        malicious = self.malicious[clients]
        # Nobody's updates matter to a server that learns from its own data.
        active = self.attack.active(self.round) and self.rule.baseline != "root"
        attacking = np.flatnonzero(malicious & active)
        hidden = malicious if self.rule.baseline == "honest" else None
        momenta = self.momenta
        with self._scratch(len(clients)) as file:
            with self.timers.of("train"):
                updates = self._updates(clients, attacking, file)
            if len(attacking):
                with self.timers.of("attack"):
                    self._attack(updates, clients, attacking, hidden, momenta, file)
            with self.timers.of("aggregate"):
                verdict, self.rule_state = serve(
                    self.rule,
                    self.rule_state,
                    updates,
                    self._context(clients),
                    self._server_stream,
                    hidden,
                    None if file is None else file.chosen,
                )
            self.ledger.add(self.round, clients, verdict, hidden)
            self.last_step = self._step_of(verdict)
            self.params = self.params + self.last_step

    def _scratch(self, n: int) -> AbstractContextManager[ScratchRows | None]:
        """Return the room for `n` updates in a file, nothing where they are kept in memory."""
        if self.updates_in is None:
            return nullcontext()
        return scratch_rows(self.updates_in, n, self.model.n_params)

    def _evaluate(self) -> None:
        if self.own_models is None:
            self.scores.evaluate(self.params, self.round, self.attack_state)
        else:
            honest = torch.from_numpy(~self.malicious).to(self.own_models.device)
            self.scores.evaluate_alone(self.own_models[honest], self.round, self.attack_state)

    def _participants(self) -> np.ndarray:
        n, k = self.settings.clients, self.settings.participants
        if k == n:
            return np.arange(n)
        rng = stream("participants", n, self.settings.participation, self.cell.seed, self.round)
        chosen: np.ndarray = np.sort(rng.choice(n, size=k, replace=False))
        return chosen

    def _updates(self, clients: np.ndarray, attacking: np.ndarray, file: ScratchRows | None) -> Tensor:
        """Return what local training makes of each of `clients`; zeros for those who need none."""
        ids = [int(c) for c in clients]
        poisoned = [ids[i] for i in attacking]
        poison = self._poison(clients, attacking) if poisoned else None
        idle = set(poisoned) if self.attack.knowledge == Knowledge.NOTHING and poison is None else set()
        idle = set(ids) if self.rule.baseline == "root" else idle
        rows = [row for row, client in enumerate(ids) if client not in idle]
        if file is None:
            trained = self._sent([ids[row] for row in rows], poison, poisoned)
            return rows_among(trained, rows, len(ids))
        for some in file.groups(rows):
            file.write(some, self._sent([ids[row] for row in some], poison, poisoned))
        return file.rows

    def _sent(self, clients: list[int], poison: Poison | None, poisoned: list[int]) -> Tensor:
        """Return what `clients` make of the round [k, d], `poisoned` among them by `poison`."""
        trained = self.training.updates(self.params, self.round, clients, poison, poisoned)
        if self.momenta is not None:
            trained, self.momenta = self._with_momentum(trained, self.momenta, clients)
        return trained

    def _with_momentum(self, updates: Tensor, momenta: Momenta, clients: list[int]) -> tuple[Tensor, Momenta]:
        """Return what `clients` send in place of their updates [k, d], and everybody's momenta then.

        In place of the gradient stands the update over the learning rate, negated: the sum of a round's
        gradients. Those who do not train in a round keep their momentum as it is.
        """
        lr = self.training.recipe(self.round).lr
        # Nothing was learned, and the gradient is not known; or nobody trained.
        if lr < torch.finfo(updates.dtype).tiny or not clients:
            return updates, momenta
        beta = self.settings.worker_momentum
        mixed = beta * momenta.of(clients) + (1 - beta) / lr * updates
        return lr * mixed, momenta.after(clients, mixed)

    def _trained_alone(self, models: Tensor, clients: np.ndarray) -> Tensor:
        """Return `models` [n_clients, d] after one more round of training of `clients`, each on its own."""
        rows = torch.from_numpy(clients).to(models.device)
        start = models[rows]
        ids = [int(c) for c in clients]
        return models.index_copy(0, rows, start + self.training.updates(start, self.round, ids))

    def _poison(self, clients: np.ndarray, positions: np.ndarray) -> Poison | None:
        asked = self.attack.poison(self._attacker_view(clients, positions, "poison"))
        return checked_poison(self.attack, asked, self.attack_spec)

    def _trained_by(self, clients: list[int], poison: Poison | None, momenta: Momenta | None) -> Tensor:
        """Return what `clients`, all malicious, would send [k, d] had they trained as `poison` says.

        Everybody's worker momenta before the round are `momenta`.
        """
        poison = checked_poison(self.attack, poison, self.attack_spec)
        trained = self.training.updates(self.params, self.round, clients, poison, clients)
        return trained if momenta is None else self._with_momentum(trained, momenta, clients)[0]

    def _attack(
        self,
        updates: Tensor,
        clients: np.ndarray,
        positions: np.ndarray,
        hidden: np.ndarray | None,
        momenta: Momenta | None,
        file: ScratchRows | None,
    ) -> None:
        """Replace the malicious rows of the round's updates by what the attack sends."""
        honest = np.flatnonzero(~self.malicious[clients])
        attackers = [int(clients[p]) for p in positions]
        own = copied_rows(updates, positions.tolist())
        seen: dict[str, Any] = {"own": own, "colluders": own}
        seen["train"] = lambda poison: self._trained_by(attackers, poison, momenta)
        seen["own_data"] = lambda j: self.federation.client_data(attackers[j])
        if self.attack.knowledge >= Knowledge.ALL:
            index = torch.from_numpy(honest).to(updates.device)
            seen["honest"] = updates[index] if file is None else file.chosen(index)
            seen["honest_ids"] = tuple(int(c) for c in clients[honest])
        if self.attack.knows_defence:
            seen["defence"] = self._defence(updates, clients, positions, hidden)
        view = self._attacker_view(clients, positions, "craft", **seen)
        returned = self.attack.craft(view, self.attack_state)
        crafted, self.attack_state = checked_rows(self.attack, returned, own, self.attack_state)
        crafted = crafted.detach().to(updates.dtype)
        if file is None:
            updates[torch.from_numpy(positions).to(updates.device)] = crafted
        else:
            file.write(positions.tolist(), crafted)

    def _defence(
        self,
        updates: Tensor,
        clients: np.ndarray,
        positions: np.ndarray,
        hidden: np.ndarray | None,
    ) -> SimulatedDefence:
        """Return the rule as the attacker can simulate it: on the rows that it knows, and no others."""
        if self.attack.knowledge < Knowledge.ALL:
            updates, clients = updates[torch.from_numpy(positions)], clients[positions]
            hidden = None if hidden is None else hidden[positions]
            positions = np.arange(len(positions))
        return SimulatedDefence(
            rule=self.rule,
            state=self.rule_state,
            updates=updates,
            malicious=torch.from_numpy(positions).to(updates.device),
            context=self._context(clients),
            make_rng=lambda: stream("simulated defence", self.cell.attack, self.cell.seed, self.round),
            hidden=hidden,
        )

    def _attacker_view(
        self, clients: np.ndarray, positions: np.ndarray, step: str, **seen: Any
    ) -> AttackerView:
        return AttackerView(
            self.attack.knowledge,
            round=self.round,
            rng=stream("attack", step, self.cell.attack, self.cell.seed, self.round),
            n_participants=len(clients),
            client_ids=tuple(int(clients[p]) for p in positions),
            spec=self.attack_spec,
            model=self.model,
            params=self.params,
            initial_params=self.initial_params,
            last_step=self.last_step,
            **seen,
        )

    def _server_stream(self) -> np.random.Generator:
        name = stream_text(self.cell.aggregator, self.rule)
        return stream("server", name, self.cell.seed, self.round)

    def _context(self, clients: np.ndarray) -> ServerRound:
        needs = self.rule.needs
        counts = self.sample_counts[torch.from_numpy(clients).to(self.sample_counts.device)]
        return ServerRound(
            round=self.round,
            assumed_f=self.cell.assumed(len(clients)),
            client_ids=tuple(int(c) for c in clients),
            sample_counts=counts,
            model=self.model,
            params=self.params,
            last_step=self.last_step,
            root=self.training.root(self.params, self.round) if Need.ROOT_DATA in needs else None,
            recipe=self.training.client_recipe(self.params, self.round, int(counts.median()))
            if Need.RECIPE in needs
            else None,
        )

    def _step_of(self, verdict: Verdict) -> Tensor:
        """Return the change of the global parameters; a rule that keeps the model stops the optimiser too."""
        if verdict.keeps_model:
            return torch.zeros_like(self.params)
        assert verdict.aggregation is not None
        aggregate = verdict.aggregation.aggregate.detach().to(self.params.dtype)
        if self.rule.baseline == "root":
            return aggregate  # plain training on the root set: no server's step to speak of
        move, self.optimiser_state = direction(self.optimiser, aggregate, self.optimiser_state)
        return self.settings.server_lr * move
