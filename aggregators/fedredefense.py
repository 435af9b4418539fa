"""FedREDefense: reject updates that no training on a few samples re-creates (Xie et al., 2024)."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import torch
from annotated_types import Ge, Gt, Lt
from torch import Tensor

from robustbench_fl.aggregators._reconstruction import Rates, Reconstruction, solve
from robustbench_fl.aggregators._reconstruction_memory import FedREDefenseState
from robustbench_fl.aggregators._reconstruction_paths import Path, distance_for
from robustbench_fl.aggregators._reconstruction_presets import PRESETS, first_budget, scaled_image_rate
from robustbench_fl.aggregators._reconstruction_rest import aggregate_rest, rule_for_rest
from robustbench_fl.aggregators._reconstruction_round import Test, judge
from robustbench_fl.api import (
    Aggregation,
    Aggregator,
    Need,
    ServerSpec,
    ServerView,
    register,
    torch_generator,
)

if TYPE_CHECKING:
    from robustbench_fl.api import Model
_BACK_OFF = 5.0
"""What a diverging client's image and label rates are divided by."""


def reconstruct(
    model: Model | Callable[[Tensor, Tensor], Tensor],
    start: Tensor,
    ends: Tensor,
    *,
    images: Tensor,
    labels: Tensor,
    step: float | Tensor,
    lr_image: float | Tensor,
    lr_label: float,
    lr_step: float,
    momentum: float = 0.5,
    unroll_steps: int = 5,
    budget: int | Tensor,
    threshold: float = 0.6,
    early_stop: bool = True,
    record_trace: bool = False,
    back_off: float | None = None,
    path: Path = "auto",
    chunk: int | Literal["auto"] = "auto",
) -> Reconstruction:
    """Re-create client models by a few training steps on learned samples, all clients at once.

    Parameters
    ----------
    model : Model or callable
        A network of the zoo, or ``apply(params [P], images [b, ...]) -> logits [b, C]``.
    start : Tensor [P]
        Global parameters before the round.
    ends : Tensor [n, P]
        The clients' parameters after it.
    images : Tensor [b, ...] or [n, b, ...]
        Synthetic samples to start from, shared or one set a client. If n = b and a function
        leaves both readings open, they are taken as shared exactly if `labels` are.
    labels : Tensor [b, C] or [n, b, C]
        Their label logits.
    step : float or Tensor [n]
        First step size a.
    lr_image, lr_label, lr_step : float
        Learning rates of images, logits and step size; `lr_image` may be one a client.
    momentum : float
        Of the SGD on all three; its buffers start empty.
    unroll_steps : int
        Gradient steps S that must lead from `start` to `ends`.
    budget : int or Tensor [n]
        Evaluations of E at most.
    threshold : float
        A client with E below it stops at once, with its data as they are.
    early_stop : bool
        If false, everybody uses the whole budget.
    record_trace : bool
        Whether to return E of every evaluation.
    back_off : float, optional
        Start a client anew with its image and label rates divided by this whenever E is above
        1.5 and rising. Not in the paper.
    path : {"auto", "vmap", "stacked", "lowrank"}
        How to unroll; all are exact.
    chunk : int or "auto"
        Clients unrolled together, by default as many as 128 MiB of graphs allow.

    Returns
    -------
    Reconstruction
        ``errors [n]``, ``iterations [n]``, ``images``, ``labels``, ``steps`` and, with
        `record_trace`, ``trace [n, K]``.

    Raises
    ------
    UsageError
        If the network has not what `path` needs.
    """
    n = len(ends)
    return solve(
        distance_for(model, start, unroll_steps, path),
        ends - start,
        images=images if _per_client(model, images, labels, n) else images.expand(n, *images.shape),
        labels=labels if labels.ndim == 3 else labels.expand(n, *labels.shape),
        steps=torch.as_tensor(step, dtype=start.dtype, device=start.device).expand(n),
        rates=Rates(image=lr_image, label=lr_label, step=lr_step, momentum=momentum, back_off=back_off),
        budget=torch.as_tensor(budget, dtype=torch.int64, device=start.device).expand(n),
        threshold=threshold,
        early_stop=early_stop,
        record_trace=record_trace,
        chunk=chunk,
    )


def _per_client(model: object, images: Tensor, labels: Tensor, n: int) -> bool:
    """Whether `images` have one set a client."""
    shape = getattr(model, "input_shape", None)
    if shape is not None:
        return images.ndim == len(shape) + 2
    samples = labels.shape[-2]
    return tuple(images.shape[:2]) == (n, samples) and (n != samples or labels.ndim == 3)


@register("fedredefense", version=2, paper="Xie 2024", year=2024, cost="n·K·S passes")
@dataclass(frozen=True, kw_only=True)
class FedREDefense(Aggregator):
    """Reject clients whose update cannot be reconstructed from a few synthetic samples.

    Each client is judged by itself: the server learns one synthetic image a class, soft labels
    and a step size such that S gradient steps on them lead from the global model to the
    client's. The error left, E = ‖φ_S − w_i‖² / ‖w_t − w_i‖², stays high for updates that no
    training produced. No number of malicious clients, no data and no other client are needed.

    Parameters
    ----------
    preset : {"fast", "paper-fashion_mnist", "paper-cifar10", "paper-cinic10"}
        Rates and budgets; the parameters with default ``none`` override them.
    lr_image, lr_label, lr_step : float, optional
        Learning rates of images, label logits and step size.
    step : float or "auto", optional
        First step size; ``auto`` sets it so that S steps move the parameters `auto_step` times as
        far as the client's update, whatever the clients' learning rate.
    auto_step : float
        See `step`.
    later_step : {"kept", "scaled"}, optional
        Beyond the paper. What a client's step size becomes from one round to the next: ``kept``
        as it was, or ``scaled`` with the norm of the client's update, which shrinks as training
        converges; a step grown too large makes the reconstruction diverge.
    momentum : float
        Of the SGD on the synthetic data.
    unroll_steps : int
        Gradient steps S.
    threshold : float
        Clients with a larger E are rejected.
    first_budget, later_budget : int, optional
        Iterations for a client without and with synthetic data of its own. The budget is part of
        the test: given enough of it, crafted updates are reconstructed too.
    ban : "forever", "round" or int
        For how long a rejected client stays out: for good, for the round, or for so many rounds more.
    nan_policy : {"reject", "released"}
        A client whose error is not finite is rejected; in the released code one NaN also
        switches the threshold off for everybody else in the round.
    zero_update : {"reject", "accept"}
        What becomes of updates of norm below 1e-12, which are not unrolled (with
        ``nan_policy=released`` they are).
    rest : str
        Rule for the clients that are left, ``mean`` or the quoted text of any other.
    early_stop : bool
        Whether a client stops as soon as E is below the threshold. Without it E ranks clients.
    image_rate : {"auto", "fixed"}, optional
        Beyond the paper. ``auto`` takes the image rate for 64 pixels and scales it with the
        input size, at most tenfold; when E is above 1.5 and rising it is cut by 5, the label rate
        with it, and the client starts anew, within its budget. Default: the preset's; ``fixed``
        if `lr_image` is given.
    retest : int or "never", optional
        Beyond the paper. A client that passed so many tests in a row starts again from fresh
        synthetic data, with the first budget: in the first round an attack close to the mean of
        all updates resembles training, and synthetic data once learned help it ever after.
    restart : bool
        Beyond the paper. A client that fails gets a second attempt from fresh synthetic data
        (another draw) and the first budget.
    decision : {"round", "sequential"}
        Beyond the paper. Who fails is rejected for the round in either case. ``round`` bans at
        once; ``sequential`` bans when the log-likelihood ratio over the rounds, of failing 80 %
        against 10 % of the time and never below 0, reaches log((1 − `false_alarm`) /
        `false_alarm`): three failures in a row at 0.01.
    false_alarm : float
        See `decision`.

    Notes
    -----
    Differs from the released code where that fails: see `nan_policy` and `zero_update`; if
    everybody is rejected the model stays; nothing but the synthetic data is remembered; a client
    that comes back from a ban starts from fresh synthetic data. The ``paper-*`` presets learn the
    step size without bounds, as the authors do; ``fast`` keeps it fixed and positive.

    Scores: the share of the budget used in (0, 1] for clients that pass, since with early stop
    the errors of honest clients bunch just under the threshold; 1 + E / (1 + E) for those that
    fail, 2 for those banned or not finite. Without early stop the score is E / (1 + E).

    Label flipping is genuine training and is never detected; neither are flipped signs, which soft
    labels re-create as well. Linear models have no power. The sequential decision is slower to
    ban: an attack whose updates fail now and then only is left out now and then only.

    Faithfulness
    ------------
    Release: ``github.com/xyq7/FedREDefense``, the authors'.
    Compared: numbers, with golden runs of the released code on three small models: every iteration of the
        reconstruction, early stop and warm start.
    Difference: within the tolerances of ``tests/aggregators/test_fedredefense_golden.py``.
    On purpose: see Notes.
    Elsewhere: CRYPTO-KU's library (``github.com/CRYPTO-KU/FL-Byzantine-Library`` at 32922ca,
        ``aggregators/fedredefense.py``) ships a truncated singular value decomposition across clients
        under this name.

    References
    ----------
    .. [1] Y. Xie, M. Fang, N. Z. Gong, "FedREDefense: Defending against Model Poisoning Attacks
       for Federated Learning using Model Update Reconstruction Error", ICML 2024,
       PMLR 235:54460-54474, Section 4.
    .. [2] G. Cazenavette et al., "Dataset Distillation by Matching Training Trajectories",
       CVPR 2022.
    .. [3] R. Pi et al., "DynaFed: Tackling Client Data Heterogeneity with Global Dynamics",
       CVPR 2023.
    """

    preset: Literal["fast", "paper-fashion_mnist", "paper-cifar10", "paper-cinic10"] = "fast"
    lr_image: Annotated[float, Gt(0)] | None = None
    lr_label: Annotated[float, Ge(0)] | None = None
    lr_step: Annotated[float, Ge(0)] | None = None
    step: Literal["auto"] | Annotated[float, Gt(0)] | None = None
    auto_step: Annotated[float, Gt(0)] = 1.5
    later_step: Literal["kept", "scaled"] | None = None
    momentum: Annotated[float, Ge(0), Lt(1)] = 0.5
    unroll_steps: Annotated[int, Ge(1)] = 5
    threshold: Annotated[float, Gt(0)] = 0.6
    first_budget: Annotated[int, Ge(1)] | None = None
    later_budget: Annotated[int, Ge(1)] | None = None
    ban: Literal["forever", "round"] | Annotated[int, Ge(1)] = "forever"
    nan_policy: Literal["reject", "released"] = "reject"
    zero_update: Literal["reject", "accept"] = "reject"
    rest: str = "mean"
    early_stop: bool = True
    image_rate: Literal["auto", "fixed"] | None = None
    retest: Literal["never"] | Annotated[int, Ge(1)] | None = None
    restart: bool = False
    decision: Literal["round", "sequential"] = "round"
    false_alarm: Annotated[float, Gt(0), Lt(0.5)] = 0.01

    detector: ClassVar[bool] = True
    translation: ClassVar[bool] = False
    scale: ClassVar[bool] = False

    def __post_init__(self) -> None:
        """Refuse a rule for the rest that does not exist."""
        rule_for_rest(self.rest)

    @property
    def needs(self) -> frozenset[Need]:
        """Model, client identity and memory, and what the rule for the rest needs."""
        own = frozenset({Need.MODEL, Need.CLIENT_IDS, Need.HISTORY})
        rest = rule_for_rest(self.rest)
        return own | (rest.needs if rest else frozenset())

    def infeasible(self, n_clients: int, f: int) -> str | None:
        """Only the rule for the rest may be."""
        rest = rule_for_rest(self.rest)
        return rest.infeasible(n_clients, f) if rest else None

    def refuses(self, model: Model) -> str | None:
        """Refuse batch normalisation; warn where the test has no power."""
        if model.batch_norm:
            return "batch normalisation keeps statistics beside the parameters, which no gradient re-creates"
        free = model.n_classes * (math.prod(model.input_shape) + model.n_classes)
        if model.linear or model.n_params <= free:
            warnings.warn(
                f"fedredefense has no power on this {'linear ' if model.linear else ''}model: {free} free "
                f"numbers of {model.n_classes} synthetic samples re-create {model.n_params} parameters, "
                "crafted ones too. Use a larger model with hidden layers.",
                stacklevel=2,
            )
        return None

    def init_state(self, spec: ServerSpec) -> FedREDefenseState:
        """Return the state in which every client is new."""
        rest = rule_for_rest(self.rest)
        return FedREDefenseState(rest=rest.init_state(spec) if rest else None)

    def aggregate(
        self, updates: Tensor, view: ServerView, state: FedREDefenseState
    ) -> tuple[Aggregation, FedREDefenseState]:
        """Reconstruct every client that is not banned, leave out those that fail, aggregate the rest."""
        model = view.model
        if state.initial is None:
            state = self._with_images(model, updates, view, state)
        verdict = judge(
            self._test(math.prod(model.input_shape)),
            distance_for(model, view.params, self.unroll_steps),
            updates,
            view.client_ids,
            view.round,
            state,
        )
        outcome, rest_state = aggregate_rest(
            rule_for_rest(self.rest), updates, view, ~verdict.rejected, state.rest
        )
        aggregation = replace(
            outcome,
            rejected=verdict.rejected,
            scores=verdict.scores,
            diagnostics={"error": verdict.errors, "iterations": verdict.iterations},
        )
        return aggregation, replace(verdict.state, rest=rest_state)

    def _with_images(
        self, model: Model, updates: Tensor, view: ServerView, state: FedREDefenseState
    ) -> FedREDefenseState:
        generator = torch_generator(view.rng)
        shape = (2, model.n_classes, *model.input_shape)
        initial, spare = torch.randn(shape, generator=generator).to(updates)
        return replace(state, initial=initial, spare=spare)

    def _test(self, pixels: int) -> Test:
        """Return the settings for inputs of `pixels` numbers, the preset's where none is given."""
        preset = PRESETS[self.preset]
        fixed = preset.image_rate if self.lr_image is None else "fixed"
        automatic = (self.image_rate or fixed) == "auto"
        lr_image = _given(self.lr_image, preset.lr_image)
        rates = Rates(
            image=scaled_image_rate(lr_image, pixels) if automatic else lr_image,
            label=_given(self.lr_label, preset.lr_label),
            step=_given(self.lr_step, preset.lr_step),
            momentum=self.momentum,
            back_off=_BACK_OFF if automatic else None,
        )
        return Test(
            rates=rates,
            step=self.step or preset.step,
            auto_step=self.auto_step,
            later_step=self.later_step or preset.later_step,
            threshold=self.threshold,
            first_budget=self.first_budget or preset.first_budget or first_budget(pixels),
            later_budget=self.later_budget or preset.later_budget,
            early_stop=self.early_stop,
            ban=self.ban,
            nan_policy=self.nan_policy,
            zero_update=self.zero_update,
            retest=self.retest or preset.retest,
            restart=self.restart,
            decision=self.decision,
            false_alarm=self.false_alarm,
        )


def _given(value: float | None, default: float) -> float:
    return default if value is None else value
