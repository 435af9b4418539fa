"""Rules of the catalogue as an aggregator for NVFlare's ``ScatterAndGather`` workflow."""

from __future__ import annotations

import math
import warnings
from typing import Any

from robustbench_fl.api import Need, UsageError, make
from robustbench_fl.api.build import text_of
from robustbench_fl.integrations.outcome import Outcome
from robustbench_fl.integrations.server import Server
from robustbench_fl.integrations.wants import require

try:
    from nvflare.apis.dxo import DXO, DataKind, MetaKey, from_shareable
    from nvflare.apis.fl_constant import ReservedKey, ReturnCode
    from nvflare.apis.fl_context import FLContext
    from nvflare.apis.shareable import Shareable
    from nvflare.app_common.abstract.aggregator import Aggregator
    from nvflare.app_common.abstract.model import ModelLearnableKey
    from nvflare.app_common.app_constant import AppConstants
except ImportError as error:
    raise ImportError("RobustAggregator needs NVFlare 2.9 or newer: pip install nvflare.") from error


class RobustAggregator(Aggregator):
    """A rule in the place of NVFlare's weighted average.

    The rule sees updates: differences as they come, or weights minus the global ones. It remembers clients
    by their names from round to round. Contributions that are not finite, do not fit, are of another round,
    or are a client's second are dropped, each on its own. Meta of the aggregate says who was dropped and
    rejected (``"dropped_clients"``, ``"rejected_clients"``), and the log does.

    Parameters
    ----------
    rule : str
        For example ``"nnm > krum"``.
    f : int, optional
        Clients assumed malicious among those of a round.
    seed : int
        Of the rule's random streams; keep it to yourself.

    Notes
    -----
    A job's configuration holds plain values only. For rules that need a network, root data or a recipe
    derive a class and return them from :meth:`given`.
    """

    def __init__(self, rule: str, f: int | None = None, seed: int = 0) -> None:
        super().__init__()
        self.rule, self.f, self.seed = rule, f, seed
        self.server: Server | None = None
        self.outcome: Outcome | None = None
        self._sent: dict[str, tuple[Any, float]] = {}
        self._require({"model", "root", "recipe"})  # which `given` returns, on the server

    def given(self) -> dict[str, Any]:
        """Return what the rule needs beside f: ``model``, ``root``, ``recipe``, ``input_shape``."""
        return {}

    def accept(self, shareable: Shareable, fl_ctx: FLContext) -> bool:
        """Keep one client's contribution until the round is aggregated."""
        name = str(shareable.get_peer_prop(ReservedKey.IDENTITY_NAME, default="?"))
        if shareable.get_return_code() not in (None, ReturnCode.OK):
            return self._refused(fl_ctx, name, f"its task failed: {shareable.get_return_code()}")
        now, its = (
            fl_ctx.get_prop(AppConstants.CURRENT_ROUND),
            shareable.get_cookie(AppConstants.CONTRIBUTION_ROUND),
        )
        if its is not None and its != now:
            return self._refused(fl_ctx, name, f"it is of round {its}, not {now}")
        if name in self._sent:
            return self._refused(fl_ctx, name, "it is this client's second of the round")
        try:
            dxo = from_shareable(shareable)
        except Exception as error:  # whatever others' bytes make the reader say
            return self._refused(fl_ctx, name, f"it cannot be read ({type(error).__name__})")
        if dxo.data_kind not in (DataKind.WEIGHTS, DataKind.WEIGHT_DIFF) or not isinstance(dxo.data, dict):
            return self._refused(fl_ctx, name, f"it holds {dxo.data_kind}, no weights or differences of them")
        data = dxo.data if dxo.data_kind == DataKind.WEIGHT_DIFF else _differences(dxo.data, _weights(fl_ctx))
        steps = dxo.get_meta_prop(MetaKey.NUM_STEPS_CURRENT_ROUND)
        self._sent[name] = (data, float(steps) if isinstance(steps, int | float) else math.nan)
        return True

    def aggregate(self, fl_ctx: FLContext) -> Shareable:
        """Return the rule's aggregate of the round; nothing of what could not be used."""
        names = list(self._sent)
        self.outcome = self._asked(_weights(fl_ctx), fl_ctx) if names else None
        if self.outcome is None:
            return DXO(DataKind.WEIGHT_DIFF, data={}).to_shareable()
        dropped, rejected = self.outcome.dropped, self.outcome.rejected
        dxo = DXO(DataKind.WEIGHT_DIFF, data=dict(self.outcome.aggregate))
        for key, flags in (("dropped_clients", dropped), ("rejected_clients", rejected)):
            if flags is not None:
                dxo.set_meta_prop(key, [name for name, flag in zip(names, flags, strict=True) if flag])
        self.log_info(fl_ctx, f"{len(names)} clients; {dxo.meta}")
        return dxo.to_shareable()

    def reset(self, fl_ctx: FLContext) -> None:
        """Forget the round's contributions; what the rule remembers stays."""
        self._sent = {}

    def _asked(self, start: dict[str, Any], fl_ctx: FLContext) -> Outcome | None:
        if self.server is None:
            given = self.given()
            self._require(set(given))
            self.server = Server(self.rule, f=self.f, seed=self.seed, params=start, **given)
        server, sent = self.server, list(self._sent.values())
        counted = server.rule.needs & {Need.SAMPLE_COUNTS, Need.RECIPE}
        counts = [steps for _, steps in sent] if counted else None
        try:
            with warnings.catch_warnings(record=True) as said:
                warnings.simplefilter("always")
                outcome = server.aggregate(
                    [data for data, _ in sent],
                    client_ids=list(self._sent),
                    sample_counts=counts,
                    params=start,
                )
        except UsageError as error:
            if server.round == 0:  # the job is wrong; later on it is the clients that send
                raise
            self.log_warning(fl_ctx, f"The model is kept: {error}")
            return None
        for reason in [
            *(str(warning.message) for warning in said),
            *([outcome.kept] if outcome.kept else []),
        ]:
            self.log_warning(fl_ctx, reason)
        return outcome

    def _require(self, given: set[str]) -> None:
        """Raise unless the rule has what it needs, `given` being there."""
        rule = make("aggregators", self.rule)
        require(rule, text_of(rule), {"params", *given, *(["f"] if self.f is not None else [])})

    def _refused(self, fl_ctx: FLContext, name: str, why: str) -> bool:
        self.log_warning(fl_ctx, f"A contribution of {name} is dropped: {why}.")
        return False


def _weights(fl_ctx: FLContext) -> dict[str, Any]:
    """Return the global weights, by name."""
    weights: dict[str, Any] = fl_ctx.get_prop(AppConstants.GLOBAL_MODEL)[ModelLearnableKey.WEIGHTS]
    return weights


def _differences(weights: dict[str, Any], start: dict[str, Any]) -> dict[str, Any]:
    """Return what changed; what has no counterpart that it can be compared with is left as it came."""
    return {name: _difference(part, start.get(name)) for name, part in weights.items()}


def _difference(part: Any, before: Any) -> Any:
    if getattr(part, "shape", None) != getattr(before, "shape", ()):
        return part
    try:
        return part - before
    except TypeError:  # no numbers, which the server then drops
        return part
