"""Local training of many clients: jobs in, updates out."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from robustbench_fl.api.model import Model
from robustbench_fl.core.errors import UsageError
from robustbench_fl.engine.batches import Batches, TrainingData, longest_first
from robustbench_fl.engine.descent import Descent, mlp_step, single_step, stacked_step
from robustbench_fl.engine.jobs import Jobs, Recipe
from robustbench_fl.engine.room import Room
from robustbench_fl.models.zoo.mlp import MlpModel

Engine = Literal["auto", "stacked", "loop"]
"""How clients are trained: as one batch, one after another, or whichever is known to be faster."""

_CPU_CHUNK = 10
"""Clients stacked at a time on a CPU."""
_CPU_PARAMETERS = 2**20
"""Parameters of all clients stacked at a time on a CPU: with more, large networks leave its cache."""
_GPU_BYTES = 4 * 2**30
"""Roughly what the clients stacked at a time on a GPU may take."""
_GPU_FACTOR = 8
"""Parameters, gradients, momentum and activations of a client in terms of its parameters."""


def train(
    model: Model,
    federation: TrainingData,
    start: Tensor,
    jobs: Jobs,
    recipe: Recipe,
    engine: Engine = "auto",
    chunk: int | None = None,
    chunk_divisor: int = 1,
    room: Room | None = None,
) -> Tensor:
    """Train every job from its start and return what changed.

    On a CPU the numbers of a job depend neither on the other jobs, nor on their order, nor on `chunk`,
    bit for bit unless some jobs of the call have gradient masks, which change the last digits of all.

    Parameters
    ----------
    model : Model
        The network.
    federation : Federation or MadeData
        Holds the training data.
    start : Tensor [n_params] or [k, n_params]
        Where all jobs start, or each of them; not changed.
    jobs : Jobs
        k clients' training.
    recipe : Recipe
        Learning rate, momentum, weight decay.
    engine : {"auto", "stacked", "loop"}
        ``stacked`` trains clients as one batch, ``loop`` one after another; see
        :func:`chosen_engine`.
    chunk : int, optional
        Clients stacked at a time. By default 2 to 10 on a CPU, and what fits on a GPU.
    chunk_divisor : int
        Divides the default `chunk`, where memory did not suffice.
    room : Room, optional
        Memory of earlier calls, for what is returned.

    Returns
    -------
    Tensor [k, n_params]
        Parameters after the training minus those before it.

    Raises
    ------
    UsageError
        If clients of a network that mixes the samples of a batch are to be stacked.
    """
    engine, room = chosen_engine(model, federation.device, engine), room or Room()
    start = start.expand(len(jobs), -1)
    if engine == "loop":
        return _trained_in_turn(model, Batches(federation, jobs), start, recipe, room.like(start))
    jobs, order = longest_first(jobs)
    start = start if order is None else start[order]
    size = chunk or max(1, default_chunk(model, federation.device) // chunk_divisor)
    updates = _trained_stacked(model, Batches(federation, jobs), start, recipe, size, room.like(start))
    if order is None:
        return updates
    return room.like(updates).index_copy_(0, order, updates)


def chosen_engine(model: Model, device: str, engine: Engine = "auto") -> Literal["stacked", "loop"]:
    """Return the engine that was asked for, or the one that measured faster.

    On a GPU stacking wins for every network. On a CPU it wins for fully connected networks, where
    the time goes into starting many small products; convolutions are bound by arithmetic, and
    stacked ones leave the cache. See ``benchmarks/training.py``.

    Raises
    ------
    UsageError
        If clients of a network with batch normalisation are to be stacked: padding would enter
        the statistics of the batch.
    """
    if engine == "stacked" and model.batch_norm:
        raise UsageError(
            "Clients of a network with batch normalisation cannot be stacked: padded samples would "
            "enter its statistics. Use --engine loop (or auto)."
        )
    if engine != "auto":
        return engine
    stacks = model.stacks_on_cpu if device == "cpu" else not model.batch_norm
    return "stacked" if stacks else "loop"


def default_chunk(model: Model, device: str) -> int:
    """Return how many clients are stacked at a time; see ``benchmarks/README.md``."""
    if device == "cpu":
        return max(2, min(_CPU_CHUNK, _CPU_PARAMETERS // model.n_params))
    return max(1, _GPU_BYTES // (4 * _GPU_FACTOR * model.n_params))


def _trained_in_turn(
    model: Model, batches: Batches, start: Tensor, recipe: Recipe, updates: Tensor
) -> Tensor:
    masks = batches.jobs.gradient_masks
    for i, counts in enumerate(batches.counts):
        descent = Descent.begin(model, start[i], recipe, None if masks is None else masks[i])
        for step, count in enumerate(counts):
            if count:
                images = batches.images(i, i + 1, step, count)[0]
                single_step(model, descent, images, batches.labels[i, step, :count])
                radii = batches.due_radii(i, i + 1, step)
                if radii is not None:
                    descent.project(model, start[i], radii[0])
        descent.write_change(model, start[i], updates[i])
    return updates


def _trained_stacked(
    model: Model, batches: Batches, start: Tensor, recipe: Recipe, size: int, updates: Tensor
) -> Tensor:
    masks, steps = batches.jobs.gradient_masks, batches.steps
    for low in range(0, len(start), size):
        rows = slice(low, low + size)
        descent = Descent.begin(model, start[rows], recipe, None if masks is None else masks[rows])
        for step in range(steps[low]):
            at_work = sum(n > step for n in steps[rows])
            high = low + at_work
            batch = (
                batches.images(low, high, step),
                batches.labels[low:high, step],
                batches.weights[low:high, step],
            )
            if isinstance(model, MlpModel):
                mlp_step(model, descent.first(at_work), *batch)
            else:
                stacked_step(model, descent.first(at_work), *batch)
            radii = batches.due_radii(low, high, step)
            if radii is not None:
                descent.first(at_work).project(model, start[low:high], radii)
        descent.write_change(model, start[rows], updates[rows])
    return updates
