"""FLDetector (Zhang et al., 2022)."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Annotated, ClassVar, TypeVar

import numpy as np
import torch
from annotated_types import Ge
from torch import Tensor

from robustbench_fl.aggregators._gap import high_group
from robustbench_fl.aggregators._hessian import hessian_product
from robustbench_fl.aggregators._rows import weighted_sum
from robustbench_fl.api import Aggregation, Aggregator, Need, ServerSpec, ServerView, State, register

_REMOVED = 2.0
"""Score of a removed client; all others are at most 1."""
_V = TypeVar("_V")


@dataclass(frozen=True, kw_only=True)
class Consistency(State):
    """What FLDetector remembers.

    Parameters
    ----------
    position : float64 Tensor [d]
        How far the global model has moved.
    aggregate : Tensor [d], optional
        The last aggregate.
    steps, changes : tuple of Tensor [d]
        The last N changes of the model, and of the aggregate along them.
    updates : dict of int to Tensor [d]
        Each client's last update.
    last_round : dict of int to int
        The round in which it was sent.
    positions : dict of int to float64 Tensor [d]
        Where the model was in those rounds.
    distances : dict of int to float64 Tensor
        Each client's last N distances from its prediction, normalised.
    removed : dict of int to int
        Removed clients, and since which round.
    initial : Tensor [d], optional
        The first parameters, for a restart.
    """

    position: Tensor
    aggregate: Tensor | None = None
    steps: tuple[Tensor, ...] = ()
    changes: tuple[Tensor, ...] = ()
    updates: dict[int, Tensor] = field(default_factory=dict)
    last_round: dict[int, int] = field(default_factory=dict)
    positions: dict[int, Tensor] = field(default_factory=dict)
    distances: dict[int, Tensor] = field(default_factory=dict)
    removed: dict[int, int] = field(default_factory=dict)
    initial: Tensor | None = None

    def score(self, client: int) -> float:
        """Return the mean of the client's distances, 0 if there are none yet."""
        if client in self.removed:
            return _REMOVED
        return float(self.distances[client].mean()) if client in self.distances else 0.0


@register("fldetector", paper="Zhang 2022", year=2022, cost="nd + N²d")
@dataclass(frozen=True, kw_only=True)
class FLDetector(Aggregator):
    """Remove clients for good whose updates are not what their earlier ones predict.

    The server predicts each update, ``ĝ_i = g_i + Ĥ (w_t − w_s)``, from the client's last one, sent at
    w_s, with an L-BFGS Hessian of the last N changes of model and aggregate. A client's score is its
    distance from the prediction, as a share of all clients', averaged over its last N. If the gap
    statistic finds more than one group among the scores, the higher of two (2-means) is
    removed. Those who are left are averaged.

    Parameters
    ----------
    start : int
        First server round, from 0, in which clients may be removed.
    window : int
        The paper's N: pairs for the Hessian, and distances averaged.
    references : int
        Reference sets of the gap statistic.
    restart : bool
        Whether the model goes back to its first parameters when clients are removed, and
        everything but their removal is forgotten, as in the paper. The step back is the aggregate
        of that round; it arrives only with a server learning rate of 1.

    Notes
    -----
    Made for full participation. Where clients miss rounds, the prediction spans all that the
    model moved since they last took part, and is the worse the longer that is: honest clients
    are then removed too. A client is judged once it has N distances, against the others of the
    round that have. Fewer than three are never judged. Until `start`, and if
    nobody is removed, the rule is the mean, and no more robust. Scores are those averages, 2 for removed
    clients. Time O(n d + N² d), extra memory a few vectors. The state is by definition each client's last
    update, as large as the updates (twice that while a round replaces it), 2 N vectors, and the
    model's position in each round that some client was last seen in.

    Faithfulness
    ------------
    Release: ``github.com/zaixizhang/FLDetector`` at 7e6a414, the authors'.
    Compared: numbers, in the review.
    Difference: not measured.
    On purpose: removal goes on after the first detection.

    References
    ----------
    .. [1] Z. Zhang, X. Cao, J. Jia and N. Z. Gong, "FLDetector: Defending Federated Learning Against
       Model Poisoning Attacks via Detecting Malicious Clients", KDD 2022, Algorithms 1-3.
    .. [2] R. Tibshirani, G. Walther and T. Hastie, "Estimating the Number of Clusters in a Data Set
       via the Gap Statistic", Journal of the Royal Statistical Society B 63(2), 2001.
    """

    start: Annotated[int, Ge(0)] = 50
    window: Annotated[int, Ge(1)] = 10
    references: Annotated[int, Ge(1)] = 10
    restart: bool = False

    detector: ClassVar[bool] = True
    robust: ClassVar[bool] = False

    @property
    def needs(self) -> frozenset[Need]:
        """Client identity and a memory; for a restart, the parameters."""
        own = frozenset({Need.CLIENT_IDS, Need.HISTORY})
        return own | {Need.MODEL} if self.restart else own

    def init_state(self, spec: ServerSpec) -> Consistency:
        """Return the state in which every client is new."""
        return Consistency(position=torch.zeros(spec.n_params, dtype=torch.float64, device=spec.device))

    def aggregate(
        self, updates: Tensor, view: ServerView, state: Consistency
    ) -> tuple[Aggregation, Consistency]:
        """Return the mean of the clients that were never removed."""
        if self.restart and state.initial is None:
            state = replace(state, initial=view.params.clone())
        if view.last_step is not None:
            state = replace(state, position=state.position + view.last_step)
        state = self._measured(updates, view.client_ids, state)
        found = self._found(view, state)
        state = replace(state, removed=state.removed | dict.fromkeys(found, view.round))
        rejected = torch.tensor([c in state.removed for c in view.client_ids], device=updates.device)
        scores = torch.tensor([state.score(c) for c in view.client_ids], dtype=torch.float64)
        scores = scores.to(updates.device)
        if found and state.initial is not None:
            step = (state.initial - view.params).to(updates.dtype)
            return Aggregation(step, rejected=rejected, scores=scores), self._forgotten(state)
        weights = (~rejected).to(updates.dtype) / max(1, int((~rejected).sum()))
        step = weighted_sum(weights, updates)
        outcome = Aggregation(step, weights=weights, selected=~rejected, rejected=rejected, scores=scores)
        return outcome, self._remembered(updates, view, state, step)

    def _measured(self, updates: Tensor, clients: tuple[int, ...], state: Consistency) -> Consistency:
        """Return the state with this round's distances of the clients that can be predicted."""
        if not state.steps:
            return state
        known = [client for client in clients if client in state.updates and client not in state.removed]
        rows = dict(zip(clients, updates, strict=True))
        lengths: dict[int, Tensor] = {}
        # Round by round: one product at a time is held.
        for since in sorted({state.last_round[client] for client in known}):
            moved = state.position - state.positions[since]
            product = hessian_product(state.steps, state.changes, moved)
            for client in known:
                if state.last_round[client] == since:
                    difference = product + state.updates[client]
                    lengths[client] = torch.linalg.vector_norm(difference.sub_(rows[client]))
        total = sum(sorted(float(length) for length in lengths.values()))
        distances = dict(state.distances)
        for client, length in lengths.items():
            share = length[None] / total if total > 0 else torch.zeros_like(length[None])
            earlier = distances.get(client, share[:0])
            distances[client] = torch.cat([earlier, share])[-self.window :]
        return replace(state, distances=distances)

    def _found(self, view: ServerView, state: Consistency) -> list[int]:
        """Return the clients that are removed in this round."""
        if view.round < self.start:
            return []
        judged = sorted(
            client
            for client in view.client_ids
            if client not in state.removed and len(state.distances.get(client, ())) == self.window
        )
        if not judged:
            return []
        scores = np.array([state.score(client) for client in judged])
        high = high_group(scores, view.rng, self.references)
        return [client for client, is_high in zip(judged, high, strict=True) if is_high]

    def _remembered(self, updates: Tensor, view: ServerView, state: Consistency, step: Tensor) -> Consistency:
        """Return the state for the next round."""
        if state.aggregate is not None and view.last_step is not None and bool(view.last_step.any()):
            state = replace(
                state,
                steps=(*state.steps, view.last_step.clone())[-self.window :],
                changes=(*state.changes, step - state.aggregate)[-self.window :],
            )
        present = {
            client: update.clone()
            for client, update in zip(view.client_ids, updates, strict=True)
            if client not in state.removed
        }
        last_round = _without(state.last_round | dict.fromkeys(present, view.round), state.removed)
        positions = state.positions | {view.round: state.position}
        return replace(
            state,
            aggregate=step,
            updates=_without(state.updates | present, state.removed),
            last_round=last_round,
            positions={round: positions[round] for round in sorted(set(last_round.values()))},
            distances=_without(state.distances, state.removed),
        )

    def _forgotten(self, state: Consistency) -> Consistency:
        """Return the state after a restart."""
        return Consistency(
            position=torch.zeros_like(state.position), removed=state.removed, initial=state.initial
        )


def _without(values: dict[int, _V], clients: dict[int, int]) -> dict[int, _V]:
    return {client: value for client, value in values.items() if client not in clients}
