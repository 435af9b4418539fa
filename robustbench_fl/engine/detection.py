"""Arithmetic of detection: rates per round, cumulative rates, clients lost for good."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class Rates:
    """Detection rates; ``None`` where there is nobody to detect or to spare.

    Parameters
    ----------
    tpr : float or None
        Malicious clients rejected, of the malicious.
    fpr : float or None
        Honest clients rejected, of the honest.
    dacc : float or None
        Share of right verdicts; only where there are malicious clients.
    """

    tpr: float | None
    fpr: float | None
    dacc: float | None


def rates(rejected: np.ndarray, malicious: np.ndarray) -> Rates:
    """Return the rates of the verdicts `rejected` [n] given the truth `malicious` [n], both bool.

    Examples
    --------
    >>> rates(np.array([True, False, True, False]), np.array([True, True, False, False]))
    Rates(tpr=0.5, fpr=0.5, dacc=0.5)
    """
    honest = ~malicious
    tpr = float(rejected[malicious].mean()) if malicious.any() else None
    fpr = float(rejected[honest].mean()) if honest.any() else None
    dacc = float((rejected == malicious).mean()) if malicious.any() else None
    if tpr is not None and fpr is not None and dacc is not None:
        share = float(malicious.mean())
        assert abs(dacc - (1 - share * (1 - tpr) - (1 - share) * fpr)) < 1e-12
    return Rates(tpr, fpr, dacc)


def auc(scores: np.ndarray, malicious: np.ndarray) -> float | None:
    """Return the chance that a malicious client scores above an honest one, ties counting half.

    ``None`` unless both kinds are present; NaN scores are left out.
    """
    known = ~np.isnan(scores)
    bad, good = scores[known & malicious], scores[known & ~malicious]
    if not len(bad) or not len(good):
        return None
    above = bad[:, None] > good[None, :]
    equal = bad[:, None] == good[None, :]
    return float(above.mean() + 0.5 * equal.mean())


@dataclass
class Tally:
    """The verdicts of a detector over a cell.

    Parameters
    ----------
    malicious : bool array [n_clients]
        Who is malicious; all False under the attack ``none``.
    """

    malicious: np.ndarray
    per_round: list[Rates] = field(default_factory=list)
    aucs: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._seen = np.zeros(len(self.malicious), dtype=bool)
        self._ever = np.zeros(len(self.malicious), dtype=bool)
        self._last = np.zeros(len(self.malicious), dtype=bool)

    def add(self, clients: np.ndarray, rejected: np.ndarray | None, scores: np.ndarray | None) -> None:
        """Count one round: `clients` [n] reached the rule, `rejected` [n] is what it said."""
        if rejected is None:
            rejected = np.zeros(len(clients), dtype=bool)
        self._seen[clients] = True
        self._ever[clients] |= rejected
        self._last[clients] = rejected
        self.per_round.append(rates(rejected, self.malicious[clients]))
        area = None if scores is None else auc(scores, self.malicious[clients])
        if area is not None:
            self.aucs.append(area)

    def verdicts(self) -> dict[str, np.ndarray]:
        """Return who was seen, ever rejected and rejected last, each bool [n_clients]."""
        return {"seen": self._seen, "ever": self._ever, "last": self._last}

    def resume(self, verdicts: Mapping[str, np.ndarray], per_round: list[Rates], aucs: list[float]) -> None:
        """Go on from what :meth:`verdicts`, `per_round` and `aucs` were."""
        self._seen, self._ever, self._last = (verdicts[name].copy() for name in ("seen", "ever", "last"))
        self.per_round, self.aucs = list(per_round), list(aucs)

    def cumulative(self) -> Rates:
        """Return the rates of "ever rejected" among the clients ever seen by the rule."""
        return rates(self._ever[self._seen], self.malicious[self._seen])

    def lost_clients(self) -> list[int]:
        """Return the honest clients that were rejected the last time they took part."""
        return [int(c) for c in np.flatnonzero(self._seen & self._last & ~self.malicious)]
