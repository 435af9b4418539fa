"""FLARE (Wang et al., 2022)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import torch
from annotated_types import Gt
from torch import Tensor

from robustbench_fl.aggregators._rows import weighted_sum
from robustbench_fl.api import Aggregation, Aggregator, Need, ServerView, register

if TYPE_CHECKING:
    from robustbench_fl.api import Model

_KERNEL_VALUES = 2**17
"""Values of the kernel held at a time."""

Trust = Literal["softmax", "linear"]
"""How votes become weights."""


def mean_discrepancies(features: Tensor, sigma: float = 1.0) -> Tensor:
    """Return the squared maximum mean discrepancy between every two clients.

    Parameters
    ----------
    features : Tensor [n, q, h]
        What each client's model makes of the same q inputs.
    sigma : float
        Width of the kernel ``exp(−‖x − y‖² / 2σ²)``.

    Returns
    -------
    float64 Tensor [n, n]
        ``mean k(x, x') + mean k(y, y') − 2 mean k(x, y)``, from 0 to 2 (pairs of an input with itself
        included); infinite between a client with NaN or Inf and others.
    """
    n, q, _ = features.shape
    broken = ~features.isfinite().flatten(1).all(1)
    points = torch.where(broken[:, None, None], 0.0, features) if bool(broken.any()) else features
    together = max(1, _KERNEL_VALUES // q**2)
    means = torch.empty((n, n), dtype=torch.float64, device=features.device)
    for i in range(n):
        for start in range(i, n, together):
            others = points[start : start + together]
            found = _kernel_means(points[i].double(), others.double(), sigma)
            means[i, start : start + together] = means[start : start + together, i] = found
    own = means.diagonal()
    discrepancies = (own[:, None] + own - 2 * means).clamp(min=0)
    discrepancies[broken] = torch.inf
    discrepancies[:, broken] = torch.inf
    return discrepancies.fill_diagonal_(0)


def _all_features(model: Model, params: Tensor, updates: Tensor, images: Tensor) -> Tensor:
    """Return the features [n, q, h] of every client's model."""
    first = model.features(params + updates[0], images)
    found = first.new_empty((len(updates), *first.shape))
    for i, update in enumerate(updates):
        found[i] = first if i == 0 else model.features(params + update, images)
    return found


def _kernel_means(point: Tensor, others: Tensor, sigma: float) -> Tensor:
    """Return the mean of ``k(x, y)`` over x in `point` [q, h] and y in each of the `others` [m, q, h]."""
    flat = others.flatten(0, 1)
    distances = (point @ flat.T).mul_(-2)
    distances += flat.square().sum(1)
    distances += point.square().sum(1)[:, None]
    kernel = distances.clamp_(min=0).div_(-2 * sigma**2).exp_()
    return kernel.view(len(point), len(others), -1).mean((0, 2))


def votes(discrepancies: Tensor) -> Tensor:
    """Return how often each client is among the ⌊n/2⌋ nearest others of another.

    Parameters
    ----------
    discrepancies : Tensor [n, n]
        Distances; the diagonal is not looked at.

    Returns
    -------
    float64 Tensor [n]
        Their sum is ``n ⌊n/2⌋``, if all distances are finite; nobody votes for the infinitely far.
    """
    n = len(discrepancies)
    others = discrepancies.clone().fill_diagonal_(torch.inf)
    nearest = others.sort(dim=1, stable=True)
    elected = nearest.indices[:, : n // 2][nearest.values[:, : n // 2].isfinite()]
    return torch.bincount(elected, minlength=n).double()


@register("flare", paper="Wang 2022", year=2022, cost="n²q²")
@dataclass(frozen=True, kw_only=True)
class Flare(Aggregator):
    """Weigh clients by how many others their penultimate features are close to.

    Every client model maps the server's q root images to the inputs of its last layer. Clients
    vote for the ⌊n/2⌋ others whose features have the least maximum mean discrepancy from their own,
    and are weighted by a softmax of the votes.

    Parameters
    ----------
    temperature : float
        The τ of ``softmax(votes / τ)``.
    sigma : float
        Width of the Gaussian kernel, in the unit of the features.
    trust : {"softmax", "linear"}
        Weights ``softmax(votes / τ)``, or votes over their sum.

    Notes
    -----
    The labels of the root set are not used. A client whose features are not finite gets no votes.
    Softmax gives nobody a weight of zero, so a single update that is long enough moves the model
    wherever it wants: the rule is not robust in that sense. Scores are one minus the weight. Time n
    forward passes and O(n² q²), extra memory the n q features and a block of the kernel.

    Faithfulness
    ------------
    Release: ``github.com/ning-wang1/flare_poisoning_detection`` at 5e5ee96, the authors'.
    Compared: formulas, with the release.
    Difference: not measured.
    On purpose: softmax of the counts as they are, as the paper prints it.

    References
    ----------
    .. [1] N. Wang, Y. Xiao, Y. Chen, Y. Hu, W. Lou and Y. T. Hou, "FLARE: Defending Federated Learning
       against Model Poisoning Attacks via Latent Space Representations", ASIA CCS 2022, Section 4.
    """

    temperature: Annotated[float, Gt(0)] = 1.0
    sigma: Annotated[float, Gt(0)] = 1.0
    trust: Trust = "softmax"

    robust: ClassVar[bool] = False
    translation: ClassVar[bool] = False
    scale: ClassVar[bool] = False

    @property
    def needs(self) -> frozenset[Need]:
        """The network, its parameters and the server's images."""
        return frozenset({Need.MODEL, Need.ROOT_DATA})

    def refuses(self, model: Model) -> str | None:
        """Refuse networks without a linear last layer, whose input is looked at."""
        return None if model.ends_linear else "the last two tensors are no weight and bias of a linear layer"

    def aggregate(self, updates: Tensor, view: ServerView, state: None) -> tuple[Aggregation, None]:
        """Return the weighted mean."""
        model, params, images = view.model, view.params, view.root.images
        with torch.no_grad():
            features = _all_features(model, params, updates, images)
        weights = self._weights(votes(mean_discrepancies(features, self.sigma))).to(updates.dtype)
        return Aggregation(weighted_sum(weights, updates), weights=weights, scores=1 - weights), None

    def _weights(self, votes: Tensor) -> Tensor:
        if self.trust == "softmax":
            return (votes / self.temperature).softmax(0)
        # A single client has nobody to vote for it.
        return votes / votes.sum() if bool(votes.any()) else torch.full_like(votes, 1 / len(votes))
