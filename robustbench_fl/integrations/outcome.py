"""What a server says of one round."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from robustbench_fl.engine.server import Verdict


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came out of one round. Everything per client is in the order of the rows that were given.

    Parameters
    ----------
    aggregate : array, list or dict
        The step of the global parameters, in the form of one client's update; zeros where the model is
        kept. After :meth:`~robustbench_fl.integrations.server.Server.aggregate_models`: the new model.
    dropped : bool array [n]
        Clients that the rule never saw, since what they sent is not finite or does not fit the network.
    rejected : bool array [n], optional
        Clients judged malicious; ``None`` of a rule that accuses nobody. Not the dropped ones.
    selected : bool array [n], optional
        Clients used in the aggregate, where the rule selects.
    scores : float array [n], optional
        Suspicion, higher is more suspect; NaN of dropped ones.
    weights : float array [n], optional
        Weight of each client in the aggregate, where that is a weighted sum; 0 of dropped ones.
    f : int, optional
        The f that the rule was given.
    capped : bool
        Whether that is less than what was assumed, since too few rows were left for so many.
    kept : str, optional
        Why the model is kept, where it is.
    """

    aggregate: Any
    dropped: NDArray[np.bool_]
    rejected: NDArray[np.bool_] | None = None
    selected: NDArray[np.bool_] | None = None
    scores: NDArray[np.float64] | None = None
    weights: NDArray[np.float64] | None = None
    f: int | None = None
    capped: bool = False
    kept: str | None = None

    def __repr__(self) -> str:
        """Return who was dropped and rejected, by place; arrays of a network are long."""
        parts = [f"dropped={_places(self.dropped)}"]
        if self.rejected is not None:
            parts.append(f"rejected={_places(self.rejected)}")
        given = [name for name in ("selected", "scores", "weights") if getattr(self, name) is not None]
        parts += [f"{name}=…" for name in given]
        parts += [f"f={self.f}{' (capped)' if self.capped else ''}"] if self.f is not None else []
        parts += [f"kept={self.kept!r}"] if self.kept else []
        return f"Outcome({', '.join(parts)})"


def outcome_of(verdict: Verdict, aggregate: Any) -> Outcome:
    """Return what the engine's `verdict` says, spread over all rows that were given."""
    said = verdict.aggregation

    def spread(values: Tensor | None, fill: float | bool) -> NDArray[Any] | None:
        if values is None:
            return None
        kind = np.bool_ if isinstance(fill, bool) else np.float64
        whole: NDArray[Any] = np.full(len(verdict.seen), fill, dtype=kind)
        whole[verdict.seen] = values.detach().cpu().numpy().astype(kind)
        return whole

    return Outcome(
        aggregate=aggregate,
        dropped=~verdict.seen,
        rejected=spread(said.rejected, False) if said else None,
        selected=spread(said.selected, False) if said else None,
        scores=spread(said.scores, np.nan) if said else None,
        weights=spread(said.weights, 0.0) if said else None,
        f=verdict.f,
        capped=verdict.capped,
        kept=_why_kept(verdict),
    )


def apart(outcome: Outcome) -> NDArray[np.bool_]:
    """Return who was dropped or rejected, bool [n]."""
    return outcome.dropped if outcome.rejected is None else outcome.dropped | outcome.rejected


def _why_kept(verdict: Verdict) -> str | None:
    said, n = verdict.aggregation, int(verdict.seen.sum())
    if said is None:
        return f"{n} usable rows of {len(verdict.seen)} are too few" if n else "no row can be used"
    if not bool(said.aggregate.isfinite().all()):
        return "the aggregate is not finite"
    return None if bool(said.aggregate.any()) else "the aggregate is zero"


def _places(flags: NDArray[np.bool_]) -> list[int]:
    return [int(place) for place in np.flatnonzero(flags)]
