"""Named parts of a training recipe: schedules of the learning rate, server optimisers, augmentation.

Each is a small frozen dataclass that is written as a method is, ``fedadam(beta1=0.9)``. Its canonical
text names every parameter, so that the text alone, in a cell's identity, says all there is to say.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any

from annotated_types import Ge, Gt, Le, Lt

from robustbench_fl.api import params
from robustbench_fl.api.spec import Call, Chain, format_chain, parse_chain
from robustbench_fl.core.errors import UsageError, did_you_mean

Share = Annotated[float, Ge(0), Le(1)]
Decay = Annotated[float, Ge(0), Lt(1)]


@dataclass(frozen=True, kw_only=True)
class Constant:
    """The same learning rate in every round."""

    def at(self, round: int, rounds: int) -> float:
        """Return the factor of the learning rate in `round`, from 0, of `rounds`."""
        return 1.0


@dataclass(frozen=True, kw_only=True)
class Cosine:
    """From 1 along half a cosine to `end`, which the round after the last would have.

    References
    ----------
    .. [1] I. Loshchilov, F. Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts",
       ICLR 2017, Equation 5, without restarts.
    """

    end: Share = 0.0

    def at(self, round: int, rounds: int) -> float:
        """Return the factor of the learning rate in `round`, from 0, of `rounds`."""
        return self.end + (1 - self.end) * (1 + math.cos(math.pi * round / rounds)) / 2


@dataclass(frozen=True, kw_only=True)
class Linear:
    """From 1 straight to `end`, which the round after the last would have."""

    end: Share = 0.0

    def at(self, round: int, rounds: int) -> float:
        """Return the factor of the learning rate in `round`, from 0, of `rounds`."""
        return 1 - (1 - self.end) * round / rounds


@dataclass(frozen=True, kw_only=True)
class Step:
    """Multiplied by `factor` after every `every` rounds."""

    every: Annotated[int, Ge(1)]
    factor: Annotated[float, Gt(0), Le(1)] = 0.1

    def at(self, round: int, rounds: int) -> float:
        """Return the factor of the learning rate in `round`, from 0, of `rounds`."""
        return self.factor ** (round // self.every)


@dataclass(frozen=True, kw_only=True)
class ServerSgd:
    """The server moves along the aggregate: federated averaging."""


@dataclass(frozen=True, kw_only=True)
class ServerMomentum:
    """The server's momentum (FedAvgM): v ← `beta` · v + aggregate, and the step follows v.

    References
    ----------
    .. [1] T.-M. H. Hsu, H. Qi, M. Brown, "Measuring the Effects of Non-Identical Data Distribution
       for Federated Visual Classification", 2019, Section 4.3.
    """

    beta: Decay = 0.9


@dataclass(frozen=True, kw_only=True)
class FedAdam:
    """Adam at the server: m ← β1 m + (1 − β1) Δ, v ← β2 v + (1 − β2) Δ², step m / (√v + τ).

    Δ is the aggregate; v starts at τ², and there is no bias correction, as published.

    References
    ----------
    .. [1] S. Reddi et al., "Adaptive Federated Optimization", ICLR 2021, Algorithm 2.
    """

    beta1: Decay = 0.9
    beta2: Decay = 0.99
    tau: Annotated[float, Gt(0)] = 1e-3


@dataclass(frozen=True, kw_only=True)
class NoAugmentation:
    """Images are learned as they are."""


@dataclass(frozen=True, kw_only=True)
class CropFlip:
    """Each image is shifted by up to `padding` pixels over a black border, and mirrored every other time.

    The usual recipe for CIFAR: a crop of the size of the image out of the padded one, then a
    horizontal flip with probability 1/2.

    References
    ----------
    .. [1] K. He, X. Zhang, S. Ren, J. Sun, "Deep Residual Learning for Image Recognition",
       CVPR 2016, Section 4.2.
    """

    padding: Annotated[int, Ge(0), Le(64)] = 4


Schedule = Constant | Cosine | Linear | Step
ServerOptimiser = ServerSgd | ServerMomentum | FedAdam
Augmentation = NoAugmentation | CropFlip

CHOICES: dict[str, dict[str, type]] = {
    "lr_schedule": {"constant": Constant, "cosine": Cosine, "linear": Linear, "step": Step},
    "server": {"sgd": ServerSgd, "momentum": ServerMomentum, "fedadam": FedAdam},
    "augment": {"none": NoAugmentation, "crop_flip": CropFlip},
}
"""For every setting that is chosen by name: the names, and what is behind each."""
ALIASES = {"fedavgm": "momentum", "adam": "fedadam", "fedavg": "sgd"}
"""Other names, which the canonical text never uses."""


@cache
def choice(setting: str, text: str) -> Any:
    """Return what `text` means for `setting`, such as :class:`Cosine` for ``cosine``.

    Raises
    ------
    UsageError
        On unknown names and on parameters that do not exist or are out of range.
    """
    return _made(setting, parse_chain(text, setting), setting)[1]


def canonical_choice(setting: str, chain: Chain, where: str) -> str:
    """Return the one text of a parsed choice, all its parameters written out.

    Examples
    --------
    >>> canonical_choice("server", parse_chain("fedavgm"), "the flags")
    'momentum(beta=0.9)'
    """
    name, made = _made(setting, chain, where)
    return str(Call(name, {field.name: getattr(made, field.name) for field in dataclasses.fields(made)}))


def _made(setting: str, chain: Chain, where: str) -> tuple[str, Any]:
    known = CHOICES[setting]
    if len(chain) > 1:
        raise UsageError(f"{where}: '>' composes aggregators only; found {format_chain(chain)!r}.")
    (call,) = chain
    name = ALIASES.get(call.name, call.name)
    if name not in known:
        raise UsageError(
            f"{where}: unknown {setting} {call.name!r}. {did_you_mean(call.name, known)}".rstrip()
            + f"\nThere are: {', '.join(known)}."
        )
    return name, params.build(known[name], call.params, f"{where}: {name}")
