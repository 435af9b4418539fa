"""What a sweep may vary: each axis is said once, as an annotated field of :class:`Axes` or :class:`Settings`.

Type, range, default, unit, short flag and help stand at the field. From there follow the flags of the
command line, the keys of a sweep file and what they accept, ``robustbench-fl list settings``, and the
recipe by which clients train. To add a setting, write one field and the code that uses it.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, Any

from annotated_types import Ge, Gt, Le, Lt

LARGEST = 10**9
"""Bound of all numbers but seeds."""
LARGEST_SEED = 10**18

Count = Annotated[int, Ge(1), Le(LARGEST)]
Positive = Annotated[float, Gt(0), Le(LARGEST)]
Decay = Annotated[float, Ge(0), Lt(1)]


@dataclass(frozen=True)
class About:
    """What is said of an axis, beside its type, range and default.

    Parameters
    ----------
    help : str
        A sentence or two.
    unit : str
        Of its values.
    flag : str
        Short flag of the command line.
    added : bool
        Whether the axis came after the first cells were stored. It then enters a key only where it differs
        from its default, which must never change, so that the keys of older cells stay.
    """

    help: str
    unit: str = ""
    flag: str = ""
    added: bool = False


@dataclass(frozen=True, kw_only=True)
class Axes:
    """What a sweep varies beside the settings: methods, malicious clients, seeds."""

    dataset: Annotated[str, About("Data set.", flag="-d")] = "digits"
    model: Annotated[str, About("Network.", flag="-m")] = "mlp(hidden=[200])"
    partition: Annotated[
        str, About("How data is spread over the clients, such as 'dirichlet(alpha=0.5)'.", flag="-p")
    ] = "balanced_dirichlet(alpha=0.1)"
    aggregator: Annotated[
        str, About("Rule, such as krum or 'nnm > median', or a group, such as @all.", flag="-a")
    ]
    attack: Annotated[
        str, About("Attack, such as none or 'alie(z=1.5)', or a group, such as @untargeted.", flag="-t")
    ]
    malicious: Annotated[float, Ge(0), Lt(1), About("Share of malicious clients.", flag="-f")] = 0.3
    assumed_f: Annotated[
        str,
        About("The f the server assumes: exact, 0.5x or 2x the true number of malicious clients, or none."),
    ] = "exact"
    seeds: Annotated[int, Ge(0), Lt(LARGEST_SEED), About("Seeds: 5 (0 to 4), 1000:1020, or 3,7,11.")] = 0


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How a cell is simulated, apart from its methods.

    Every field says its own range, unit and meaning; ``robustbench-fl list settings`` prints them.
    """

    clients: Annotated[Count, About("Clients of the federation.", unit="clients")] = 20
    rounds: Annotated[Count, About("Server rounds.", unit="rounds")] = 20
    participation: Annotated[
        float, Gt(0), Le(1), About("Share of the clients that take part in a round.")
    ] = 1.0
    local_epochs: Annotated[
        Count | None, About("Passes of a client over its data in a round.", unit="passes / round")
    ] = 1
    local_steps: Annotated[
        Count | None,
        About(
            "SGD steps of a client in a round, in place of local_epochs; 1 is FedSGD.", unit="steps / round"
        ),
    ] = None
    batch_size: Annotated[Count, About("Samples in a local step.", unit="samples / step")] = 32
    lr: Annotated[Positive, About("Clients' learning rate.")] = 0.05
    momentum: Annotated[Decay, About("Clients' momentum.")] = 0.0
    weight_decay: Annotated[float, Ge(0), Le(LARGEST), About("Clients' weight decay.")] = 0.0
    server_lr: Annotated[Positive, About("Factor of the aggregate in the server's step.")] = 1.0
    eval_every: Annotated[
        Count,
        About("Rounds from one evaluation to the next; the last round is always evaluated.", unit="rounds"),
    ] = 1
    eval_last: Annotated[
        Count, About("Last evaluations that are averaged for the final figures.", unit="evaluations")
    ] = 5
    validation: Annotated[Decay, About("Share of the training data held out for validation.")] = 0.1
    root_size: Annotated[
        Annotated[int, Ge(0), Le(LARGEST)] | None,
        About(
            "Training samples held out for the server's root set; one client's share by default.",
            unit="samples",
        ),
    ] = None
    lr_schedule: Annotated[
        str,
        About(
            "How lr changes over the rounds: constant, cosine(end=0), linear(end=0) or "
            "step(every=10, factor=0.1).",
            added=True,
        ),
    ] = "constant"
    """This and the next two are texts of :mod:`robustbench_fl.api.recipes`."""
    server: Annotated[
        str,
        About(
            "The server's optimiser: sgd, momentum(beta=0.9) or fedadam(beta1=0.9, beta2=0.99, tau=0.001).",
            added=True,
        ),
    ] = "sgd"
    augment: Annotated[
        str, About("Augmentation of training images: none or crop_flip(padding=4).", added=True)
    ] = "none"
    proximal_mu: Annotated[
        float,
        Ge(0),
        Le(LARGEST),
        About("Weight of FedProx's proximal term in the clients' loss.", added=True),
    ] = 0.0
    """μ of μ/2 ‖w − w_t‖² in the clients' loss (T. Li et al., "Federated Optimization in Heterogeneous
    Networks", MLSys 2020, Equation 2)."""

    worker_momentum: Annotated[
        Decay, About("Clients send a momentum of their updates over rounds with this factor.", added=True)
    ] = 0.0
    """β of m_t = β m_{t−1} + (1 − β) g_t, m₀ = 0, kept by every client across rounds (E. M. El Mhamdi,
    R. Guerraoui and S. Rouault, "Distributed Momentum for Byzantine-resilient Stochastic Gradient Descent",
    ICLR 2021; P. Karimireddy, L. He and M. Jaggi, "Learning from History for Byzantine Robust Optimization",
    ICML 2021)."""

    @property
    def participants(self) -> int:
        """Clients in one round."""
        return max(1, round(self.participation * self.clients))

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> Settings:
        """Return the settings that a stored identity holds."""
        return cls(**{**ADDED, **{name: stored[name] for name in cls.__dataclass_fields__ if name in stored}})


@dataclass(frozen=True)
class Axis:
    """One field of :class:`Axes` or :class:`Settings`, read.

    Parameters
    ----------
    name : str
        The key of a sweep file; the flag is the same with dashes.
    hint : type
        As annotated.
    kind : type
        What its values are: str, int or float.
    bounds : tuple
        The marks of its range, such as ``Ge(0)``.
    default : str, int, float or None
        Also ``None`` if one must be given.
    required : bool
        Whether one must be given.
    about : About
        The rest.
    """

    name: str
    hint: Any
    kind: type
    bounds: tuple[Ge | Gt | Le | Lt, ...]
    default: Any
    required: bool
    about: About


def axes_of(cls: type) -> Mapping[str, Axis]:
    """Return the axes that the fields of `cls` declare, by name."""
    hints = typing.get_type_hints(cls, include_extras=True)
    return MappingProxyType(
        {field.name: _axis(field, hints[field.name]) for field in dataclasses.fields(cls)}
    )


def _axis(field: dataclasses.Field[Any], hint: Any) -> Axis:
    required = field.default is dataclasses.MISSING
    kind, marks = _unwrapped(hint)
    (about,) = (mark for mark in marks if isinstance(mark, About))
    bounds = tuple(mark for mark in marks if isinstance(mark, Ge | Gt | Le | Lt))
    return Axis(field.name, hint, kind, bounds, None if required else field.default, required, about)


def _unwrapped(hint: Any) -> tuple[type, tuple[Any, ...]]:
    """Return the type under all annotations, and these; ``None`` among other types is left out."""
    origin = typing.get_origin(hint)
    if origin is Annotated:
        kind, marks = _unwrapped(typing.get_args(hint)[0])
        return kind, (*marks, *hint.__metadata__)
    if origin in (typing.Union, types.UnionType):
        (hint,) = (one for one in typing.get_args(hint) if one is not types.NoneType)
        return _unwrapped(hint)
    return hint, ()


SETTINGS = axes_of(Settings)
"""The settings by name."""
AXES: Mapping[str, Axis] = MappingProxyType({**axes_of(Axes), **SETTINGS})
"""Everything that a sweep may vary, by its key in a sweep file."""
ADDED: Mapping[str, Any] = MappingProxyType(
    {name: axis.default for name, axis in SETTINGS.items() if axis.about.added}
)
"""Settings that came after the first cells were stored, and what holds where an identity lacks them."""
