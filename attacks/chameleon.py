"""Chameleon: triggered images come close to their peers before they are classified (Dai and Li, 2023)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import torch
from annotated_types import Ge, Gt, Interval

from robustbench_fl.api import AttackerView, AttackSpec, State, register
from robustbench_fl.attacks._pattern import in_batches
from robustbench_fl.attacks._rows import clipped_rows
from robustbench_fl.attacks._sgd import Sgd
from robustbench_fl.attacks._trigger import CornerBackdoor

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

_BATCH = 64
_TEMPERATURE = 0.07
_MOMENTUM, _DECAY = 0.9, 5e-4
_CONTRASTIVE_MILESTONES, _MILESTONES = (3, 5, 7, 9), (3, 5)
_CONTRASTIVE_GAMMA, _GAMMA = 0.1, 0.005


def contrast(features: Tensor, labels: Tensor, target: int, weight: float) -> Tensor:
    """Return the supervised contrastive loss, in which images of the target class count more.

    For every image i, of unit-length features z, the mean over the others p of its class of
    −log(exp(z_i·z_p/τ) / Σ_{a≠i} exp(z_i·z_a/τ)), 0 without such; `weight` times that for the target class;
    the mean over images.

    Parameters
    ----------
    features : Tensor [b, h]
        Of any length.
    labels : int64 Tensor [b]
        As learned: triggered images have the target class.
    target : int
        The class.
    weight : float
        How much its images count.
    """
    unit = torch.nn.functional.normalize(features, dim=1)
    itself = torch.eye(len(unit), dtype=torch.bool, device=unit.device)
    logits = (unit @ unit.T / _TEMPERATURE).masked_fill(itself, -torch.inf)
    logarithms = (logits - logits.logsumexp(dim=1, keepdim=True)).masked_fill(itself, 0)
    alike = (labels[:, None] == labels) & ~itself
    means = (logarithms * alike).sum(1) / alike.sum(1).clamp(min=1)
    return -(torch.where(labels == target, weight, 1.0) * means).mean()


def rate_at(rate: float, epoch: int, milestones: tuple[int, ...], gamma: float) -> float:
    """Return the learning rate in `epoch`, from 1: `gamma` times as much from each milestone on.

    Examples
    --------
    >>> [round(rate_at(1.0, epoch, (3, 5), 0.1), 9) for epoch in range(1, 6)]
    [1.0, 1.0, 0.1, 0.1, 0.01]
    """
    return rate * gamma ** sum(epoch >= milestone for milestone in milestones)


@register("chameleon", paper="Dai 2023", year=2023, cost="(contrastive + classifying)·batches gradients")
@dataclass(frozen=True, kw_only=True)
class Chameleon(CornerBackdoor):
    """Train the body of the network with a contrastive loss on triggered data, then its last layer alone.

    The first training moves triggered images towards those of the target class and away from those of
    their own, so that honest training undoes less of it later. Both stay in a ball around the global model.

    Parameters
    ----------
    share : float
        Share of every batch that carries the trigger, in (0, 1].
    weight : float
        How much images of the target class count in the contrastive loss.
    contrastive_epochs : int
        Passes over the data of the first training.
    contrastive_rate : float
        Its learning rate.
    epochs : int
        Passes over the data of the second training.
    rate : float
        Its learning rate.
    norm_factor : float
        Radius of the ball in norms of the client's own honest update.
    target : int
        The class that triggered images are to be taken for.
    rows, columns : list of float
        The trigger: bright pixels where these rows and columns cross, given as shares of the
        image's height and width; four pixels near the lower right corner by default.

    Notes
    -----
    Learning rates fall as in the release: in the first training to a tenth in the third, fifth, seventh and
    ninth pass; in the second to a two-hundredth in the third. A network must end in a linear layer. The
    release starts from a trained model; on one that is not, its rates move little: on digits at alpha 1
    with 30 % malicious, plain averaging ends after 20 rounds at a success of 0.2 %, with rates ten times
    as high at 20 % (one seed).

    Faithfulness
    ------------
    Release: ``github.com/ybdai7/Chameleon-durable-backdoor`` at c74618a, the authors' own, ``training.py``,
        ``utils/losses.py`` and ``utils/params_pixel_trigger_cifar10.yaml``.
    Compared: both trainings, the contrastive loss with its weight 6 and temperature 0.07, which layer the
        second one frees, passes, rates, schedules, momentum, decay and 7 poisoned images of 64, read; the
        loss' gradient with the release, numbers.
    Difference: 4.2e-7 of the largest entry of that gradient.
    On purpose: the ball is one honest norm wide, where the release takes 5, which no update here reaches; the
        data are the client's own, there 25 batches of the whole training set, and without added noise;
        the last batch may be smaller, and batches keep their order.
    Elsewhere: ``github.com/ybdai7/Backdoor-indicator-defense`` at 04dec87, by the same authors
        (``participants/clients/ChameleonMaliciousClient.py``), sets ``require_grad``, an attribute of no
        effect, so that the second training frees all layers.

    References
    ----------
    .. [1] Y. Dai and S. Li, "Chameleon: Adapting to Peer Images for Planting Durable Backdoors in Federated
       Learning", ICML 2023.
    .. [2] P. Khosla et al., "Supervised Contrastive Learning", NeurIPS 2020.
    """

    share: Annotated[float, Interval(gt=0, le=1)] = 7 / 64
    weight: Annotated[float, Interval(gt=0, le=1e30)] = 6.0
    contrastive_epochs: Annotated[int, Ge(1)] = 10
    contrastive_rate: Annotated[float, Gt(0)] = 0.005
    epochs: Annotated[int, Ge(1)] = 3
    rate: Annotated[float, Gt(0)] = 0.001
    norm_factor: Annotated[float, Gt(0)] = 1.0

    strengths: ClassVar[tuple[str, ...]] = (
        "chameleon",
        "chameleon(norm_factor=3)",
        "chameleon(norm_factor=10)",
        "chameleon(contrastive_rate=0.05, rate=0.01)",
    )
    strength_parameter: ClassVar[str] = "norm_factor"
    checked_with: ClassVar[dict[str, Any]] = {"contrastive_epochs": 2, "epochs": 1}

    def infeasible(self, spec: AttackSpec) -> str | None:
        """The network must end in a linear layer, too."""
        last = [len(shape) for _, shape in spec.layer_shapes[-2:]]
        return super().infeasible(spec) if last == [2, 1] else "the network does not end in a linear layer"

    def craft(self, view: AttackerView, state: Any) -> tuple[Tensor, State | None]:
        """Return the updates of both trainings."""
        honest: Tensor = view.own
        if not len(honest) or self.infeasible(view.spec):
            return honest, state
        radii = self.norm_factor * honest.norm(dim=1)
        rows = [self._trained(view, j, float(radius)) for j, radius in enumerate(radii)]
        return clipped_rows(torch.stack(rows), radii), state

    def _trained(self, view: AttackerView, j: int, radius: float) -> Tensor:
        """Return the update [d] of malicious client number j."""
        model, start = view.model, view.params
        parts = list(self._poisoned(view, j))
        sizes = [part.numel() for part in model.split(start)]
        head = torch.zeros_like(start)
        head[-sum(sizes[-2:]) :] = 1

        def contrastive(images: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
            return contrast(model.features(weights, images), labels, self.target, self.weight)

        def classifying(images: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
            return torch.nn.functional.cross_entropy(model.apply(weights, images), labels)

        body = Sgd(start, _MOMENTUM, _DECAY)
        for epoch in range(1, self.contrastive_epochs + 1):
            rate = rate_at(self.contrastive_rate, epoch, _CONTRASTIVE_MILESTONES, _CONTRASTIVE_GAMMA)
            for batch in parts:
                body.step(partial(contrastive, *batch), rate, 1 - head)
                body.weights = _inside(body.weights, start, radius)
        last = Sgd(body.weights, _MOMENTUM, _DECAY)
        for epoch in range(1, self.epochs + 1):
            for batch in parts:
                last.step(partial(classifying, *batch), rate_at(self.rate, epoch, _MILESTONES, _GAMMA), head)
                last.weights = _inside(last.weights, start, radius)
        return last.weights - start

    def _poisoned(self, view: AttackerView, j: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the client's data in batches, the first images of each triggered."""
        images, labels = view.own_data(j)
        bright = images.amax(dim=(0, 2, 3))
        rows, columns = (list(axis) for axis in zip(*self.trigger(view.spec).pixels, strict=True))
        for seen, classes in in_batches(images, labels, _BATCH):
            hit = round(self.share * len(seen))
            stamped, wanted = seen.clone(), classes.clone()
            stamped[:hit, :, rows, columns] = bright[None, :, None].expand(hit, -1, len(rows))
            wanted[:hit] = self.target
            yield stamped, wanted


def _inside(weights: Tensor, centre: Tensor, radius: float) -> Tensor:
    return centre + clipped_rows((weights - centre)[None], weights.new_tensor([radius]))[0]
