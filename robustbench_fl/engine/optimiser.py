"""What the server makes of an aggregate: the step of the global parameters."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from robustbench_fl.api import State
from robustbench_fl.api.recipes import FedAdam, ServerMomentum, ServerOptimiser


@dataclass(frozen=True, kw_only=True)
class OptimiserState(State):
    """What the server's optimiser remembers; what an optimiser does not use is ``None``.

    Parameters
    ----------
    momentum : Tensor [d], optional
        Sum or mean of past aggregates, with decaying weights.
    variance : Tensor [d], optional
        Mean of their squares, likewise.
    """

    momentum: Tensor | None = None
    variance: Tensor | None = None


def initial_state(optimiser: ServerOptimiser, params: Tensor) -> OptimiserState:
    """Return the state before the first round; `params` [d] lends shape, type and device."""
    if isinstance(optimiser, ServerMomentum):
        return OptimiserState(momentum=torch.zeros_like(params))
    if isinstance(optimiser, FedAdam):
        start = torch.full_like(params, optimiser.tau**2)
        return OptimiserState(momentum=torch.zeros_like(params), variance=start)
    return OptimiserState()


def direction(
    optimiser: ServerOptimiser, aggregate: Tensor, state: OptimiserState
) -> tuple[Tensor, OptimiserState]:
    """Return where the global parameters go, before the server's learning rate, and the next state.

    Parameters
    ----------
    optimiser : ServerOptimiser
        Federated averaging, momentum or Adam.
    aggregate : Tensor [d]
        The rule's answer.
    state : OptimiserState
        Not changed.
    """
    if isinstance(optimiser, ServerMomentum):
        assert state.momentum is not None
        momentum = optimiser.beta * state.momentum + aggregate
        return momentum, replace(state, momentum=momentum)
    if isinstance(optimiser, FedAdam):
        assert state.momentum is not None
        assert state.variance is not None
        momentum = optimiser.beta1 * state.momentum + (1 - optimiser.beta1) * aggregate
        variance = optimiser.beta2 * state.variance + (1 - optimiser.beta2) * aggregate.square()
        return momentum / (variance.sqrt() + optimiser.tau), OptimiserState(
            momentum=momentum, variance=variance
        )
    return aggregate, state
