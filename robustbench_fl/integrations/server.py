"""A server outside of any simulation: a rule, and what it remembers from round to round."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from robustbench_fl.api import InfeasibleError, Model, Need, ServerSpec, State, UsageError, stream
from robustbench_fl.api.build import identity_of, text_of
from robustbench_fl.api.model import LayerShapes
from robustbench_fl.engine.server import Chosen, ServerRound, serve
from robustbench_fl.integrations import saving, wants
from robustbench_fl.integrations.forms import as_tensor
from robustbench_fl.integrations.gathered import counts_of, matrix
from robustbench_fl.integrations.global_model import GlobalModel
from robustbench_fl.integrations.mapped import mapped_rows
from robustbench_fl.integrations.network import OwnNetwork
from robustbench_fl.integrations.outcome import Outcome, apart, outcome_of
from robustbench_fl.integrations.recipe import OWN_TRAINING, ServerTraining
from robustbench_fl.integrations.roster import Roster
from robustbench_fl.integrations.threads import at_most


class Server:
    """A rule at work: it is asked round by round, and its memory is kept in between.

    It gives the aggregates that the same rule gives in a simulated cell for the same updates in the same
    rounds. What a rule does not declare in its needs may be left out.

    Parameters
    ----------
    rule : str
        For example ``"nnm > krum"`` or ``"fedredefense"``.
    f : int, optional
        Clients assumed malicious among those of a round (``Need.F``).
    model : torch.nn.Module or Model, optional
        The network (``Need.MODEL``). Takes inputs [b, ...] to logits [b, n_classes].
    params : module, state dict, list of arrays or array [d], optional
        The global parameters before the first round. By default those of `model`, if it is a module.
    root : pair of arrays, optional
        Clean data of the server's own, inputs [r, ...] as clients feed them to the network and labels [r]
        (``Need.ROOT_DATA``).
    recipe : mapping or callable, optional
        How clients train: settings such as ``{"lr": 0.05, "local_epochs": 1, "batch_size": 32}``, or a
        function ``train(params [d], inputs, labels) -> change [d]`` (``Need.ROOT_DATA``, ``Need.RECIPE``).
    input_shape : sequence of int, optional
        Of one input, for rules that make inputs; by default that of the root data.
    layer_shapes : tuple of (str, tuple of int), optional
        Names and shapes of the parameter tensors, for rules that look at each; known from `model` and from
        `params` that have names.
    buffers : sequence of str, optional
        Tensors of the network that are not learned, beside those that are recognised: buffers of a
        module, integers, and names that end as those of PyTorch's normalisations.
    n_clients : int, optional
        Clients of a round; whether the rule can bear f of them is checked at once. By default those of
        the first round.
    seed : int
        Of the rule's random streams. Who knows it can foresee what a rule draws: keep that of a server that
        is attacked to yourself.
    device : str
        Where it works.
    threads : int, optional
        Threads that a round may use. By default as many as PyTorch is set to, which is one a core. With 1
        the aggregate has the bits that a simulated cell has; rules that multiply matrices may differ from
        them in the last digits with more.

    Attributes
    ----------
    rule : Aggregator
        The rule.
    text : str
        How it is written.
    round : int
        Rounds finished.

    Raises
    ------
    UsageError
        If the rule does not exist, or something that it needs is missing.
    InfeasibleError
        If the rule cannot work with so many clients, this f or this network.

    Examples
    --------
    >>> import numpy as np
    >>> server = Server("centered_clipping(tau=1)")
    >>> for _ in range(2):
    ...     outcome = server.aggregate(np.array([[1.0], [1.2], [9.0]]))
    >>> server.round
    2
    """

    def __init__(
        self,
        rule: str,
        *,
        f: int | None = None,
        model: nn.Module | Model | None = None,
        params: Any = None,
        root: tuple[Any, Any] | None = None,
        recipe: Mapping[str, Any] | OWN_TRAINING | None = None,
        input_shape: Sequence[int] | None = None,
        layer_shapes: LayerShapes = (),
        buffers: Sequence[str] = (),
        n_clients: int | None = None,
        seed: int = 0,
        device: str = "cpu",
        threads: int | None = None,
    ) -> None:
        self.rule = wants.made_rule(rule, device)
        self.text = text_of(self.rule)
        self.round = 0
        self.seed = seed = wants.whole_seed(seed)
        self.threads = wants.whole("threads is how many threads a round may use", threads, 1)
        self.f = wants.whole("f is the number of clients assumed malicious", f, 0)
        self.device = device
        module = next((given for given in (model, params) if isinstance(given, nn.Module)), None)
        model, params = (module if given is None else given for given in (model, params))
        optional = {"f": f, "model": model, "params": params, "root": root, "recipe": recipe}
        wants.require(self.rule, self.text, {name for name, value in optional.items() if value is not None})
        self._root = root = None if root is None else wants.root_tensors(root, device)
        if input_shape is None and self._root is not None:
            input_shape = tuple(self._root[0].shape[1:])
        self._model = OwnNetwork(model, input_shape, device) if isinstance(model, nn.Module) else model
        self._global = GlobalModel(module, buffers, device)
        if params is not None:
            self._global.place(params)
        known = self._model or self._global.layout
        self.layer_shapes = layer_shapes or (known.layer_shapes if known else ())
        if self._model is not None and self._global.n_params not in (None, self._model.n_params):
            raise UsageError(
                f"The network has {self._model.n_params} parameters; params hold {self._global.n_params}."
            )
        self._training = None if recipe is None else ServerTraining(self._model, recipe, seed, device, root)
        self._last_step: Tensor | None = None
        self._state: State | None = None
        self._spec: ServerSpec | None = None
        self._roster = Roster()
        self._checked = n_clients is not None
        if expected := wants.whole("n_clients is the number of clients of a round", n_clients, 1):
            wants.require_feasible(self.rule, self.text, expected, self.f or 0)
        judges = Need.MODEL in self.rule.needs
        if self._model is not None and judges and (reason := self.rule.refuses(self._model)):
            raise InfeasibleError(f"{self.text}: {reason}.")

    @classmethod
    def load(
        cls,
        path: str | Path,
        *,
        model: nn.Module | Model | None = None,
        root: tuple[Any, Any] | None = None,
        recipe: Mapping[str, Any] | OWN_TRAINING | None = None,
        input_shape: Sequence[int] | None = None,
        device: str = "cpu",
        threads: int | None = None,
    ) -> Server:
        """Return the server that was saved to `path`; it goes on as if it had never stopped.

        Parameters
        ----------
        path : path
            What :meth:`save` wrote.
        model, root, recipe, input_shape, device, threads
            As those of the constructor, given again: no file holds them.

        Raises
        ------
        UsageError
            If the file is damaged, is none of a server, or was saved by another version of the rule.
        """
        facts, tensors = saving.load_saved(Path(path))
        layout, params = saving.network_of(facts, tensors)
        server = cls(
            facts.rule, f=facts.f, model=model, params=params, root=root, recipe=recipe,
            layer_shapes=tuple((name, tuple(shape)) for name, shape in facts.layer_shapes),
            input_shape=input_shape, buffers=facts.buffers, seed=facts.seed, device=device,
            threads=threads,
        )  # fmt: skip
        if identity_of(server.rule) != facts.identity:
            raise UsageError(f"{str(path)!r} was saved by another version of {facts.rule}. Begin anew.")
        server._global.layout = layout
        server._roster, server.round = Roster(facts.clients), facts.round
        if facts.n_clients is not None and facts.n_params is not None:
            server._checked = True
            server._begin(facts.n_clients, facts.n_params)
            placed = {name: tensor.to(device) for name, tensor in tensors.items()}
            server._last_step = placed.get("last_step")
            if server._state is not None:
                server._state = server._state.from_tensors(saving.part(placed, "state/"))
        return server

    def save(self, path: str | Path) -> None:
        """Write what the server remembers to `path`, whole or not at all; no pickle.

        Raises
        ------
        WriteError
            If the folder cannot be written.
        """
        spec, model = self._spec, self._global
        tensors = {"params": model.vector, "last_step": self._last_step}
        tensors |= {f"buffers/{name}": value for name, value in model.buffers.items()}
        tensors |= {f"state/{n}": t for n, t in (self._state.to_tensors() if self._state else {}).items()}
        facts = saving.Saved(
            rule=self.text,
            identity=identity_of(self.rule),
            f=self.f,
            seed=self.seed,
            round=self.round,
            clients=self._roster.known,
            n_clients=spec.n_clients if spec else None,
            n_params=spec.n_params if spec else None,
            layer_shapes=[(name, list(shape)) for name, shape in self.layer_shapes],
            layout=saving.layout_as_data(model.layout) if model.layout else None,
            buffers=list(model.buffer_names),
        )
        saving.save_to(Path(path), facts, {name: t for name, t in tensors.items() if t is not None})

    @property
    def params(self) -> Any:
        """The global parameters, in the form in which they were given; ``None`` if they were not."""
        return self._global.given()

    def aggregate(
        self,
        updates: Any,
        *,
        client_ids: Sequence[int | str] | None = None,
        sample_counts: Sequence[float] | Tensor | NDArray[Any] | None = None,
        params: Any = None,
    ) -> Outcome:
        """Aggregate one round of updates: what each client changed.

        Parameters
        ----------
        updates : Tensor or array [n, d], path, or sequence of n updates
            One row a client, or the ``.npy`` file of such a float32 matrix, which is never in memory as a
            whole; or one state dict, list of arrays or flat array a client.
        client_ids : sequence of n int or str, optional
            Who sent each; the same client has the same id in every round (``Need.CLIENT_IDS``).
        sample_counts : n numbers, optional
            Samples that each claims to have (``Need.SAMPLE_COUNTS``, ``Need.RECIPE``).
        params : as those of the constructor, optional
            The global parameters that the clients started from. By default those before plus the
            aggregate; give them where the server's step is another (momentum, a learning rate).

        Returns
        -------
        Outcome
            The aggregate and what the rule says of the clients.

        Raises
        ------
        UsageError
            If shapes do not fit, or the rule needs more. Of several clients that come one by one those
            that do not fit are dropped where the network is known.
        InfeasibleError
            In the first round, if the rule cannot bear f of so many.
        """
        if params is not None:
            self._moved(params)
        if isinstance(updates, str | Path):
            with mapped_rows(Path(updates)) as file:
                gathered = matrix(file.rows, self._global.n_params, self.device)
                outcome, step = self._served(gathered.rows, client_ids, sample_counts, file.chosen)
            return replace(outcome, aggregate=step.numpy())
        if isinstance(updates, Tensor | np.ndarray):
            given = as_tensor(updates)
            gathered = matrix(given, self._global.n_params, self.device)
            outcome, step = self._served(gathered.rows, client_ids, sample_counts)
            shown = step.to(given.device, given.dtype)
            return replace(outcome, aggregate=shown if isinstance(updates, Tensor) else shown.numpy())
        layout, gathered = self._global.gather(updates)
        outcome, step = self._served(gathered.rows, client_ids, sample_counts)
        changes = gathered.middles(layout, apart(outcome))
        self._global.add_to_buffers(changes)
        return replace(outcome, aggregate=self._global.step_written(step, changes))

    def aggregate_models(
        self,
        models: Sequence[Any],
        *,
        client_ids: Sequence[int | str] | None = None,
        sample_counts: Sequence[float] | Tensor | NDArray[Any] | None = None,
        params: Any = None,
    ) -> Outcome:
        """Aggregate one round of models: what each client has after its training.

        The rule sees the models minus the global parameters. Buffers become the coordinate-wise median
        over the clients that are neither dropped nor rejected.

        Parameters
        ----------
        models : sequence of n modules, state dicts, lists of arrays or flat arrays
            One a client.
        client_ids, sample_counts, params
            As in :meth:`aggregate`.

        Returns
        -------
        Outcome
            Its ``aggregate`` is the new global model, in the form of the constructor's `params`.

        Raises
        ------
        UsageError, InfeasibleError
            As :meth:`aggregate`.
        """
        if params is not None:
            self._moved(params)
        start = self._global.vector
        if start is None:
            raise UsageError("Models are compared with the global parameters: give params.")
        layout, gathered = self._global.gather(models)
        outcome, _ = self._served(gathered.rows - start, client_ids, sample_counts)
        self._global.set_buffers(gathered.middles(layout, apart(outcome)))
        return replace(outcome, aggregate=self.params)

    def _served(
        self, rows: Tensor, client_ids: Any, sample_counts: Any, chosen: Chosen | None = None
    ) -> tuple[Outcome, Tensor]:
        """Ask the rule about `rows` [n, d]; return what it says and the step, which is taken."""
        n = len(rows)
        wants.require_of_round(self.rule, self.text, client_ids=client_ids, sample_counts=sample_counts)
        if not self._checked:
            wants.require_feasible(self.rule, self.text, n, self.f or 0)
            self._checked = True
        counts, miscounted = counts_of(sample_counts, rows)
        numbers = self._roster.numbered(client_ids, n)
        self._begin(n, rows.shape[1])
        context = self._context(numbers, counts)
        if isinstance(self._model, OwnNetwork):
            self._model.place_buffers(self._global.buffers)
        with at_most(self.threads):
            verdict, state = serve(
                self.rule,
                self._state,
                rows,
                context,
                lambda: stream("server", self.text, self.seed, self.round),
                hidden=miscounted,
                chosen=chosen,
            )
        said = verdict.aggregation
        step = rows.new_zeros(rows.shape[1])
        if said is not None and bool(said.aggregate.isfinite().all()):
            step, self._state = said.aggregate.detach().to(torch.float32), state
        self._last_step = step
        self._global.step(step)
        self.round += 1
        # A copy: what is remembered must not change where the caller scales the step in place.
        return outcome_of(verdict, step), step.clone()

    def _begin(self, n: int, d: int) -> None:
        """Make the first state, if this is the first round; later ones must have as many parameters."""
        if self._spec is None:
            kind = torch.device(self.device).type
            if not self.layer_shapes and self._global.layout is not None:
                self.layer_shapes = self._global.layout.layer_shapes
            self._spec = ServerSpec(n_clients=n, n_params=d, layer_shapes=self.layer_shapes, device=kind)
            self._state = self.rule.init_state(self._spec)
        if d != self._spec.n_params:
            raise UsageError(f"The rows have {d} numbers; those of earlier rounds had {self._spec.n_params}.")

    def _context(self, ids: tuple[int, ...] | None, counts: Tensor | None) -> ServerRound:
        training, needs, start = self._training, self.rule.needs, self._global.vector
        root = recipe = None
        if training is not None and self._root is not None and Need.ROOT_DATA in needs:
            root = training.root(*self._root, start, self.round)
        if training is not None and counts is not None and Need.RECIPE in needs:
            recipe = training.client_recipe(start, self.round, int(counts.median()))
        return ServerRound(
            round=self.round,
            assumed_f=self.f,
            client_ids=ids,
            sample_counts=counts,
            model=self._model,
            params=start,
            last_step=self._last_step,
            root=root,
            recipe=recipe,
            layer_shapes=self.layer_shapes,
        )

    def _moved(self, params: Any) -> None:
        """Take `params` for the global parameters; the last step is what led there."""
        before = self._global.vector
        self._global.place(params)
        after = self._global.vector
        if before is not None and after is not None and self._last_step is not None:
            self._last_step = self._last_step + (after - before)
