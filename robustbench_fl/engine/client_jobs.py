"""Which samples every client sees at every local step, and how malicious ones tamper with them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from robustbench_fl.api import Poison, RareImages, Stamp, Trigger
from robustbench_fl.core.errors import UsageError
from robustbench_fl.core.seeding import Label, stream
from robustbench_fl.data.federation import Federation
from robustbench_fl.engine.augmentation import drawn_views
from robustbench_fl.engine.jobs import Jobs, Recipe

_ROOT = "root"
"""Stands for the client id in the stream of the server's own training."""
_PADDED_TO = 384
"""A batch that nobody fills is padded to a multiple of this, from where more zeros change no bit: matrix
products sum in blocks of 192 samples from twice as many on, and in other ones below."""


def make_jobs(
    federation: Federation,
    client_ids: Sequence[int],
    recipe: Recipe,
    seed: int,
    round: int,
    poison: Poison | None = None,
    poisoned_ids: Sequence[int] = (),
) -> Jobs:
    """Return one round's local training of some clients.

    A client's batches depend on the seed, the round and its id alone, poisoned or not; with more
    work than an honest client's (``Poison.repeats``) further ones follow.

    Parameters
    ----------
    federation : Federation
        Who holds which samples.
    client_ids : sequence of int
        Who trains; job i is client ``client_ids[i]``.
    recipe : Recipe
        Batch size and number of passes or steps.
    seed, round : int
        The cell's seed and the server round, from 0.
    poison : Poison, optional
        How the malicious clients train; honestly by default.
    poisoned_ids : sequence of int
        The round's malicious clients in their order, which decides who uses which trigger.
        Those not in `client_ids` count for the order only.

    Raises
    ------
    UsageError
        If a trigger lies outside the images.
    """
    pools = [federation.clients[i] for i in client_ids]
    rank = {int(client): j for j, client in enumerate(poisoned_ids)}
    ranks = np.array([rank.get(int(client), -1) for client in client_ids])
    repeats = np.where(ranks >= 0, 1 if poison is None else poison.repeats, 1)
    largest = federation.largest_client
    samples, steps_per_pass = _draw(pools, client_ids, recipe, seed, round, repeats, largest)
    jobs = _jobs(samples, client_ids, recipe, seed, round, federation.device)
    # A mask changes the last digits of all who train in the same round, whoever is in this part of it.
    if poison is None or not ((ranks >= 0).any() or (poisoned_ids and poison.gradient_mask is not None)):
        return jobs
    passes = np.arange(samples.shape[1]) // steps_per_pass[:, None] + 1
    on = (ranks >= 0)[:, None] & ((passes % 2 == 1) if poison.passes == "odd" else True)
    label_maps, mapped = _label_maps(federation, poison, on)
    triggered, triggers, targets = _backdoor(federation, poison, samples, ranks, on)
    swapped = _with_rare_images(federation, poison, jobs.samples, triggered, ranks, seed, round, client_ids)
    return replace(
        jobs,
        samples=swapped,
        label_maps=label_maps,
        mapped=mapped,
        triggered=triggered,
        triggers=triggers,
        changes=_changes(poison, ranks),
        targets=targets,
        gradient_masks=_gradient_masks(federation, poison, ranks),
        radii=_radii(federation, poison, ranks),
        project_every=poison.project_every,
    )


def make_root_jobs(federation: Federation, recipe: Recipe, seed: int, round: int) -> Jobs:
    """Return the server's own training on its root set by the clients' recipe, a single job.

    Parameters
    ----------
    federation, recipe, seed, round
        As in :func:`make_jobs`.
    """
    return drawn_jobs([federation.root], [_ROOT], recipe, seed, round, federation.device)


def drawn_jobs(
    pools: Sequence[NDArray[np.int64]],
    ids: Sequence[Label],
    recipe: Recipe,
    seed: int,
    round: int,
    device: str,
) -> Jobs:
    """Return honest training on given samples.

    Parameters
    ----------
    pools : sequence of int64 array
        The samples of each client.
    ids : sequence
        What names each client's random streams.
    recipe, seed, round
        As in :func:`make_jobs`.
    device : str
        Where the tensors go.
    """
    largest = max(map(len, pools), default=0)
    samples, _ = _draw(pools, ids, recipe, seed, round, np.ones(len(pools), dtype=np.int64), largest)
    return _jobs(samples, ids, recipe, seed, round, device)


def _jobs(
    samples: NDArray[np.int64], ids: Sequence[Label], recipe: Recipe, seed: int, round: int, device: str
) -> Jobs:
    views = drawn_views(samples, ids, recipe, seed, round)
    return Jobs(samples=_tensor(samples, device), views=None if views is None else _tensor(views, device))


def _draw(
    pools: Sequence[NDArray[np.int64]],
    ids: Sequence[Label],
    recipe: Recipe,
    seed: int,
    round: int,
    repeats: NDArray[np.int64],
    largest: int,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return samples [k, steps, b], and how many steps a pass takes each client [k].

    A pass of fewer steps than the client's data take is one of ``local_steps``. The recipe's work is
    done `repeats` [k] times. b is the batch size, or what holds `largest` samples if that is less.
    """
    b = min(recipe.batch_size, -(-max(largest, 1) // _PADDED_TO) * _PADDED_TO)
    per_pass = np.array([-(-len(pool) // b) for pool in pools])
    if recipe.local_steps is not None:
        steps = recipe.local_steps * repeats
    elif recipe.local_epochs is not None:
        steps = recipe.local_epochs * repeats * per_pass
    else:
        raise UsageError("The recipe says neither how many local epochs nor how many local steps.")
    passes = -(-steps // per_pass)
    rows = np.full((len(pools), int((per_pass * passes).max(initial=0)) * b), -1, dtype=np.int64)
    for i, (pool, client) in enumerate(zip(pools, ids, strict=True)):
        rng = stream("batches", seed, round, client if isinstance(client, str) else int(client or 0))
        for low in range(0, int(passes[i] * per_pass[i]) * b, int(per_pass[i]) * b):
            rows[i, low : low + len(pool)] = rng.permutation(pool)
        rows[i, int(steps[i]) * b :] = -1
    samples = rows.reshape(len(pools), -1, b)[:, : int(steps.max(initial=0))]
    return samples, np.minimum(per_pass, recipe.local_steps or per_pass)


def _tensor(array: NDArray[np.generic], device: str) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array)).to(device)


def _label_maps(
    federation: Federation, poison: Poison, on: NDArray[np.bool_]
) -> tuple[Tensor | None, Tensor | None]:
    if poison.label_map is None:
        return None, None
    maps = np.tile(np.arange(federation.n_classes), (len(on), 1))
    maps[on.any(axis=1)] = poison.label_map
    return _tensor(maps, federation.device), _tensor(
        on, federation.device
    ) if poison.passes == "odd" else None


def _backdoor(
    federation: Federation,
    poison: Poison,
    samples: NDArray[np.int64],
    ranks: NDArray[np.int64],
    on: NDArray[np.bool_],
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """Return the triggered samples, each client's trigger pixels and the targets."""
    if not poison.triggers:
        return None, None, None
    quota = np.rint(poison.share * (samples >= 0).sum(axis=2))
    triggered = (np.arange(samples.shape[2]) < quota[:, :, None]) & on[:, :, None]
    drawn = torch.stack([trigger_pixels(t, federation.image_shape) for t in poison.triggers])
    triggers = drawn[torch.from_numpy(ranks % len(drawn))].to(federation.device)
    targets = torch.full((len(ranks),), poison.target, device=federation.device)
    return _tensor(triggered, federation.device), triggers, targets


def _with_rare_images(
    federation: Federation,
    poison: Poison,
    samples: Tensor,
    triggered: Tensor | None,
    ranks: NDArray[np.int64],
    seed: int,
    round: int,
    client_ids: Sequence[int],
) -> Tensor:
    """Return the samples, the triggered ones of clients whose trigger is rare images replaced by these."""
    if triggered is None or not any(isinstance(t, RareImages) for t in poison.triggers):
        return samples
    samples = samples.clone()
    for row, (rank, client) in enumerate(zip(ranks.tolist(), client_ids, strict=True)):
        trigger = poison.triggers[rank % len(poison.triggers)]
        if rank < 0 or not isinstance(trigger, RareImages):
            continue
        rare, _ = federation.rare(trigger.source, trigger.share)
        count = int(triggered[row].sum())
        if not len(rare):
            raise UsageError(f"Class {trigger.source} has no training images, so none of them are rare.")
        drawn = stream("rare", seed, round, int(client)).integers(0, len(rare), count)
        samples[row, triggered[row]] = rare[torch.from_numpy(drawn).to(rare.device)]
    return samples


def _changes(
    poison: Poison, ranks: NDArray[np.int64]
) -> tuple[Callable[[Tensor], Tensor] | None, ...] | None:
    """Return what each client does to its triggered images, ``None`` if none of them does anything."""
    found = [t.change if isinstance(t, Stamp) else None for t in poison.triggers]
    if not any(found):
        return None
    return tuple(found[rank % len(found)] if rank >= 0 else None for rank in ranks.tolist())


def trigger_pixels(trigger: Trigger | RareImages | Stamp, image_shape: tuple[int, ...]) -> Tensor:
    """Return a trigger as a bool mask [height, width]; empty for one without pixels.

    Raises
    ------
    UsageError
        If it lies outside the image.
    """
    _, height, width = image_shape
    mask = torch.zeros(height, width, dtype=torch.bool)
    if not isinstance(trigger, Trigger):
        return mask
    for row, column in trigger.pixels:
        if not (0 <= row < height and 0 <= column < width):
            raise UsageError(
                f"The trigger pixel ({row}, {column}) lies outside the images, which are {height}×{width}. "
                f"Choose a smaller trigger or another position."
            )
        mask[row, column] = True
    return mask


def _gradient_masks(federation: Federation, poison: Poison, ranks: NDArray[np.int64]) -> Tensor | None:
    if poison.gradient_mask is None:
        return None
    mask = poison.gradient_mask.to(federation.device, torch.float32)
    poisoned = torch.from_numpy(ranks >= 0).to(federation.device)
    return torch.where(poisoned[:, None], mask, torch.ones_like(mask))


def _radii(federation: Federation, poison: Poison, ranks: NDArray[np.int64]) -> Tensor | None:
    if poison.radius is None:
        return None
    radius = poison.radius.to(federation.device, torch.float32)
    poisoned = torch.from_numpy(ranks).to(federation.device)
    return torch.where(poisoned >= 0, radius[poisoned.clamp(min=0)], torch.inf)
