"""The attacker's side: what malicious clients see, how they train, what they send."""

from __future__ import annotations

from abc import ABC
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Protocol

from annotated_types import Ge

from robustbench_fl.api.aggregator import Aggregation, Aggregator
from robustbench_fl.api.holds import EVERY_KIND, SampleKind
from robustbench_fl.api.needs import Knowledge
from robustbench_fl.api.state import State
from robustbench_fl.api.trigger import GivenImages, RareImages, Stamp, Trigger
from robustbench_fl.core.errors import UndeclaredAccess

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from robustbench_fl.api.model import LayerShapes, Model


@dataclass(frozen=True, kw_only=True)
class AttackSpec:
    """What is fixed for a whole cell and known to every attacker.

    Parameters
    ----------
    n_clients : int
        Clients of the federation.
    n_malicious : int
        Malicious ones among them.
    n_params : int
        Length of the flat parameter vector.
    layer_shapes : tuple of (str, tuple of int)
        Names and shapes of the parameter tensors in flattening order.
    n_classes : int
        Classes of the task.
    image_shape : tuple of int
        Channels, height, width of one input.
    device : str
        Where the updates live.
    """

    n_clients: int
    n_malicious: int
    n_params: int
    layer_shapes: LayerShapes
    n_classes: int
    image_shape: tuple[int, ...]
    device: str = "cpu"


@dataclass(frozen=True, kw_only=True)
class Poison:
    """How the malicious clients of a round train, where they do not train honestly.

    Parameters
    ----------
    label_map : tuple of int, optional
        Class y is learned as ``label_map[y]``.
    triggers : tuple of Trigger, RareImages or Stamp
        Client number j among the round's malicious ones uses ``triggers[j % len]``; empty for
        no backdoor.
    target : int
        The class that triggered images are labelled with.
    share : float
        Share of the samples of a poisoned pass that carry the trigger, in [0, 1].
    passes : {"all", "odd"}
        Which local passes over the data are poisoned, counted from 1. With fewer local steps than
        a pass takes, a pass is as many steps.
    repeats : int
        How often the local work of an honest client is done, one after the other.
    gradient_mask : Tensor [n_params], optional
        Every gradient is multiplied by it (Neurotoxin).
    radius : Tensor [m], optional
        For each malicious client of the round, in their order: how far its parameters may come
        from where they started. They are pulled back onto this ball (projected gradient descent).
    project_every : int
        Steps from one such projection to the next; there is one after the last step, too.
    """

    label_map: tuple[int, ...] | None = None
    triggers: tuple[Trigger | RareImages | Stamp, ...] = ()
    target: int = 0
    share: float = 1.0
    passes: Literal["all", "odd"] = "all"
    repeats: int = 1
    gradient_mask: Tensor | None = None
    radius: Tensor | None = None
    project_every: int = 1


class Defence(Protocol):
    """The server's rule, to be simulated by an attacker who knows it."""

    rule: Aggregator

    def aggregate(self, crafted: Tensor) -> Aggregation:
        """Return what the server would do if the malicious clients sent `crafted` [m, d].

        The simulation has the honest rows only if the attack knows them (``Knowledge.ALL``);
        otherwise the rule is asked about the m crafted rows alone, in their order.

        Every call in a round starts from the same copy of the rule's state and from the same
        position of the attacker's own random stream.
        """

    def distance_along(
        self, start: Tensor, direction: Tensor, origin: Tensor, m: int
    ) -> Callable[[float], float]:
        """Return the function that takes x to how far the aggregate comes from `origin`.

        All m malicious clients would send ``start + x · direction`` in float32. This asks
        :meth:`aggregate`; the engine's gives the same but for rounding, and for many rules does
        much less for it.

        Parameters
        ----------
        start, direction, origin : float64 Tensor [d]
            The line, and where from: best the honest mean.
        m : int
            Malicious clients of the round.
        """

        def distance(x: float) -> float:
            crafted = (start + x * direction).float().repeat(m, 1)
            return float((self.aggregate(crafted).aggregate.double() - origin).norm())

        return distance

    def with_rule(self, rule: Aggregator) -> Defence:
        """Return the same simulation with `rule` in place of the server's.

        Parameters
        ----------
        rule : Aggregator
            One that can work from the same state: the server's own with other parameters.
        """


class AttackerView:
    """What the malicious clients of one round see, built from the attack's declared knowledge.

    Attributes
    ----------
    round : int
        Server round, from 0.
    rng : numpy.random.Generator
        The attack's own stream of this round.
    n_participants : int
        Clients taking part in this round.
    client_ids : tuple of int
        The malicious ones among them, in the order of their rows; their number is m.
    spec : AttackSpec
        What is fixed for the cell.
    model : Model
        The network as a function of flat parameters; every participant trains it.
    params : Tensor [d]
        The global model that all participants received.
    initial_params : Tensor [d]
        The global model of round 0.
    last_step : Tensor [d] or None
        Change of the global model in the round before, ``None`` in round 0.
    own : Tensor [m, d]
        The update of each malicious client's own training (``Knowledge.OWN`` and above). With worker
        momentum, here and below: what is sent in place of an update.
    train : callable
        ``train(poison)`` returns what the malicious clients' training by the round's recipe gives
        if they poison it so, Tensor [m, d]; ``train(None)`` is ``own`` where :meth:`Attack.poison`
        left them honest. The same batches every time (``Knowledge.OWN``).
    own_data : callable
        ``own_data(j)`` returns the training images [k, channels, height, width], normalised, and
        their classes, int64 Tensor [k], of malicious client number j (``Knowledge.OWN``).
    colluders : Tensor [m, d]
        The same rows, for attacks that let the malicious clients share them
        (``Knowledge.COLLUDERS`` and above).
    honest : Tensor [h, d]
        The honest clients' updates (``Knowledge.ALL``).
    honest_ids : tuple of int
        Who sent each of them (``Knowledge.ALL``).
    defence : Defence
        The server's rule with its state (attacks with ``knows_defence``).
    """

    _LEVEL: ClassVar[Mapping[str, Knowledge]] = {
        "own": Knowledge.OWN,
        "train": Knowledge.OWN,
        "own_data": Knowledge.OWN,
        "colluders": Knowledge.COLLUDERS,
        "honest": Knowledge.ALL,
        "honest_ids": Knowledge.ALL,
    }

    def __init__(
        self,
        knowledge: Knowledge,
        *,
        round: int,
        rng: np.random.Generator,
        n_participants: int,
        client_ids: tuple[int, ...],
        spec: AttackSpec,
        params: Tensor,
        initial_params: Tensor,
        last_step: Tensor | None,
        model: Model | None = None,
        defence: Defence | None = None,
        **gated: Any,
    ) -> None:
        self.knowledge = knowledge
        self.round = round
        self.rng = rng
        self.n_participants = n_participants
        self.client_ids = client_ids
        self.spec = spec
        self.params = params
        self.initial_params = initial_params
        self.last_step = last_step
        self._model = model
        self._defence = defence
        self._gated = gated

    def __getattr__(self, name: str) -> Any:
        # Python also comes here, and drops the first error, when a property below refuses.
        if name == "defence":
            raise UndeclaredAccess("The attack read view.defence without declaring `knows_defence = True`.")
        if name == "model":
            raise UndeclaredAccess("view.model is not available here: the view was made without a network.")
        if name == "known":
            name = "honest" if self.knowledge >= Knowledge.ALL else "colluders"
        if name.startswith("_") or name not in self._LEVEL:
            raise UndeclaredAccess(f"The attacker's view has no {name!r}.")
        if self._LEVEL[name] > self.knowledge:
            raise UndeclaredAccess(
                f"The attack read view.{name}, which takes Knowledge.{self._LEVEL[name].name}; "
                f"it declares Knowledge.{self.knowledge.name}."
            )
        if name not in self._gated:
            raise UndeclaredAccess(f"view.{name} is not available before the clients have trained.")
        return self._gated[name]

    @property
    def model(self) -> Model:
        """The network, which every participant has."""
        if self._model is None:
            raise UndeclaredAccess("no model")
        return self._model

    @property
    def defence(self) -> Defence:
        """The server's rule, for attacks that declare ``knows_defence``."""
        if self._defence is None:
            raise UndeclaredAccess("no defence")
        return self._defence

    @property
    def known(self) -> Tensor:
        """The honest updates the attacker knows: ``honest``, or else ``colluders``."""
        known: Tensor = self.honest if self.knowledge >= Knowledge.ALL else self.colluders
        return known


@dataclass(frozen=True, kw_only=True)
class Attack(ABC):
    """What the malicious clients do.

    A concrete attack is a frozen, keyword-only dataclass whose fields are its parameters. It
    may poison the local training (:meth:`poison`), replace what is sent (:meth:`craft`), or both.

    Parameters
    ----------
    start : int
        First server round of the attack, from 0. Before it the malicious clients are honest.
    stop : int, optional
        First round in which it is over again; never by default.
    placement : {"random", "same_class"}
        Which clients are malicious: the first m of a random order, or those richest in one
        class (drawn at random).
    """

    start: Annotated[int, Ge(0)] = 0
    stop: Annotated[int, Ge(1)] | None = None
    placement: Literal["random", "same_class"] = "random"

    kind: ClassVar[str] = "attacks"

    category: ClassVar[Literal["none", "data", "update", "backdoor"]] = "update"
    """What is tampered with."""
    knows_defence: ClassVar[bool] = False
    """Whether the attack simulates the server's rule."""
    adaptive: ClassVar[bool] = False
    """Whether the attack is optimised against the rule; reported as a separate worst case."""
    takes: ClassVar[frozenset[SampleKind]] = EVERY_KIND
    """The samples on which it can be mounted."""
    family: ClassVar[str] = ""
    """What attacks of one idea have in common, in whatever strength; the attack's own name by default."""
    strengths: ClassVar[tuple[str, ...]] = ()
    """Members of the family among which a pilot picks the worst, the default among them: canonical texts."""
    strength_parameter: ClassVar[str] = ""
    """The parameter that orders `strengths`: members that differ in nothing else stand on one scale."""

    @property
    def knowledge(self) -> Knowledge:
        """What the attacker sees; may depend on the parameters."""
        return Knowledge.OWN

    def test_trigger(self, spec: AttackSpec) -> tuple[Trigger | RareImages | Stamp, int] | None:
        """Return the full trigger and its target class, for measuring attack success."""
        return None

    def current_trigger(
        self, spec: AttackSpec, state: Any
    ) -> tuple[Trigger | RareImages | Stamp | GivenImages, int] | None:
        """Return the same as it is now, for attacks that find it on the way.

        Parameters
        ----------
        spec : AttackSpec
            What is fixed for the cell.
        state : State or None
            What the last round of the attack returned, or :meth:`init_state`.

        Returns
        -------
        tuple or None
            By default what :meth:`test_trigger` gives; ``None`` while there is nothing to measure.
        """
        return self.test_trigger(spec)

    def test_flip(self, spec: AttackSpec) -> tuple[int, int] | None:
        """Return source and target class of a flip, for measuring attack success.

        Success is then the share of the source class's test images taken for the target.
        """
        return None

    def infeasible(self, spec: AttackSpec) -> str | None:
        """Return why the attack cannot be mounted in this setting, or ``None``."""
        return None

    def active(self, round: int) -> bool:
        """Whether the attack is on in `round`."""
        return self.start <= round and (self.stop is None or round < self.stop)

    def init_state(self, spec: AttackSpec) -> State | None:
        """Return the state before the first round, ``None`` for an attack without memory."""
        return None

    def poison(self, view: AttackerView) -> Poison | None:
        """Return how the malicious clients train this round, ``None`` for honestly.

        Called before the training, so `view` holds no updates.
        """
        return None

    def craft(self, view: AttackerView, state: Any) -> tuple[Tensor, State | None]:
        """Return what the malicious clients send.

        Parameters
        ----------
        view : AttackerView
            What the attack declared in :attr:`knowledge`; never changed.
        state : State or None
            What the round before returned; never changed.

        Returns
        -------
        Tensor [m, d]
            One row for each of ``view.client_ids``.
        State or None
            The state for the next round.
        """
        own: Tensor = view.own
        return own, state
