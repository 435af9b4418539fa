"""Pictures that no method here was designed on: four kinds, drawn by rule.

Run ``python benchmarks/pictures.py DIR``: writes ``textures.npz``, ``glyphs.npz``, ``shapes.npz`` and
``blobs.npz`` for ``npz(path=…)``, 3,000 pictures for training and 1,000 for the test each.
``sweeps/fedredefense-unseen.toml`` takes them.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.float64]
"""From 0 to 1: [height, width] or [height, width, 3]."""
Rng = np.random.Generator
TRAIN, TEST = 3000, 1000
SEGMENTS = (
    "ABEF", "BC", "AGED", "AGCD", "FGBC", "AFGCD", "AFEDCG", "ABC", "ADG", "FBGE",
)  # fmt: skip
"""Ten glyphs, as segments of a seven-segment display."""
ENDS = {
    "A": ((-1, -2), (1, -2)), "B": ((1, -2), (1, 0)), "C": ((1, 0), (1, 2)), "D": ((-1, 2), (1, 2)),
    "E": ((-1, 0), (-1, 2)), "F": ((-1, -2), (-1, 0)), "G": ((-1, 0), (1, 0)),
}  # fmt: skip


def smooth_noise(side: int, exponent: float, rng: Rng) -> Pixels:
    """Return noise with amplitudes of frequency to the power of −`exponent`, of standard deviation 1."""
    across = np.fft.fftfreq(side)
    frequency = np.maximum(np.hypot(across[:, None], across), 1 / side)
    noise = np.fft.ifft2(np.fft.fft2(rng.standard_normal((side, side))) / frequency**exponent).real
    return np.asarray(noise / noise.std())


def texture(label: int, rng: Rng) -> Pixels:
    """Return coloured noise 16×16×3: the class sets its spectrum and, a little, its colour."""
    own = np.random.default_rng(label)
    mixing, colour = own.normal(size=(3, 3)) / 2, own.normal(size=3) / 2
    layers = np.stack([smooth_noise(16, 0.25 * label, rng) for _ in range(3)], -1)
    return 0.5 + 0.15 * (layers @ mixing + colour)


def glyph(label: int, rng: Rng) -> Pixels:
    """Return one of ten glyphs 28×28, bright on dark, turned, sheared, scaled and moved."""
    angle, shear, size = rng.normal(0, 0.2), rng.normal(0, 0.2), rng.uniform(3.5, 5)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    affine = size * turn @ np.array([[1, shear], [0, 1]])
    centre = 13.5 + rng.normal(0, 1.5, 2)
    points = np.stack(np.meshgrid(np.arange(28.0), np.arange(28.0)), -1)
    away = np.full((28, 28), np.inf)
    for name in SEGMENTS[label]:
        start, end = (affine @ np.array(corner) + centre for corner in ENDS[name])
        along = np.clip((points - start) @ (end - start) / ((end - start) @ (end - start)), 0, 1)
        away = np.minimum(away, np.linalg.norm(points - start - along[..., None] * (end - start), axis=-1))
    return np.clip(rng.uniform(1.2, 2.2) - away, 0, 1)


def shape(label: int, rng: Rng) -> Pixels:
    """Return one of eight coloured shapes 24×24×3 on a background that shades from corner to corner."""
    across, down = np.meshgrid(np.linspace(-1, 1, 24), np.linspace(-1, 1, 24))
    x, y = ((axis - rng.normal(0, 0.15)) / rng.uniform(0.45, 0.8) for axis in (across, down))
    radius, square, diamond = np.hypot(x, y), np.maximum(abs(x), abs(y)), abs(x) + abs(y)
    inside = (
        radius < 1, square < 1, diamond < 1, (radius < 1) & (radius > 0.5), (square < 1) & (square > 0.5),
        (abs(x) < 0.3) & (abs(y) < 1), (abs(y) < 0.3) & (abs(x) < 1),
        (square < 1) & ((abs(x) < 0.3) | (abs(y) < 0.3)),
    )[label]  # fmt: skip
    shade = 0.5 + 0.25 * (across * rng.uniform(-1, 1) + down * rng.uniform(-1, 1))
    background = shade[..., None] * rng.uniform(0.3, 1, 3)
    picture = np.where(inside[..., None], rng.uniform(0, 1, 3), background)
    return picture + rng.normal(0, 0.03, picture.shape)


def blob(label: int, rng: Rng) -> Pixels:
    """Return dark blobs 28×28 on a cloudy ground, as under a microscope; classes differ in number, size."""
    many, wide = ((3, 5.0), (8, 3.0), (20, 1.5), (8, 1.5), (3, 3.0))[label]
    across, down = np.meshgrid(np.arange(28.0), np.arange(28.0))
    picture = 0.75 + 0.08 * smooth_noise(28, 1.5, rng)
    for _ in range(max(1, rng.poisson(many))):
        x, y = rng.uniform(0, 28, 2)
        spread = wide * rng.uniform(0.7, 1.3)
        picture -= 0.35 * np.exp(-((across - x) ** 2 + (down - y) ** 2) / (2 * spread**2))
    return picture


KINDS: dict[str, tuple[Callable[[int, Rng], Pixels], tuple[float, ...]]] = {
    "textures": (texture, (0.1,) * 10),
    "glyphs": (glyph, (0.1,) * 10),
    "shapes": (shape, (0.125,) * 8),
    "blobs": (blob, (0.4, 0.25, 0.15, 0.12, 0.08)),
}
"""How a picture of a class is drawn, and how frequent the classes are."""


def pictures(kind: str, number: int, rng: Rng) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return pictures, uint8 [number, height, width(, 3)], and their labels."""
    draw, shares = KINDS[kind]
    labels = rng.choice(len(shares), number, p=shares)
    drawn = np.stack([draw(int(label), rng) for label in labels])
    return np.round(255 * np.clip(drawn, 0, 1)).astype(np.uint8), labels


def main() -> None:
    """Write a file a kind."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path)
    directory = parser.parse_args().directory
    directory.mkdir(parents=True, exist_ok=True)
    for number, kind in enumerate(KINDS):
        rng = np.random.default_rng([2000, number])
        (x_train, y_train), (x_test, y_test) = (pictures(kind, size, rng) for size in (TRAIN, TEST))
        np.savez(directory / f"{kind}.npz", x_train=x_train, y_train=y_train, x_test=x_test, y_test=y_test)


if __name__ == "__main__":
    main()
