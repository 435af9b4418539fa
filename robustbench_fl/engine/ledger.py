"""What happened in the rounds of a cell, apart from the model: counts, verdicts, diagnostics."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from robustbench_fl.api import Aggregation
from robustbench_fl.engine.detection import Tally
from robustbench_fl.engine.server import Verdict


class Ledger:
    """Keeps what the rule did, round by round.

    Parameters
    ----------
    malicious : bool array [n_clients]
        Who is malicious.
    detector : bool
        Whether the rule accuses clients.

    Attributes
    ----------
    counts : dict
        The fields of :class:`~robustbench_fl.core.record.Counts` but ``rounds``.
    tally : Tally
        The verdicts of a detector.
    diagnostics : dict
        Per name, one mapping from client id to value for every round.
    """

    def __init__(self, malicious: np.ndarray, detector: bool) -> None:
        self.malicious, self.detector = malicious, detector
        self.tally = Tally(malicious)
        self.counts = dict.fromkeys(
            ("non_finite_rows", "capped_rounds", "underestimated_rounds", "kept_model_rounds"), 0
        )
        self.diagnostics: dict[str, list[dict[str, float | None]]] = {}

    def add(self, round: int, clients: np.ndarray, verdict: Verdict, hidden: np.ndarray | None) -> None:
        """Count what happened in `round` and book the rule's verdicts.

        Parameters
        ----------
        round : int
            From 0.
        clients : int array [n]
            The participants.
        verdict : Verdict
            What came out.
        hidden : bool array [n], optional
            Rows that were withheld from the rule.
        """
        visible = len(clients) if hidden is None else int((~hidden).sum())
        self.counts["non_finite_rows"] += visible - int(verdict.seen.sum())
        self.counts["capped_rounds"] += verdict.capped
        malicious_seen = int(self.malicious[clients][verdict.seen].sum())
        self.counts["underestimated_rounds"] += verdict.f is not None and malicious_seen > verdict.f
        self.counts["kept_model_rounds"] += verdict.keeps_model
        outcome, seen = verdict.aggregation, clients[verdict.seen]
        if self.detector:
            rejected = _numpy(outcome.rejected) if outcome else None
            self.tally.add(seen, rejected, _numpy(outcome.scores) if outcome else None)
        if outcome is not None:
            self._keep_diagnostics(round, seen, outcome)

    def _keep_diagnostics(self, round: int, seen: np.ndarray, outcome: Aggregation) -> None:
        for name, values in outcome.diagnostics.items():
            rounds = self.diagnostics.setdefault(name, [])
            rounds.extend({} for _ in range(round + 1 - len(rounds)))
            numbers = values.detach().cpu().double().tolist()
            rounds[round] = {
                str(int(client)): float(f"{number:.6g}") if np.isfinite(number) else None
                for client, number in zip(seen, numbers, strict=True)
            }


def _numpy(values: Tensor | None) -> np.ndarray | None:
    return None if values is None else values.detach().cpu().numpy()
