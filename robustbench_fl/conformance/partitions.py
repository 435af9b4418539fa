"""Partitions: who gets which samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robustbench_fl.api import Partition, Samples, registry
from robustbench_fl.conformance.checks import check, require
from robustbench_fl.core.errors import PartitionError
from robustbench_fl.core.seeding import stream

_CLASSES, _SAMPLES, _CLIENTS = 6, 1440, 12
_WRITERS = 60
_EQUAL_SIZES = frozenset({"iid", "balanced_dirichlet", "shards", "similarity"})
"""Partitions that promise sizes equal to one sample; a plug-in sets ``equal_sizes = True``."""
_IID_END = {"alpha": 1e6, "gamma": 1.0, "q": 1 / _CLASSES}
"""The value of a degree of non-IID, by the parameter's name, at which the split is IID."""
_FAR_END = {"alpha": 0.3, "gamma": 0.0, "q": 1.0}


def _degree(partition: Partition) -> str | None:
    return next((field.name for field in fields(partition) if field.name in _IID_END), None)  # type: ignore[arg-type]


def _promises_equal_sizes(partition: Partition) -> bool:
    declared: bool | None = getattr(partition, "equal_sizes", None)
    return registry.name_of(partition) in _EQUAL_SIZES if declared is None else declared


@check("partitions")
def check_every_sample_once(partition: Partition) -> None:
    """Every sample goes to exactly one client, every client gets some, as int64 positions."""
    for labels in (_equal_classes(), _unequal_classes()):
        parts = _split(partition, labels)
        require(len(parts) == _CLIENTS, f"{len(parts)} parts for {_CLIENTS} clients")
        for i, part in enumerate(parts):
            require(
                part.dtype == np.int64 and part.ndim == 1,
                f"client {i} gets {part.dtype} of shape {part.shape}",
            )
            require(len(part), f"client {i} gets nothing")
        everything = np.sort(np.concatenate(parts))
        require(
            np.array_equal(everything, np.arange(len(labels))), "the parts are not each sample exactly once"
        )


@check("partitions")
def check_repeatable(partition: Partition) -> None:
    """The same stream gives the same split, another one another, and the labels are not changed."""
    labels = _unequal_classes()
    before = labels.copy()
    first, second, other = (
        _split(partition, labels),
        _split(partition, labels),
        _split(partition, labels, seed=1),
    )
    require(all(map(np.array_equal, first, second)), "the same stream gives another split")
    require(not all(map(np.array_equal, first, other)), "another stream gives the same split")
    require(np.array_equal(before, labels), "it changed the labels")


@check("partitions", applies=_promises_equal_sizes, across=True)
def check_equal_sizes(forms: tuple[Partition, ...]) -> None:
    """The default form gives clients whose sizes differ by one at most, also if the classes are unequal."""
    for labels in (_equal_classes(), _unequal_classes()):
        sizes = [len(part) for part in _split(forms[0], labels)]
        require(max(sizes) - min(sizes) <= 1, f"sizes from {min(sizes)} to {max(sizes)}")


@check("partitions", applies=lambda partition: _degree(partition) is not None)
def check_degree(partition: Partition) -> None:
    """At the IID end of its degree the clients' classes are near the whole's, at the other end far."""
    degree: Any = _degree(partition)
    near = _distance(replace(partition, **{degree: _IID_END[degree]}))  # type: ignore[type-var]
    far = _distance(replace(partition, **{degree: _FAR_END[degree]}))  # type: ignore[type-var]
    require(near < 0.12, f"{degree}={_IID_END[degree]:g}: total variation {near:.2f} from the whole")
    require(
        far > 2 * near, f"{degree}={_FAR_END[degree]:g}: total variation {far:.2f}, at the IID end {near:.2f}"
    )


@check("partitions")
def check_too_many_clients(partition: Partition) -> None:
    """More clients than samples is refused with numbers, not answered with empty clients."""
    labels = np.arange(20, dtype=np.int64) % 2
    try:
        _spread(partition, labels, 2, 21, stream("conformance", "split", 0))
    except PartitionError as error:
        require(any(c.isdigit() for c in str(error)), f"the refusal has no number: {error}")
        return
    require(False, "21 clients share 20 samples without an error")


def _split(partition: Partition, labels: NDArray[np.int64], seed: int = 0) -> Sequence[NDArray[np.int64]]:
    return _spread(partition, labels, _CLASSES, _CLIENTS, stream("conformance", "split", seed))


def _spread(
    partition: Partition, labels: NDArray[np.int64], classes: int, clients: int, rng: np.random.Generator
) -> Sequence[NDArray[np.int64]]:
    """Split samples of which it is also known who wrote them: 60 writers, or as many as there are clients."""
    users = np.arange(len(labels), dtype=np.int64) * 7 % max(_WRITERS, clients)
    samples = Samples(labels=labels, n_classes=classes, columns={"users": users})
    return partition.spread(samples, clients, rng)


def _equal_classes() -> NDArray[np.int64]:
    return stream("conformance", "labels").permutation(np.arange(_SAMPLES, dtype=np.int64) % _CLASSES)


def _unequal_classes() -> NDArray[np.int64]:
    shares = np.arange(1, _CLASSES + 1) / 21
    labels = stream("conformance", "labels").choice(_CLASSES, size=_SAMPLES, p=shares)
    return labels.astype(np.int64)


def _distance(partition: Partition) -> float:
    """Return the mean total-variation distance of the clients' classes from those of all samples."""
    labels = _equal_classes()
    whole = np.bincount(labels, minlength=_CLASSES) / len(labels)
    distances = [
        np.abs(np.bincount(labels[part], minlength=_CLASSES) / len(part) - whole).sum() / 2
        for part in _split(partition, labels)
    ]
    return float(np.mean(distances))
