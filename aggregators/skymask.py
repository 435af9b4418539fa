"""SkyMask (Yan et al., 2024)."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

import numpy as np
import torch
from annotated_types import Ge, Gt, Lt

from robustbench_fl.aggregators._components import main_components
from robustbench_fl.aggregators._filtering import average_of
from robustbench_fl.aggregators._rows import row_norms
from robustbench_fl.api import Aggregation, Aggregator, Need, ServerView, register

if TYPE_CHECKING:
    from torch import Tensor

    from robustbench_fl.api import Model

_CHECKED = 10
"""Steps between two looks at the loss."""
_DUST = 1e-6
"""Differences from the masked mean below this share of a parameter are rounding, which the rate blows up."""
_PROGRESS = 1e-2
"""The masks are left as they are once the loss fell by less than this since the last look."""


def trained_masks(
    model: Model,
    models: Tensor,
    images: Tensor,
    labels: Tensor,
    *,
    steps: int = 20,
    rate: float = 1e7,
    clip: float = 1e-7,
) -> Tensor:
    """Train one mask a model, so that the masked mean of the models fits the data.

    Parameters
    ----------
    model : Model
        The network.
    models : Tensor [n, d]
        Parameters, one row a client.
    images, labels : Tensor [q, ...], int64 Tensor [q]
        The server's data, all at each step.
    steps : int
        Gradient steps at most.
    rate : float
        Learning rate.
    clip : float
        Each entry of the gradient is cut to ±`clip`, so that no mask moves more than ``rate · clip`` a step.

    Returns
    -------
    Tensor [n, d]
        The masks before the sigmoid; they start at 1. The masked mean is
        ``Σ σ(m_i) w_i / Σ σ(m_i)``, coordinate by coordinate, and the loss its cross-entropy.
    """
    masks = torch.ones_like(models)
    before = torch.inf
    for step in range(steps):
        shares = masks.sigmoid()
        total = shares.sum(0)
        point = ((shares * models).sum(0) / total).requires_grad_()
        with torch.enable_grad():
            loss = torch.nn.functional.cross_entropy(model.apply(point, images), labels)
            (gradient,) = torch.autograd.grad(loss, point)
        # d point / d m_i = σ'(m_i) (w_i − point) / Σ σ
        slope = models - point.detach()
        slope.masked_fill_(slope.abs() <= _DUST * models.abs(), 0.0)
        slope.mul_(shares).mul_(1 - shares).mul_(gradient / total)
        masks -= rate * slope.nan_to_num_(nan=0.0).clamp_(-clip, clip)
        if step % _CHECKED == 0:
            if before - loss.item() < _PROGRESS:
                break
            before = loss.item()
    return masks


def beside_the_server(masks: Tensor, rng: np.random.Generator, threshold: float = 0.5) -> Tensor:
    """Return how likely each client's mask belongs to the other of two groups than the server's.

    Parameters
    ----------
    masks : Tensor [n + 1, d]
        Before the sigmoid; the last one is the server's.
    rng : numpy.random.Generator
        Starts the mixture.
    threshold : float
        Masks count as one where their sigmoid is above it, as zero elsewhere.

    Returns
    -------
    float64 Tensor [n]
        By a mixture of two Gaussians on the two main components of the binary masks; zeros where the
        masks do not tell two groups apart.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture

    points = main_components((masks.sigmoid() > threshold).float())
    if len(np.unique(points.round(9), axis=0)) < 2:
        return torch.zeros(len(masks) - 1, dtype=torch.float64, device=masks.device)
    mixture = GaussianMixture(n_components=2, random_state=int(rng.integers(2**31)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        likely = mixture.fit(points).predict_proba(points)
    other = 1 - int(likely[-1].argmax())
    return torch.from_numpy(likely[:-1, other].copy()).to(masks.device)


@register("skymask", paper="Yan 2024", year=2024, cost="nd·steps + one training")
@dataclass(frozen=True, kw_only=True)
class SkyMask(Aggregator):
    """Learn a mask for every client's model, and keep the clients whose masks are like the server's.

    The server trains a model of its own on its root data. Then it learns, for its own and every client's
    model, a mask in [0, 1] for each parameter such that the mean of the masked models does well on the
    root data: what harms is masked. The masks, made binary, are reduced to two principal components and
    split by a mixture of two Gaussians. Clients in the server's group are averaged, the others accused.

    Parameters
    ----------
    steps : int
        Gradient steps of the masks at most.
    rate, clip : float
        Their learning rate, and where each entry of the gradient is cut.
    threshold : float
        Above it a mask counts as one.

    Notes
    -----
    Root images are held out from the clients. If all masks agree, everybody is kept. Scores are the
    probabilities of the other group. Time O(steps · n d) and one local training, extra memory four
    times the updates.

    Faithfulness
    ------------
    Release: ``github.com/KoalaYan/SkyMask`` at 01d5d08 (``aggregation.py``, ``mytorch.py``, ``classify.py``),
        the authors'.
    Compared: formulas, line by line; the masks after ten steps with the release's masked layers, numbers,
        5 models of an MLP.
    Difference: 5e-5 of the largest mask, in float32.
    On purpose: the loss is the cross-entropy over the classes; the release's networks end with a softmax over
        the batch (``dim = 0`` in ``models.py``). The mixture starts from the round's stream.
    Elsewhere: CRYPTO-KU (``github.com/CRYPTO-KU/FL-Byzantine-Library`` at 32922ca,
        ``aggregators/skymask.py``) learns one number a client, not one a parameter.

    References
    ----------
    .. [1] P. Yan, H. Wang, T. Song, Y. Hua, R. Ma, N. Hu, M. R. Haghighat and H. Guan, "SkyMask:
       Attack-agnostic Robust Federated Learning with Fine-grained Learnable Masks", ECCV 2024, Section 3.
    """

    steps: Annotated[int, Ge(1)] = 20
    rate: Annotated[float, Gt(0)] = 1e7
    clip: Annotated[float, Gt(0)] = 1e-7
    threshold: Annotated[float, Gt(0), Lt(1)] = 0.5

    detector: ClassVar[bool] = True
    translation: ClassVar[bool] = False
    scale: ClassVar[bool] = False

    @property
    def needs(self) -> frozenset[Need]:
        """The network, its parameters and the server's data."""
        return frozenset({Need.MODEL, Need.ROOT_DATA})

    def aggregate(self, updates: Tensor, view: ServerView, state: None) -> tuple[Aggregation, None]:
        """Return the mean of the clients in the server's group."""
        own = view.root.train().to(updates)
        # In the order of their norms, so that the order of the rows does not matter to the mixture.
        order = row_norms(updates).argsort(stable=True)
        models = torch.cat([updates[order], own[None]]) + view.params
        masks = trained_masks(
            view.model,
            models,
            view.root.images,
            view.root.labels,
            steps=self.steps,
            rate=self.rate,
            clip=self.clip,
        )
        scores = torch.empty(len(updates), dtype=torch.float64, device=updates.device)
        scores[order] = beside_the_server(masks, view.rng, self.threshold)
        kept = scores <= 0.5
        return average_of(updates, kept, scores=scores), None
