"""Rules of the catalogue as a strategy for Flower's message API (``flwr.serverapp.strategy``)."""

from __future__ import annotations

import math
import warnings
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from logging import INFO, WARNING, getLogger
from typing import Any

from robustbench_fl.api import Need, UsageError, make
from robustbench_fl.api.build import text_of
from robustbench_fl.integrations.outcome import Outcome
from robustbench_fl.integrations.recipe import OWN_TRAINING
from robustbench_fl.integrations.server import Server
from robustbench_fl.integrations.wants import require

try:
    from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
    from flwr.serverapp import Grid
    from flwr.serverapp.strategy import FedAvg
except ImportError as error:
    raise ImportError(
        "RobustStrategy needs Flower 1.42 or newer: pip install 'robustbench-fl[flower]'."
    ) from error

_LOG = getLogger("flwr")


class RobustStrategy(FedAvg):
    """Flower's federated averaging with a rule in place of the average.

    The rule sees updates: what a node replies minus what was sent. It remembers nodes by their ids from
    round to round. Replies that are not finite, or whose arrays do not fit, are dropped, each on its own.

    Buffers (running means, counters) become their median over the nodes that are neither dropped nor
    rejected. A round's metrics are averaged over these nodes too, and say beside ``"nodes"``, the ids, which
    were dropped and rejected (``"dropped-nodes"``, ``"rejected-nodes"``; the latter only of rules that
    accuse) and, where the rule has them, ``"scores"`` and ``"weights"`` in the order of ``"nodes"``.

    Parameters
    ----------
    rule : str or Server
        For example ``"nnm > krum"``; or a server, such as one that was saved and loaded, which then says
        the next six itself.
    f : int, optional
        Nodes assumed malicious among those of a round.
    model : torch.nn.Module, optional
        The network, for rules that look at it; it also says which arrays are buffers.
    root : pair of arrays, optional
        Clean data of the server's own, inputs and labels.
    recipe : mapping or callable, optional
        How nodes train, for rules that do so themselves.
    input_shape : sequence of int, optional
        Of one input, for rules that make inputs.
    seed : int
        Of the rule's random streams; keep it to yourself.
    **options
        Those of ``FedAvg``: ``fraction_train``, ``min_train_nodes``, ``arrayrecord_key``,
        ``weighted_by_key`` …

    Attributes
    ----------
    server : Server or None
        The rule and its memory, from the first round on; ``server.save(path)`` writes it.
    outcome : Outcome or None
        What the rule said of the last round; ``None`` if it could not be asked.

    Raises
    ------
    UsageError
        If the rule does not exist, or lacks something that it needs.

    See Also
    --------
    robustbench_fl.Server : what the parameters mean in full.
    """

    def __init__(
        self,
        rule: str | Server,
        *,
        f: int | None = None,
        model: Any = None,
        root: tuple[Any, Any] | None = None,
        recipe: Mapping[str, Any] | OWN_TRAINING | None = None,
        input_shape: Sequence[int] | None = None,
        seed: int = 0,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self._rule = rule
        self._given: dict[str, Any] = {
            "f": f, "model": model, "root": root, "recipe": recipe, "input_shape": input_shape, "seed": seed,
        }  # fmt: skip
        self._sent: Any = None
        self.outcome: Outcome | None = None
        self.server: Server | None = rule if isinstance(rule, Server) else None
        if not isinstance(rule, Server):
            method, given = make("aggregators", rule), self._given.items()
            require(method, text_of(method), {"params", *(n for n, value in given if value is not None)})

    def summary(self) -> None:
        """Log the rule beside the settings of the average."""
        text = self.server.text if self.server else self._rule
        _LOG.log(INFO, "\t├──> Robust rule: %s (f = %s)", text, self._given["f"])
        super().summary()

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Choose the nodes, and remember what they are sent."""
        messages = list(super().configure_train(server_round, arrays, config, grid))
        self._sent = _plain(arrays)
        if self.server is None and messages:
            self.server = Server(str(self._rule), params=self._sent, n_clients=len(messages), **self._given)
        return messages

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Aggregate the replies by the rule; without any that can be used the model is kept."""
        usable = [reply for reply in replies if not self._failed(reply)]
        self.outcome = None
        if not usable or self.server is None:
            return None, None
        contents = [reply.content for reply in usable]
        nodes = [reply.metadata.src_node_id for reply in usable]
        self.outcome = outcome = self._asked(self.server, contents, nodes)
        if outcome is None:
            return None, None
        arrays = _record(outcome.aggregate)
        apart = outcome.dropped if outcome.rejected is None else outcome.dropped | outcome.rejected
        trusted = [content for content, out in zip(contents, apart, strict=True) if not out]
        return arrays, MetricRecord({**self._metrics(trusted), **_verdicts(outcome, nodes)})

    def _failed(self, reply: Message) -> bool:
        if reply.has_error():
            _LOG.log(INFO, "\t> Node %d failed: %s", reply.metadata.src_node_id, reply.error.reason)
        return bool(reply.has_error())

    def _asked(self, server: Server, contents: list[RecordDict], nodes: list[int]) -> Outcome | None:
        counted = server.rule.needs & {Need.SAMPLE_COUNTS, Need.RECIPE}
        counts = [_count(content, self.weighted_by_key) for content in contents] if counted else None
        try:
            with warnings.catch_warnings(record=True) as said:
                warnings.simplefilter("always")
                models = [_arrays_of(content) for content in contents]
                outcome = server.aggregate_models(
                    models, client_ids=nodes, sample_counts=counts, params=self._sent
                )
        except UsageError as error:
            if server.round == 0:  # the app is wrong; later on it is the nodes that reply
                raise
            _LOG.log(WARNING, "The model is kept: %s", error)
            return None
        for warning in said:
            _LOG.log(WARNING, "%s", warning.message)
        if outcome.kept:
            _LOG.log(WARNING, "The model is kept: %s.", outcome.kept)
        return outcome

    def _metrics(self, contents: list[RecordDict]) -> Mapping[str, Any]:
        """Return the mean metrics of the nodes that sent the usual ones: others may send anything."""
        sound = [content for content in contents if _is_sound(content, self.weighted_by_key)]
        usual = Counter(_names(content) for content in sound).most_common(1)
        alike = [content for content in sound if _names(content) == usual[0][0]]
        if not alike or not sum(_count(content, self.weighted_by_key) for content in alike):
            return {}
        return dict(self.train_metrics_aggr_fn(alike, self.weighted_by_key))


def _plain(arrays: ArrayRecord) -> Any:
    """Return a record's arrays by name, or as a list if it was made of one."""
    named = {name: array.numpy() for name, array in arrays.items()}
    return list(named.values()) if list(named) == [str(place) for place in range(len(named))] else named


def _record(arrays: Any) -> ArrayRecord:
    named = arrays if isinstance(arrays, Mapping) else {str(k): array for k, array in enumerate(arrays)}
    return ArrayRecord({name: Array(array) for name, array in named.items()})


def _arrays_of(content: RecordDict) -> Any:
    """Return the arrays of a reply; nothing if it has none or cannot be read."""
    records = list(content.array_records.values())
    try:
        return _plain(records[0]) if len(records) == 1 else {}
    except Exception as error:  # whatever bytes of others make the reader say
        warnings.warn(f"The arrays of a reply cannot be read: {type(error).__name__}.", stacklevel=2)
        return {}


def _count(content: RecordDict, key: str) -> float:
    records = list(content.metric_records.values())
    value = records[0].get(key) if len(records) == 1 else None
    return float(value) if isinstance(value, int | float) else math.nan


def _is_sound(content: RecordDict, key: str) -> bool:
    records = list(content.metric_records.values())
    if len(records) != 1 or not _count(content, key) >= 0:
        return False
    values = [v for value in records[0].values() for v in (value if isinstance(value, list) else [value])]
    return all(math.isfinite(value) for value in values)


def _names(content: RecordDict) -> tuple[tuple[str, int], ...]:
    """Return names and lengths of a reply's metrics."""
    (record,) = content.metric_records.values()
    return tuple(sorted((k, len(v) if isinstance(v, list) else -1) for k, v in record.items()))


def _verdicts(outcome: Outcome, nodes: Sequence[int]) -> dict[str, Any]:
    def of(flags: Any) -> list[int]:
        return [node for node, flag in zip(nodes, flags, strict=True) if flag]

    said: dict[str, Any] = {"nodes": list(nodes), "dropped-nodes": of(outcome.dropped)}
    if outcome.rejected is not None:
        said["rejected-nodes"] = of(outcome.rejected)
    for name in ("scores", "weights"):
        values = getattr(outcome, name)
        if values is not None:
            said[name] = [float(value) for value in values]
    return said
