"""FLAME (Nguyen et al., 2022)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import torch
from annotated_types import Ge

from robustbench_fl.aggregators._density import density_clusters
from robustbench_fl.aggregators._directions import direction_distances
from robustbench_fl.aggregators._filtering import clipped_weights
from robustbench_fl.aggregators._rows import middle, row_norms, weighted_sum
from robustbench_fl.api import Aggregation, Aggregator, Need, ServerView, register, torch_generator

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor


def flame(
    updates: Tensor, params: Tensor | None, rng: np.random.Generator, *, noise: float = 0.001
) -> Tensor:
    """Average the majority cluster of models, clipped, plus noise.

    Parameters
    ----------
    updates : Tensor [n, d]
        One row a client.
    params : Tensor [d] or None
        Global parameters; ``None`` clusters the updates instead of the models.
    rng : numpy.random.Generator
        Draws the noise.
    noise : float
        Standard deviation of the noise on each coordinate, in median norms.

    Returns
    -------
    Tensor [d]
        The aggregate; zeros if there is no majority.
    """
    norms = row_norms(updates)
    kept = majority(direction_distances(updates, params))
    return _noised(clipped_weights(norms, kept, middle(norms)), updates, norms, kept, noise, rng)


def majority(distances: Tensor) -> Tensor:
    """Return who is in the cluster that holds more than half of the clients.

    Parameters
    ----------
    distances : float64 Tensor [n, n]
        Cosine distances.

    Returns
    -------
    bool Tensor [n]
        All false if there is no such cluster.
    """
    n = len(distances)
    labels = density_clusters(
        distances.cpu().numpy(), metric="precomputed", min_cluster_size=n // 2 + 1, single=True
    )
    # More than half of the points: there is at most one cluster.
    return torch.from_numpy(labels == 0).to(distances.device)


@register("flame", paper="Nguyen 2022", year=2022, cost="n²d")
@dataclass(frozen=True, kw_only=True)
class Flame(Aggregator):
    """Keep the majority cluster of client models, clip to the median norm, average, add noise.

    HDBSCAN on the cosine distances of the client models, with clusters of more than half of the
    clients; the outliers are accused. The kept updates are clipped to S, the median norm of all
    updates, and averaged; every coordinate gets Gaussian noise of standard deviation λ S. Without
    a majority cluster the model is kept, and no noise is added.

    Parameters
    ----------
    noise : float
        The paper's λ. Its 0.001 is for image classification.
    on : {"models", "updates"}
        What is compared: the models ``w + u_i``, as in the paper, or the updates alone, as in
        some ports. Models of one round are nearly parallel, so distances are in float64.

    Notes
    -----
    Assumes that more than half of the clients are honest. With noise no weights are reported,
    since the aggregate is no weighted sum. The noise reaches every coordinate: its length is
    ``λ S √d``. Time O(n² d), extra memory one block of columns.

    Faithfulness
    ------------
    Release: none by the authors.
    Compared: numbers, in the review.
    Difference: none found.
    On purpose: distances of models in float64, without which float32 loses them.
    Elsewhere: some ports cluster updates: ``on=updates``.

    References
    ----------
    .. [1] T. D. Nguyen et al., "FLAME: Taming Backdoors in Federated Learning", USENIX Security
       2022, Algorithm 1.
    """

    noise: Annotated[float, Ge(0)] = 0.001
    on: Literal["models", "updates"] = "models"

    detector: ClassVar[bool] = True
    translation: ClassVar[bool] = False
    tuning: ClassVar = {"noise": (0.0, 0.001, 0.01)}
    """The paper's λ for images, none, and ten times as much."""

    @property
    def scale(self) -> bool:  # type: ignore[override]
        """Whether the updates alone are compared."""
        return self.on == "updates"

    @property
    def needs(self) -> frozenset[Need]:
        """The global parameters, where models are compared."""
        return frozenset({Need.MODEL}) if self.on == "models" else frozenset()

    def aggregate(self, updates: Tensor, view: ServerView, state: None) -> tuple[Aggregation, None]:
        """Return the noised mean of the majority; all others are accused."""
        norms = row_norms(updates)
        offset = view.params if self.on == "models" else None
        kept = majority(direction_distances(updates, offset))
        weights = clipped_weights(norms, kept, middle(norms)).to(updates.dtype)
        step = _noised(weights, updates, norms, kept, self.noise, view.rng)
        exact = self.noise == 0 or not bool(kept.any())
        return Aggregation(step, weights=weights if exact else None, selected=kept, rejected=~kept), None


def _noised(
    weights: Tensor, updates: Tensor, norms: Tensor, kept: Tensor, noise: float, rng: np.random.Generator
) -> Tensor:
    step = weighted_sum(weights, updates)
    if noise == 0 or not bool(kept.any()):
        return step
    draw = torch.randn(step.shape, generator=torch_generator(rng), dtype=step.dtype)
    return step + (noise * float(middle(norms))) * draw.to(step.device)
