"""FLTrust (Cao et al., 2021)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch

from robustbench_fl.aggregators._rows import row_norms, weighted_sum
from robustbench_fl.api import Aggregation, Aggregator, Need, ServerView, register

if TYPE_CHECKING:
    from torch import Tensor


def fltrust(updates: Tensor, root_update: Tensor) -> Tensor:
    """Average the updates by their agreement with the server's own, at its length.

    Parameters
    ----------
    updates : Tensor [n, d]
        One row a client.
    root_update : Tensor [d]
        The update the server trained on its root data.

    Returns
    -------
    Tensor [d]
        The aggregate; zeros if nobody is trusted.
    """
    return weighted_sum(_judged(updates, root_update)[0], updates)


@register("fltrust", paper="Cao 2021", year=2021, cost="nd + one training")
@dataclass(frozen=True, kw_only=True)
class FLTrust(Aggregator):
    """Trust each client as far as its update points where the server's own does.

    The server trains the clients' local recipe on a small clean root set, which gives g₀. Client i
    has the trust ``TS_i = max(0, cos(u_i, g₀))``; the step is
    ``Σ TS_i (‖g₀‖ / ‖u_i‖) u_i / Σ TS_i``. If nobody is trusted, the model is kept.

    Notes
    -----
    Root images are held out from the clients. Scores are ``1 − cos``. Time O(n d) and one local
    training, extra memory nothing to speak of.

    Faithfulness
    ------------
    Release: the authors' MXNet code was not read.
    Compared: numbers, in the review.
    Difference: none found.
    On purpose: nothing.

    References
    ----------
    .. [1] X. Cao, M. Fang, J. Liu and N. Z. Gong, "FLTrust: Byzantine-robust Federated Learning
       via Trust Bootstrapping", NDSS 2021, Section IV.
    """

    translation: ClassVar[bool] = False
    scale: ClassVar[bool] = False

    @property
    def needs(self) -> frozenset[Need]:
        """The server's clean data."""
        return frozenset({Need.ROOT_DATA})

    def aggregate(self, updates: Tensor, view: ServerView, state: None) -> tuple[Aggregation, None]:
        """Return the trusted step, each client's factor in it and its distance in direction."""
        weights, cosines = _judged(updates, view.root.train())
        outcome = Aggregation(
            weighted_sum(weights, updates),
            weights=weights.to(updates.dtype),
            selected=cosines > 0,
            scores=1 - cosines,
        )
        return outcome, None


def _judged(updates: Tensor, root_update: Tensor) -> tuple[Tensor, Tensor]:
    """Return each update's factor in the step and its cosine with the server's, float64 [n]."""
    norms = row_norms(updates)
    length = torch.linalg.vector_norm(root_update.double())
    if length == 0 or not bool(norms.any()):
        return torch.zeros_like(norms), torch.zeros_like(norms)
    # Divided first: products of a row of 1e30 with a unit vector stay in float32's range.
    products = (updates @ (root_update.double() / length).to(updates)).double()
    # An update of length zero has no direction and is trusted as little as an orthogonal one.
    cosines = torch.where(norms > 0, products / norms, 0.0).clamp(-1, 1)
    trust = cosines.clamp(min=0)
    if not bool(trust.any()):
        return trust, cosines
    return torch.where(norms > 0, trust * length / norms, 0.0) / trust.sum(), cosines
