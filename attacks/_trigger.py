"""Backdoor triggers whose place is relative to the size of the image."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from annotated_types import Ge, Interval

from robustbench_fl.api import Attack, AttackSpec, Poison, SampleKind, Trigger

Position = Annotated[float, Interval(ge=0, lt=1)]
"""A row or column as a share of the image's height or width."""


def pixels_at(
    height: int, width: int, rows: Sequence[float], columns: Sequence[float]
) -> tuple[tuple[int, int], ...]:
    """Return the pixels where relative rows and columns cross.

    Parameters
    ----------
    height, width : int
        Size of the image.
    rows, columns : sequence of float
        Shares of the height and the width, in [0, 1).

    Examples
    --------
    >>> pixels_at(8, 8, (0.75, 0.9), (0.75, 0.9))
    ((6, 6), (6, 7), (7, 6), (7, 7))
    >>> pixels_at(28, 28, (0.75, 0.9), (0.9,))
    ((21, 25), (25, 25))
    """
    return tuple((int(row * height), int(column * width)) for row in rows for column in columns)


@dataclass(frozen=True, kw_only=True)
class BackdoorAttack(Attack):
    """Base of attacks that teach the model to answer a trigger with a target class.

    Parameters
    ----------
    target : int
        The class that triggered images are to be taken for.
    """

    target: Annotated[int, Ge(0)] = 0

    category: ClassVar[Literal["none", "data", "update", "backdoor"]] = "backdoor"
    takes: ClassVar[frozenset[SampleKind]] = frozenset({"images"})

    @abstractmethod
    def trigger(self, spec: AttackSpec) -> Trigger:
        """Return the full trigger on the images of this task."""

    def test_trigger(self, spec: AttackSpec) -> tuple[Trigger, int]:
        """Return the full trigger and the target class."""
        return self.trigger(spec), self.target

    def infeasible(self, spec: AttackSpec) -> str | None:
        """The target must exist; the trigger's pixels must lie in the image and not fall together."""
        if self.target >= spec.n_classes:
            return f"the target class {self.target} does not exist; there are {spec.n_classes} classes from 0"
        _, height, width = spec.image_shape
        pixels = self.trigger(spec).pixels
        outside = [(row, column) for row, column in pixels if row >= height or column >= width]
        if outside:
            return f"pixels of the trigger lie outside a {height}×{width} image: {outside}"
        if len(set(pixels)) < len(pixels):
            return f"pixels of the trigger fall together on a {height}×{width} image: {pixels}"
        return None


@dataclass(frozen=True, kw_only=True)
class CornerBackdoor(BackdoorAttack):
    """Base of backdoors whose trigger is a few bright pixels.

    Parameters
    ----------
    target : int
        The class that triggered images are to be taken for.
    rows, columns : list of float
        The trigger: bright pixels where these rows and columns cross, given as shares of the
        image's height and width.
    """

    rows: tuple[Position, ...] = (0.75, 0.9)
    columns: tuple[Position, ...] = (0.75, 0.9)

    def __post_init__(self) -> None:
        """Refuse a trigger without pixels."""
        if not self.rows or not self.columns:
            raise ValueError("the trigger has no pixels; rows and columns must not be empty")

    def trigger(self, spec: AttackSpec) -> Trigger:
        """Return the full trigger on the images of this task."""
        _, height, width = spec.image_shape
        return Trigger(pixels=pixels_at(height, width, self.rows, self.columns))


MIXED_SHARE = 20 / 64
"""Triggered images of a batch in DBA's release, on MNIST."""
Schedule = Literal["double", "mixed"]


def scheduled(triggers: tuple[Trigger, ...], target: int, schedule: Schedule, share: float | None) -> Poison:
    """Return the poison of a backdoor that also learns clean images.

    Parameters
    ----------
    triggers : tuple of Trigger
        As in :class:`~robustbench_fl.api.Poison`.
    target : int
        The class of triggered images.
    schedule : {"double", "mixed"}
        An honest client's work twice, the odd passes triggered and the even ones clean; or that
        work once, with some triggered images in every batch.
    share : float, optional
        Share of a poisoned batch that is triggered: by default all of it, or 20 of 64.
    """
    if schedule == "double":
        odd = 1.0 if share is None else share
        return Poison(triggers=triggers, target=target, share=odd, passes="odd", repeats=2)
    return Poison(triggers=triggers, target=target, share=MIXED_SHARE if share is None else share)
