"""Identities that every stored number must satisfy; a breach is a bug, never a rounding matter."""

from __future__ import annotations

import numpy as np
import pandas as pd

from robustbench_fl.core.errors import RobustbenchError

TOLERANCE = 1e-6


class IdentityError(RobustbenchError, ArithmeticError):
    """Numbers that cannot all be true."""


def detection_accuracy(tpr: float, fpr: float, malicious: float) -> float:
    """Return 1 − (m·FNR + (1 − m)·FPR), the share of clients judged rightly.

    Parameters
    ----------
    tpr, fpr : float
        Shares of malicious and of honest clients that were rejected.
    malicious : float
        Share m of malicious clients among those judged, in [0, 1].

    Examples
    --------
    The averages printed for one published defence, FPR 20.80 % and FNR 66.40 % at m = 0.28:

    >>> round(detection_accuracy(tpr=1 - 0.6640, fpr=0.2080, malicious=0.28), 4)
    0.6643
    """
    return 1 - (malicious * (1 - tpr) + (1 - malicious) * fpr)


def check_detection(frame: pd.DataFrame) -> None:
    """Check the detection columns of `frame` against each other.

    With full participation, and no row dropped for NaN or Inf, the malicious share of the clients
    seen is known and the identity must hold; otherwise DACC must lie between the TPR and 1 − FPR,
    which it mixes.

    Raises
    ------
    IdentityError
        Naming the first cell that breaks an identity.
    """
    for rate in ("tpr", "fpr", "dacc", "accuracy"):
        _refuse(frame, ~frame[rate].dropna().between(0, 1), f"{rate} is outside [0, 1]")
    clean = frame[(frame["attack"] == "none") & (frame["tpr"].notna() | frame["dacc"].notna())]
    _refuse(clean, clean["key"].notna(), "TPR and DACC without any malicious client")
    judged = frame.dropna(subset=["dacc", "tpr", "fpr"])
    right = 1 - judged["fpr"]
    low, high = np.minimum(judged["tpr"], right), np.maximum(judged["tpr"], right)
    outside = (judged["dacc"] < low - TOLERANCE) | (judged["dacc"] > high + TOLERANCE)
    _refuse(judged, outside, "DACC is not between TPR and 1 − FPR")
    if "participation" in judged:
        judged = judged[judged["participation"] == 1]
    # A client whose every row was dropped was never seen by the rule.
    judged = judged[~(judged["non_finite_rows"] > 0)]
    total = judged["malicious_clients"] + judged["honest_clients"]
    share = judged["malicious_clients"] / total
    expected = 1 - (share * (1 - judged["tpr"]) + (1 - share) * judged["fpr"])
    _refuse(judged, (judged["dacc"] - expected).abs() > TOLERANCE, "DACC ≠ 1 − (m·FNR + (1 − m)·FPR)")


def check_worst_below_mean(table: pd.DataFrame) -> None:
    """Check that no row of a leaderboard has a worst case above its mean.

    Raises
    ------
    IdentityError
        Naming the rule.
    """
    above = table[table["worst_accuracy"] > table["mean_accuracy"] + TOLERANCE]
    if len(above):
        row = above.iloc[0]
        raise IdentityError(
            f"{row['aggregator']}: worst accuracy {row['worst_accuracy']:.4f} is above "
            f"the mean {row['mean_accuracy']:.4f}. Please report this as a bug."
        )


def _refuse(frame: pd.DataFrame, broken: pd.Series, what: str) -> None:
    if broken.any():
        row = frame.loc[broken[broken].index].iloc[0]
        raise IdentityError(
            f"Cell {row['key']} ({row['aggregator']} against {row['attack']}): {what} "
            f"(tpr {row['tpr']}, fpr {row['fpr']}, dacc {row['dacc']}). "
            "Its file is damaged or was written by a faulty version: remove it and run the cell again."
        )
