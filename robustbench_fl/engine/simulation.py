"""One cell from start to end: rounds of local training, attack, aggregation, evaluation."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from time import process_time
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from robustbench_fl.api import (
    Aggregation,
    Aggregator,
    Attack,
    AttackerView,
    AttackSpec,
    ClientRecipe,
    Knowledge,
    Need,
    Poison,
    RootData,
    ServerSpec,
)
from robustbench_fl.api.build import content_text
from robustbench_fl.api.model import Model
from robustbench_fl.api.recipes import Schedule, ServerOptimiser, choice
from robustbench_fl.api.returned import checked_poison, checked_rows
from robustbench_fl.core.cell import Cell
from robustbench_fl.core.seeding import stream
from robustbench_fl.data.federation import Federation
from robustbench_fl.engine.client_jobs import make_jobs, make_root_jobs
from robustbench_fl.engine.defence import SimulatedDefence
from robustbench_fl.engine.detection import Tally
from robustbench_fl.engine.evaluation import ScoreBoard
from robustbench_fl.engine.jobs import Jobs, Recipe, Work
from robustbench_fl.engine.optimiser import direction, initial_state
from robustbench_fl.engine.server import ServerRound, Verdict, serve
from robustbench_fl.engine.training import Engine, train
from robustbench_fl.engine.virtual_clients import MadeData, virtual_jobs

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass
class Timers:
    """CPU seconds of this process by phase."""

    seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))

    @contextmanager
    def of(self, phase: str) -> Iterator[None]:
        """Add the time inside the block to `phase`."""
        before = process_time()
        try:
            yield
        finally:
            self.seconds[phase] += process_time() - before


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
    """

    def __init__(
        self,
        cell: Cell,
        federation: Federation,
        methods: Methods,
        engine: Engine = "auto",
        chunk_divisor: int = 1,
    ) -> None:
        self.cell = cell
        self.settings = cell.settings
        self.federation = federation
        self.model, self.rule, self.attack = methods.model, methods.rule, methods.attack
        self.engine, self.chunk_divisor = engine, chunk_divisor
        padding = getattr(choice("augment", self.settings.augment), "padding", None)
        self.recipe = Recipe(**vars(self.settings), padding=padding)
        self.schedule: Schedule = choice("lr_schedule", self.settings.lr_schedule)
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
        self.last_step: Tensor | None = None
        self.round = 0
        sizes = [len(indices) for indices in federation.clients]
        self.sample_counts = torch.tensor(sizes, device=device, dtype=torch.float32)
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
        self.timers = Timers()
        self.tally = Tally(self.malicious)
        self.counts = dict.fromkeys(
            ("non_finite_rows", "capped_rounds", "underestimated_rounds", "kept_model_rounds"), 0
        )
        self.diagnostics: dict[str, list[dict[str, float | None]]] = {}
        self.scores = ScoreBoard(self.model, federation, self.attack, self.attack_spec, self.settings)

    def run(self, after_round: Callable[[int], None] | None = None) -> None:
        """Run the rounds that are left; `after_round` is called with the rounds finished."""
        while self.round < self.settings.rounds:
            self.step()
            if after_round is not None:
                after_round(self.round)

    def step(self) -> None:
        """Run one server round, and evaluate if it is due."""
        work = self.begin_round()
        with self.timers.of("train"):
            trained = self._trained(work.jobs, work.recipe)
        self.end_round(work, trained)

    def begin_round(self) -> Work:
        """Return what the round's clients have to train."""
        clients = self._participants()
        positions = np.flatnonzero(self.malicious[clients])
        active = len(positions) > 0 and self.attack.active(self.round)
        with self.timers.of("train"):
            return self._work(clients, positions, active)

    def end_round(self, work: Work, trained: Tensor) -> None:
        """Attack, aggregate, step, and evaluate if it is due.

        Parameters
        ----------
        work : Work
            What :meth:`begin_round` gave.
        trained : Tensor [k, d]
            What came of its jobs.
        """
        clients, updates = work.clients, work.rows_of(trained)
        hidden = self.malicious[clients] if self.rule.honest_only else None
        if work.active:
            with self.timers.of("attack"):
                updates = self._attacked(updates, clients, work.malicious, hidden)
        with self.timers.of("aggregate"):
            verdict, self.rule_state = serve(
                self.rule, self.rule_state, updates, self._context(clients), self._server_stream, hidden
            )
        self._record(clients, verdict, hidden)
        step = self._step_of(verdict)
        self.params = self.params + step
        self.last_step = step
        self.round += 1
        if self.round % self.settings.eval_every == 0 or self.round == self.settings.rounds:
            with self.timers.of("evaluate"):
                self.scores.evaluate(self.params, self.round)

    def _participants(self) -> np.ndarray:
        n, k = self.settings.clients, self.settings.participants
        if k == n:
            return np.arange(n)
        rng = stream("participants", n, self.settings.participation, self.cell.seed, self.round)
        chosen: np.ndarray = np.sort(rng.choice(n, size=k, replace=False))
        return chosen

    def _work(self, clients: np.ndarray, positions: np.ndarray, active: bool) -> Work:
        ids = [int(c) for c in clients]
        attacking = positions if active else positions[:0]
        poisoned = [ids[i] for i in attacking]
        poison = self._poison(clients, attacking) if poisoned else None
        idle = set(poisoned) if self.attack.knowledge == Knowledge.NOTHING and poison is None else set()
        rows = [row for row, client in enumerate(ids) if client not in idle]
        recipe, trainees = self._recipe_now(), [ids[row] for row in rows]
        jobs = make_jobs(self.federation, trainees, recipe, self.cell.seed, self.round, poison, poisoned)
        return Work(clients=clients, malicious=positions, active=active, rows=rows, jobs=jobs, recipe=recipe)

    def _poison(self, clients: np.ndarray, positions: np.ndarray) -> Poison | None:
        asked = self.attack.poison(self._attacker_view(clients, positions, "poison"))
        return checked_poison(self.attack, asked, self.attack_spec)

    def _trained(self, jobs: Jobs, recipe: Recipe) -> Tensor:
        return train(
            self.model,
            self.federation,
            self.params,
            jobs,
            recipe,
            self.engine,
            chunk_divisor=self.chunk_divisor,
        )

    def _trained_by(self, clients: list[int], poison: Poison | None) -> Tensor:
        """Return the updates [k, d] of `clients`, all malicious, if they trained as `poison` says."""
        recipe, poison = self._recipe_now(), checked_poison(self.attack, poison, self.attack_spec)
        jobs = make_jobs(self.federation, clients, recipe, self.cell.seed, self.round, poison, clients)
        return self._trained(jobs, recipe)

    def _recipe_now(self) -> Recipe:
        """Return the recipe with this round's learning rate."""
        factor = self.schedule.at(self.round, self.settings.rounds)
        return replace(self.recipe, lr=factor * self.recipe.lr)

    def _attacked(
        self,
        updates: Tensor,
        clients: np.ndarray,
        positions: np.ndarray,
        hidden: np.ndarray | None,
    ) -> Tensor:
        """Return the round's updates with the malicious rows replaced by what the attack sends."""
        rows = torch.from_numpy(positions).to(updates.device)
        honest = np.flatnonzero(~self.malicious[clients])
        attackers = [int(clients[p]) for p in positions]
        own = updates[rows]
        seen: dict[str, Any] = {"own": own, "colluders": own}
        seen["train"] = lambda poison: self._trained_by(attackers, poison)
        seen["own_data"] = lambda j: self.federation.client_data(attackers[j])
        if self.attack.knowledge >= Knowledge.ALL:
            seen["honest"] = updates[torch.from_numpy(honest).to(updates.device)]
            seen["honest_ids"] = tuple(int(c) for c in clients[honest])
        if self.attack.knows_defence:
            seen["defence"] = self._defence(updates, clients, positions, hidden)
        view = self._attacker_view(clients, positions, "craft", **seen)
        returned = self.attack.craft(view, self.attack_state)
        crafted, self.attack_state = checked_rows(self.attack, returned, own, self.attack_state)
        attacked = updates.clone()
        attacked[rows] = crafted.detach().to(updates.dtype)
        return attacked

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
        return stream("server", self.cell.aggregator, self.cell.seed, self.round)

    def _context(self, clients: np.ndarray) -> ServerRound:
        return ServerRound(
            round=self.round,
            assumed_f=self.cell.assumed(len(clients)),
            client_ids=tuple(int(c) for c in clients),
            sample_counts=self.sample_counts[torch.from_numpy(clients).to(self.sample_counts.device)],
            model=self.model,
            params=self.params,
            last_step=self.last_step,
            root=self._root() if Need.ROOT_DATA in self.rule.needs else None,
            recipe=self._client_recipe(clients) if Need.RECIPE in self.rule.needs else None,
        )

    def _client_recipe(self, clients: np.ndarray) -> ClientRecipe:
        """Return the clients' training of this round, from where the model is now."""
        params, recipe, round = self.params, self._recipe_now(), self.round

        def train_on(images: Tensor, labels: Tensor) -> Tensor:
            data = MadeData(images, labels, self.federation)
            jobs = virtual_jobs(data, recipe, self.cell.seed, round)
            return train(
                self.model, data, params, jobs, recipe, self.engine, chunk_divisor=self.chunk_divisor
            )

        samples = int(self.sample_counts[torch.from_numpy(clients).to(params.device)].median())
        return ClientRecipe(samples=samples, train=train_on)

    def _root(self) -> RootData:
        """Return the server's data; its update is trained once a round, when it is asked for."""
        cache: list[Tensor] = []

        def update() -> Tensor:
            if not cache:
                recipe = self._recipe_now()
                jobs = make_root_jobs(self.federation, recipe, self.cell.seed, self.round)
                cache.append(self._trained(jobs, recipe)[0])
            return cache[0]

        images, labels = self.federation.root_data()
        return RootData(images=images, labels=labels, train=update)

    def _record(self, clients: np.ndarray, verdict: Verdict, hidden: np.ndarray | None) -> None:
        """Count what happened and book the rule's verdicts."""
        visible = len(clients) if hidden is None else int((~hidden).sum())
        self.counts["non_finite_rows"] += visible - int(verdict.seen.sum())
        self.counts["capped_rounds"] += verdict.capped
        malicious_seen = int(self.malicious[clients][verdict.seen].sum())
        self.counts["underestimated_rounds"] += verdict.f is not None and malicious_seen > verdict.f
        outcome = verdict.aggregation
        self.counts["kept_model_rounds"] += _keeps_model(outcome)
        seen = clients[verdict.seen]
        if self.rule.detector:
            rejected = _numpy(outcome.rejected) if outcome else None
            self.tally.add(seen, rejected, _numpy(outcome.scores) if outcome else None)
        self._record_diagnostics(seen, outcome)

    def _record_diagnostics(self, seen: np.ndarray, outcome: Aggregation | None) -> None:
        if outcome is None:
            return
        for name, values in outcome.diagnostics.items():
            rounds = self.diagnostics.setdefault(name, [])
            rounds.extend({} for _ in range(self.round + 1 - len(rounds)))
            numbers = values.detach().cpu().double().tolist()
            rounds[self.round] = {
                str(int(client)): float(f"{number:.6g}") if np.isfinite(number) else None
                for client, number in zip(seen, numbers, strict=True)
            }

    def _step_of(self, verdict: Verdict) -> Tensor:
        """Return the change of the global parameters; a rule that keeps the model stops the optimiser too."""
        if _keeps_model(verdict.aggregation):
            return torch.zeros_like(self.params)
        assert verdict.aggregation is not None
        aggregate = verdict.aggregation.aggregate.detach().to(self.params.dtype)
        move, self.optimiser_state = direction(self.optimiser, aggregate, self.optimiser_state)
        return self.settings.server_lr * move


def _keeps_model(outcome: Aggregation | None) -> bool:
    return outcome is None or not bool(outcome.aggregate.any())


def _numpy(values: Tensor | None) -> np.ndarray | None:
    return None if values is None else values.detach().cpu().numpy()
