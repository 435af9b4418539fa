"""Settings of FedREDefense: the authors' per data set, and faster ones for small networks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Image = Literal["unit", "pixels"]
"""First images: each pixel from N(0, 1), or from N(0, 64 / pixels), so that all have norm 8."""


@dataclass(frozen=True, kw_only=True)
class Preset:
    """Values behind a preset's name.

    Parameters
    ----------
    lr_image, lr_label, lr_step : float
        Learning rates of images, label logits and step size.
    step : float or "auto"
        First step size a.
    later_step : {"kept", "scaled"}
        Whether a known client's step size follows the norm of its update.
    first_budget, later_budget : int or None
        Iterations for a client without and with synthetic data of its own; ``None`` follows
        the input size, see :func:`first_budget`.
    retest : int or "never"
        Tests after which a client starts from fresh synthetic data.
    image_rate : {"auto", "fixed"}
        Whether `lr_image` is meant for 64 pixels and follows the input size, with back-off.
    back_off : float or None
        Divides the rates of a diverging client where `image_rate` is ``fixed``.
    auto_step : float
        How far the automatic step's first unroll goes, in lengths of the update.
    image : {"unit", "pixels"}
        How the first images are drawn.
    label_logit : float
        Of each image's own class at first; the others are 0.
    multiple : float or None
        The first budget in iterations of the slowest virtual client; ``None``: no budget is measured.
    tolerated : float or None
        E up to which a client that has used up its budget is kept; ``None``: the threshold.
    class_sums : {"any", "zero"}
        Whether updates must sum to zero over the classes.
    backward : {"any", "refused"}
        Whether updates may undo what the model has learned.
    longest : float or None
        Length of an update that is too long, in medians of the round.
    """

    lr_image: float
    lr_label: float
    lr_step: float
    step: float | Literal["auto"]
    later_step: Literal["kept", "scaled"]
    first_budget: int | None
    later_budget: int
    retest: int | Literal["never"]
    image_rate: Literal["auto", "fixed"]
    back_off: float | None = None
    auto_step: float = 1.5
    image: Image = "unit"
    label_logit: float = 0.0
    multiple: float | None = None
    tolerated: float | None = None
    class_sums: Literal["any", "zero"] = "any"
    backward: Literal["any", "refused"] = "any"
    longest: float | None = None


PRESETS = {
    "fast": Preset(
        lr_image=5.0,
        lr_label=2.0,
        lr_step=0.0,
        step="auto",
        later_step="scaled",
        first_budget=None,
        later_budget=150,
        retest=5,
        image_rate="auto",
    ),
    "calibrated": Preset(
        lr_image=20.0,
        lr_label=2.0,
        lr_step=0.0,
        step="auto",
        later_step="scaled",
        first_budget=None,
        later_budget=20,
        retest="never",
        image_rate="fixed",
        back_off=5.0,
        auto_step=1.0,
        image="pixels",
        label_logit=2.0,
        multiple=2.0,
        tolerated=0.7,
        class_sums="zero",
        backward="refused",
        longest=3.0,
    ),
    "paper-fashion_mnist": Preset(
        lr_image=0.5,
        lr_label=0.2,
        lr_step=5e-6,
        step=0.1,
        later_step="kept",
        first_budget=800,
        later_budget=2000,
        retest="never",
        image_rate="fixed",
    ),
    "paper-cifar10": Preset(
        lr_image=0.1,
        lr_label=0.05,
        lr_step=5e-5,
        step=0.05,
        later_step="kept",
        first_budget=500,
        later_budget=1500,
        retest="never",
        image_rate="fixed",
    ),
    "paper-cinic10": Preset(
        lr_image=0.1,
        lr_label=0.05,
        lr_step=5e-5,
        step=0.05,
        later_step="kept",
        first_budget=2000,
        later_budget=4000,
        retest="never",
        image_rate="fixed",
    ),
}
"""Presets by name."""


def scaled_image_rate(rate: float, pixels: int) -> float:
    """Return the image rate for inputs of `pixels` numbers: proportional to them, at most tenfold.

    Parameters
    ----------
    rate : float
        Rate for 64 pixels.
    pixels : int
        Channels times height times width.

    Examples
    --------
    >>> scaled_image_rate(5.0, 64), scaled_image_rate(5.0, 784)
    (5.0, 50.0)
    """
    return rate * min(pixels / 64, 10.0)


def first_budget(pixels: int) -> int:
    """Return the iterations granted to a new client: 40 up to 64 pixels, 190 from 784 on.

    Examples
    --------
    >>> first_budget(64), first_budget(256), first_budget(784)
    (40, 80, 190)
    """
    return round(40 + 150 * min(max(pixels - 64, 0) / 720, 1.0))
