"""What the rules cost: server time a round and memory, without attack and under attack."""

from __future__ import annotations

import pandas as pd

from robustbench_fl.analysis import captions
from robustbench_fl.analysis.attack_effect import PLAIN
from robustbench_fl.analysis.blocks import CLEAN
from robustbench_fl.analysis.coverage import counted, shares
from robustbench_fl.analysis.table import Said, Table
from robustbench_fl.core.errors import UsageError

COLUMNS = (
    "aggregator",
    "server_ms",
    "server_ms_attacked",
    "server_ms_max",
    "times_plain",
    "peak_memory_mb",
    "train_ms",
    "coverage",
)


def cost_table(frame: pd.DataFrame) -> Table:
    """Return what each rule costs, the cheapest first.

    Parameters
    ----------
    frame : pandas.DataFrame
        As from :func:`robustbench_fl.analysis.frame.frame`.

    Returns
    -------
    Table
        ``server_ms`` (no attack), ``server_ms_attacked`` and ``server_ms_max`` (the most expensive
        cell): CPU milliseconds of the rule a round, averaged over finished cells; ``times_plain``:
        ``server_ms_attacked``, else ``server_ms``, as a multiple of plain averaging's;
        ``peak_memory_mb``: the highest of any cell; ``train_ms``: CPU milliseconds of local
        training a round, next to which the rule's time stands.

    Raises
    ------
    UsageError
        If no cell is finished.
    """
    cells = frame[counted(frame) & frame["server_ms"].notna()]
    if cells.empty:
        raise UsageError("No finished cell says what it cost. Run the sweep first.")
    cells = cells.assign(train_ms=1000 * cells["train_seconds"] / cells["rounds"].astype(float))
    clean, attacked = cells[cells["attack"] == CLEAN], cells[cells["attack"] != CLEAN]
    rules = cells.groupby("aggregator")
    table = pd.DataFrame(index=sorted(rules.groups))
    table["server_ms"] = clean.groupby("aggregator")["server_ms"].mean()
    table["server_ms_attacked"] = attacked.groupby("aggregator")["server_ms"].mean()
    table["server_ms_max"] = rules["server_ms"].max()
    score = "server_ms_attacked" if len(attacked) else "server_ms"
    plain = float(table[score].get(PLAIN, float("nan")))
    table["times_plain"] = table[score] / plain if plain > 0 else float("nan")
    table["peak_memory_mb"] = rules["peak_memory_mb"].max()
    table["train_ms"] = rules["train_ms"].mean()
    table["coverage"] = shares(frame, "aggregator")
    table = table.rename_axis("aggregator").reset_index()
    table = table.sort_values([score, "aggregator"], kind="stable", ignore_index=True)
    return Table(table[list(COLUMNS)], None, score, _sentences(cells, score))


def _sentences(cells: pd.DataFrame, score: str) -> tuple[str, ...]:
    return (
        f"Sorted by {score}.",
        "Server ms: CPU milliseconds of the rule in one round, mean over cells; memory: the highest peak of "
        "any cell over what the imports took; train ms: local training of all clients in one round. "
        "Coverage: finished of feasible cells.",
        Said(f"times_plain: a multiple of {PLAIN}.", "times_plain"),
        f"{captions.runs(cells)}.",
        *captions.mixed(cells),
        captions.origin(cells),
    )
