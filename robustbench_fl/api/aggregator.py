"""The server's side: what a rule sees, what it returns, what it must implement."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from robustbench_fl.api.holds import EVERY_KIND, SampleKind
from robustbench_fl.api.needs import Need
from robustbench_fl.api.state import State
from robustbench_fl.core.errors import UndeclaredAccess

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from robustbench_fl.api.model import LayerShapes, Model


@dataclass(frozen=True, kw_only=True)
class ServerSpec:
    """What is fixed for a whole cell and known to every rule when its state is made.

    Parameters
    ----------
    n_clients : int
        Clients of the federation, not of one round.
    n_params : int
        Length of the flat parameter vector.
    layer_shapes : tuple of (str, tuple of int)
        Names and shapes of the parameter tensors in flattening order.
    device : str
        Where the updates live, ``"cpu"`` or ``"cuda"``.
    """

    n_clients: int
    n_params: int
    layer_shapes: LayerShapes
    device: str = "cpu"


@dataclass(frozen=True, kw_only=True)
class RootData:
    """The server's own clean data.

    Parameters
    ----------
    images : Tensor [r, ...]
        Normalised inputs.
    labels : Tensor [r]
        Their classes.
    train : callable
        ``train() -> Tensor [n_params]``: the update that the clients' own local recipe
        yields on the root data from the current global model.
    """

    images: Tensor
    labels: Tensor
    train: Callable[[], Tensor]


class ServerView:
    """What the server may see in one round, built from a rule's declared needs.

    Attributes
    ----------
    round : int
        Server round, from 0.
    rng : numpy.random.Generator
        The server's own stream of this round.
    layer_shapes : tuple of (str, tuple of int)
        Names and shapes of the parameter tensors.
    f : int
        Assumed number of malicious clients among this round's rows (``Need.F``).
    root : RootData
        The server's clean data (``Need.ROOT_DATA``).
    model : Model
        The network as a function of flat parameters (``Need.MODEL``).
    params : Tensor [n_params]
        Global parameters at the start of the round (``Need.MODEL``).
    client_ids : tuple of int
        The sender of each row (``Need.CLIENT_IDS``).
    last_step : Tensor [n_params] or None
        The change of the global parameters in the round before, ``None`` in round 0
        (``Need.HISTORY``).
    sample_counts : Tensor [n]
        Samples each client claims to have (``Need.SAMPLE_COUNTS``).
    recipe : ClientRecipe
        The clients' training, to be run by the server (``Need.RECIPE``).
    """

    _PUBLIC = ("round", "rng", "layer_shapes")
    _GATED: ClassVar[Mapping[str, Need]] = {
        "f": Need.F,
        "root": Need.ROOT_DATA,
        "model": Need.MODEL,
        "params": Need.MODEL,
        "client_ids": Need.CLIENT_IDS,
        "last_step": Need.HISTORY,
        "sample_counts": Need.SAMPLE_COUNTS,
        "recipe": Need.RECIPE,
    }

    def __init__(
        self,
        needs: frozenset[Need],
        *,
        round: int,
        rng: np.random.Generator,
        layer_shapes: LayerShapes,
        **gated: Any,
    ) -> None:
        unknown = set(gated) - set(self._GATED)
        if unknown:
            raise TypeError(f"A server's view has no {', '.join(sorted(unknown))}.")
        self.needs = needs
        self.round = round
        self.rng = rng
        self.layer_shapes = layer_shapes
        self._gated = gated

    def __getattr__(self, name: str) -> Any:
        """Return what was declared; refuse anything else."""
        if name.startswith("_") or name not in self._GATED:
            raise UndeclaredAccess(
                f"The server's view has no {name!r}. It has: {', '.join((*self._PUBLIC, *self._GATED))}."
            )
        need = self._GATED[name]
        if need not in self.needs:
            raise UndeclaredAccess(
                f"The rule read view.{name} without declaring it. Add Need.{need.name} to its `needs`."
            )
        if name not in self._gated:
            raise UndeclaredAccess(
                f"view.{name} is declared (Need.{need.name}) but not available here: "
                f"{need.value} was not given."
            )
        return self._gated[name]

    def narrowed(self, needs: frozenset[Need], **changes: Any) -> ServerView:
        """Return the view for one stage: at most `needs`, with `changes` in place.

        A value given as ``None`` in `changes` is taken away (client identity, after bucketing).
        """
        gated = {k: v for k, v in {**self._gated, **changes}.items() if v is not None or k == "last_step"}
        return ServerView(
            needs & self.needs, round=self.round, rng=self.rng, layer_shapes=self.layer_shapes, **gated
        )


@dataclass(frozen=True)
class Aggregation:
    """What a rule returns for one round.

    Parameters
    ----------
    aggregate : Tensor [n_params]
        The step the server takes. All zeros keeps the model.
    weights : Tensor [n], optional
        Weight of each client in the aggregate, where the rule is a weighted mean.
    selected : bool Tensor [n], optional
        Clients used in the aggregate.
    rejected : bool Tensor [n], optional
        Clients judged malicious. Selecting is not accusing: Krum selects one client and
        rejects nobody.
    scores : Tensor [n], optional
        Suspicion, higher is more suspect.
    diagnostics : mapping of str to Tensor [n]
        Further values per client that are stored with the cell for figures.
    """

    aggregate: Tensor
    weights: Tensor | None = None
    selected: Tensor | None = None
    rejected: Tensor | None = None
    scores: Tensor | None = None
    diagnostics: Mapping[str, Tensor] = field(default_factory=dict)


class Aggregator(ABC):
    """A rule that turns one round's updates into one step.

    A concrete rule is a frozen, keyword-only dataclass whose fields are its hyper-parameters
    and nothing else; they are exactly its part of a cell's key. Class-level facts below are
    declared, and held against the rule by the conformance checks; ``robustbench-fl list`` shows
    what it needs and whether it is a detector.
    """

    kind: ClassVar[str] = "aggregators"

    takes: ClassVar[frozenset[SampleKind]] = EVERY_KIND
    """The samples on which it can work."""
    detector: ClassVar[bool] = False
    """Whether ``rejected`` is an accusation, so that TPR and FPR are computed."""
    coordinatewise: ClassVar[bool] = False
    """Whether each coordinate of the aggregate depends on that column alone."""
    robust: ClassVar[bool] = True
    """Whether one unbounded row moves the aggregate by a bounded amount."""
    translation: ClassVar[bool] = True
    """Whether adding a vector to all updates adds it to the aggregate."""
    scale: ClassVar[bool] = True
    """Whether multiplying all updates by c > 0 multiplies the aggregate."""
    trajectories: ClassVar[bool] = False
    """Whether it takes an update for the way of a training that began at the global model.

    Worker momentum, which mixes the updates of many rounds, is none: the rule is not run with it.
    """
    baseline: ClassVar[Literal["honest", "root", "local"] | None] = None
    """What a baseline shows; ``None`` for every rule that is compared. A baseline is never ranked.

    ``"honest"``: it is given the honest rows only. ``"root"``: nothing but the root set is learned from;
    no client trains, and the aggregate is the server's step. ``"local"``: every client trains on its own,
    no update is sent, and the mean honest client is evaluated.
    """

    tuning: ClassVar[Mapping[str, tuple[Any, ...]]] = MappingProxyType({})
    """Values of its own parameters among which tuning picks, the default among them.

    They change nothing that the rule must know. Empty for a rule that has nothing to tune.
    """

    @property
    def needs(self) -> frozenset[Need]:
        """What the rule must know; may depend on its parameters."""
        return frozenset()

    def infeasible(self, n_clients: int, f: int) -> str | None:
        """Return why the rule cannot work with `n_clients` rows and `f` assumed, or ``None``."""
        return None

    def refuses(self, model: Model) -> str | None:
        """Return why the rule cannot judge updates of `model`, or ``None``."""
        return None

    def init_state(self, spec: ServerSpec) -> State | None:
        """Return the state before the first round, ``None`` for a rule without memory."""
        return None

    @abstractmethod
    def aggregate(self, updates: Tensor, view: ServerView, state: Any) -> tuple[Aggregation, State | None]:
        """Aggregate one round.

        Parameters
        ----------
        updates : Tensor [n, n_params]
            One row a client, its parameters minus the global ones, float32. Never changed.
        view : ServerView
            What the rule declared in :attr:`needs`, and nothing else.
        state : State or None
            What the round before returned. Never changed.

        Returns
        -------
        Aggregation
            The step and, where the rule has them, weights, selection, accusation and scores.
        State or None
            The state for the next round.
        """


class PreAggregator(ABC):
    """A linear map over clients that is applied before a rule: ``nnm > krum``.

    Every published pre-aggregation replaces the rows by weighted sums of rows (group means,
    neighbour means, clipped rows), with weights that depend on the data. So a pre-aggregator
    returns the weights, and the pipeline applies them: by column blocks where the rule that
    follows works by coordinate, so that no second copy of the updates is made.
    """

    kind: ClassVar[str] = "aggregators"

    keeps_clients: ClassVar[bool] = True
    """Whether row i of the result still stands for client i (false for bucketing)."""
    tuning: ClassVar[Mapping[str, tuple[Any, ...]]] = MappingProxyType({})
    """As of an :class:`Aggregator`."""

    @property
    def needs(self) -> frozenset[Need]:
        """What the map must know."""
        return frozenset()

    def infeasible(self, n_clients: int, f: int) -> str | None:
        """Return why the map cannot work with `n_clients` rows and `f` assumed, or ``None``."""
        return None

    def n_rows(self, n_clients: int) -> int:
        """Return how many rows come out of `n_clients`."""
        return n_clients

    def init_state(self, spec: ServerSpec) -> State | None:
        """Return the state before the first round."""
        return None

    @abstractmethod
    def mixing(self, updates: Tensor, view: ServerView, state: Any) -> tuple[Tensor, State | None]:
        """Return the weights of the map.

        Parameters
        ----------
        updates : Tensor [n, n_params]
            One row a client. Never changed.
        view, state
            As in :meth:`Aggregator.aggregate`.

        Returns
        -------
        Tensor [n_rows, n] or [n]
            Row i of the result is ``weights[i] @ updates``; one dimension stands for a
            diagonal matrix (each row multiplied by its own factor).
        State or None
            The state for the next round.
        """
