"""FLARE (Wang et al., 2022)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import torch
from annotated_types import Gt

from robustbench_fl.aggregators._rows import weighted_sum
from robustbench_fl.api import Aggregation, Aggregator, Need, ServerView, register

if TYPE_CHECKING:
    from torch import Tensor

    from robustbench_fl.api import Model

_KERNEL_VALUES = 2**17
"""Values of the kernel held at a time."""

Trust = Literal["normalised", "softmax", "linear"]
"""How votes become weights."""
Voters = Literal["n/2-1", "n/2"]
"""How many others each client votes for, rounded down."""


def mean_discrepancies(features: Tensor, sigma: float | None = None) -> Tensor:
    """Return the squared maximum mean discrepancy between every two clients.

    Parameters
    ----------
    features : Tensor [n, q, h]
        What each client's model makes of the same q inputs.
    sigma : float, optional
        Width of the kernel ``exp(−‖x − y‖² / 2σ²)``; by default ``√(h / 2)``.

    Returns
    -------
    float64 Tensor [n, n]
        ``mean k(x, x') + mean k(y, y') − 2 mean k(x, y)``, the unbiased estimate: the first two over pairs
        of different inputs, where there is more than one input. Between features that hardly differ it may be
        negative; between a client with NaN or Inf and others it is infinite.
    """
    n, q, h = features.shape
    sigma = math.sqrt(h / 2) if sigma is None else sigma
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
    if q > 1:
        # An input beside itself has kernel 1.
        own = (q * own - 1) / (q - 1)
    discrepancies = own[:, None] + own - 2 * means
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


def votes(discrepancies: Tensor, count: int) -> Tensor:
    """Return how often each client is among the `count` nearest others of another.

    Parameters
    ----------
    discrepancies : Tensor [n, n]
        Distances; the diagonal is not looked at.
    count : int
        Others that each client votes for.

    Returns
    -------
    float64 Tensor [n]
        Their sum is ``n · count``, if all distances are finite; nobody votes for the infinitely far.
    """
    n = len(discrepancies)
    others = discrepancies.clone().fill_diagonal_(torch.inf)
    nearest = others.sort(dim=1, stable=True)
    elected = nearest.indices[:, :count][nearest.values[:, :count].isfinite()]
    return torch.bincount(elected, minlength=n).double()


@register("flare", version=2, paper="Wang 2022", year=2022, cost="n²q²")
@dataclass(frozen=True, kw_only=True)
class Flare(Aggregator):
    """Weigh clients by how many others their penultimate features are close to.

    Every client model maps the server's q root images to the inputs of its last layer. Clients
    vote for the ⌊n/2⌋ − 1 others whose features have the least maximum mean discrepancy from their own,
    and are weighted by a softmax of the votes over their mean.

    Parameters
    ----------
    temperature : float
        The τ of the softmax.
    sigma : float, optional
        Width of the Gaussian kernel, in the unit of the features; ``√(h / 2)`` for h features by default.
    trust : {"normalised", "softmax", "linear"}
        Weights ``softmax(votes / (τ · mean votes))``, as the authors' code has it; ``softmax(votes / τ)``,
        as the paper prints it; or votes over their sum, as some ports do. Of 20 clients the second
        form listens to about three; it loses classes that few clients hold, and keeps backdoors out.
    voters : {"n/2-1", "n/2"}
        For how many others a client votes: half of all with itself, as in the authors' code, or half.

    Notes
    -----
    The labels of the root set are not used. A client whose features are not finite gets no votes.
    Softmax gives nobody a weight of zero, so a single update that is long enough moves the model
    wherever it wants: the rule is not robust in that sense. Scores are one minus the weight. Time n
    forward passes and O(n² q²), extra memory the n q features and a block of the kernel.

    Faithfulness
    ------------
    Release: ``github.com/ning-wang1/flare_poisoning_detection`` at 5e5ee96 (``detect.py``,
        ``utils/mmd.py``), the authors'.
    Compared: formulas, line by line; the discrepancies with the release, numbers, 12 clients, 40 inputs.
    Difference: 7e-15 of the largest discrepancy.
    On purpose: all root images are shown, where the release shows up to 200 of one class; negative
        estimates stay as they are, where the release takes them for 0 and leaves their order to the sort.
    Elsewhere: BackFed (``github.com/thinh-dao/BackFed`` at ab3bcbd, ``backfed/servers/flare_server.py``)
        weighs by votes over their sum.

    References
    ----------
    .. [1] N. Wang, Y. Xiao, Y. Chen, Y. Hu, W. Lou and Y. T. Hou, "FLARE: Defending Federated Learning
       against Model Poisoning Attacks via Latent Space Representations", ASIA CCS 2022, Section 4.
    """

    temperature: Annotated[float, Gt(0)] = 1.0
    sigma: Annotated[float, Gt(0)] | None = None
    trust: Trust = "normalised"
    voters: Voters = "n/2-1"

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
        n = len(updates)
        count = n // 2 if self.voters == "n/2" else max(1, n // 2 - 1)
        counts = votes(mean_discrepancies(features, self.sigma), min(count, n - 1))
        weights = self._weights(counts).to(updates.dtype)
        return Aggregation(weighted_sum(weights, updates), weights=weights, scores=1 - weights), None

    def _weights(self, votes: Tensor) -> Tensor:
        if not bool(votes.any()):  # a single client has nobody to vote for it
            return torch.full_like(votes, 1 / len(votes))
        if self.trust == "linear":
            return votes / votes.sum()
        unit = votes.mean() if self.trust == "normalised" else 1.0
        return (votes / (self.temperature * unit)).softmax(0)
