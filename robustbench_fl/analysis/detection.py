"""Whom the detectors accused."""

from __future__ import annotations

import pandas as pd

from robustbench_fl.analysis import captions
from robustbench_fl.analysis.blocks import CLEAN
from robustbench_fl.analysis.coverage import counted, shares
from robustbench_fl.analysis.frame import settings
from robustbench_fl.analysis.invariants import check_detection
from robustbench_fl.analysis.rates import binomial_interval
from robustbench_fl.analysis.table import Said, Table
from robustbench_fl.core.errors import UsageError

COLUMNS = (
    "aggregator",
    "tpr",
    "tpr_low",
    "tpr_high",
    "fpr",
    "fpr_low",
    "fpr_high",
    "dacc",
    "auc",
    "clean_fpr",
    "clean_fpr_low",
    "clean_fpr_high",
    "round_tpr",
    "round_fpr",
    "lost_clients",
    "lost_share",
    "accuracy",
    "coverage",
)
_MEANS = ("dacc", "auc", "round_tpr", "round_fpr", "lost_clients", "accuracy")


def detection_table(frame: pd.DataFrame) -> Table:
    """Return the rates of each detector, the best detection accuracy first.

    Parameters
    ----------
    frame : pandas.DataFrame
        As from :func:`robustbench_fl.analysis.frame.frame`.

    Returns
    -------
    Table
        ``tpr``, ``fpr``: malicious and honest clients ever rejected among those ever seen, mean
        over attacked cells, with binomial intervals over distinct clients; ``dacc``; ``auc`` of the
        scores; ``clean_fpr``: FPR without attack; ``round_tpr``, ``round_fpr``: means over rounds;
        ``lost_clients``: honest clients rejected in the last round they took part in, a mean a
        cell, and ``lost_share`` of the honest ones. Rules that select but accuse nobody are not in
        it.

    Raises
    ------
    UsageError
        If no finished cell is of a detector.
    IdentityError
        If stored rates contradict each other.
    """
    check_detection(frame)
    cells = frame[counted(frame) & frame["detector"] & (frame["malicious"] > 0)]
    cells = cells[cells["fpr"].notna() | cells["tpr"].notna()]
    if cells.empty:
        raise UsageError(
            "There is no finished cell of a detector with malicious clients. "
            "robustbench-fl list aggregators names the detectors."
        )
    attacked, clean = cells[cells["attack"] != CLEAN], cells[cells["attack"] == CLEAN]
    table = pd.DataFrame(index=sorted(cells["aggregator"].unique()))
    _add_rate(table, "tpr", attacked, "tpr", "malicious_clients")
    _add_rate(table, "fpr", attacked, "fpr", "honest_clients")
    _add_rate(table, "clean_fpr", clean, "fpr", "honest_clients")
    shown = attacked if len(attacked) else clean
    rules = shown.groupby("aggregator")
    for name in _MEANS:
        table[name] = rules[name].mean()
    table["lost_share"] = rules["lost_clients"].sum() / rules["honest_clients"].sum()
    table["coverage"] = shares(frame[frame["malicious"] > 0], "aggregator")
    score = "dacc" if table["dacc"].notna().any() else "clean_fpr"
    table = table.rename_axis("aggregator").reset_index()
    table = table.sort_values([score, "aggregator"], ascending=[score != "dacc", True], ignore_index=True)
    return Table(table[list(COLUMNS)], None, score, _sentences(cells, score))


def _add_rate(table: pd.DataFrame, name: str, cells: pd.DataFrame, rate: str, clients: str) -> None:
    """Add the mean rate with its binomial interval over clients.

    The same clients stand under every attack, so they are counted once, not once an attack.
    """
    known = cells[cells[rate].notna()]
    table[name] = known.groupby("aggregator")[rate].mean()
    n_clients = (
        known.drop_duplicates(["aggregator", *settings(known), "seed"]).groupby("aggregator")[clients].sum()
    )
    for rule, n in n_clients.items():
        if n > 0:
            bounds = binomial_interval(float(table.loc[rule, name]), float(n))
            table.loc[rule, [f"{name}_low", f"{name}_high"]] = bounds
    for end in ("low", "high"):
        if f"{name}_{end}" not in table:
            table[f"{name}_{end}"] = float("nan")


def _sentences(cells: pd.DataFrame, score: str) -> tuple[str, ...]:
    attacks = sorted(set(cells["attack"]) - {CLEAN})
    return (
        f"Sorted by {score}. Rates are cumulative over the run: clients ever rejected among those ever seen; "
        "round_*: means over rounds; brackets: 95 % binomial over distinct clients.",
        "DACC = 1 − (m·FNR + (1 − m)·FPR), checked for every cell.",
        Said("clean_fpr: without attack; everything else under attack.", "clean_fpr"),
        "lost_clients: honest clients rejected in the last round they took part in, a mean a cell. "
        "Coverage: finished of feasible cells.",
        *([f"Attacks: {', '.join(attacks)}."] if attacks else []),
        f"{captions.runs(cells)}.",
        *captions.mixed(cells),
        captions.origin(cells),
    )
