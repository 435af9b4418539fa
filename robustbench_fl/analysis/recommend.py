"""Which rule to use: what was measured nearest to a setting, read for somebody who has to choose."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import pandas as pd

from robustbench_fl.analysis.attack_effect import PLAIN
from robustbench_fl.analysis.blocks import CLEAN
from robustbench_fl.analysis.coverage import beyond_all, counted_blocks
from robustbench_fl.analysis.scores import attacked, block_means
from robustbench_fl.analysis.strengths import families_of
from robustbench_fl.analysis.table import Table
from robustbench_fl.core.errors import UsageError

KNOWABLE = ("f", "model", "client_ids", "history", "root_data", "sample_counts", "recipe", "raw")
"""What a server may know, by the names that rules declare."""
NEAR = 1.0
"""A block farther away is no neighbour: twice the clients, 3.2 times alpha, 10 points of malicious."""
_IID = 100.0
"""The alpha that stands for clients that are alike."""


@dataclass(frozen=True, kw_only=True)
class Setting:
    """Where a rule is to work.

    Parameters
    ----------
    clients : int
        Clients of a round.
    malicious : float
        Share of them that lies.
    alpha : float
        Dirichlet's, how unlike the clients are; 100 and more are alike.
    knows : frozenset of str
        What the server knows beyond the updates, of :data:`KNOWABLE`.
    budget_ms : float, optional
        What the rule may cost, in milliseconds of processor time a round.
    params : int, optional
        Parameters of the network; by default as many as were measured.
    """

    clients: int
    malicious: float
    alpha: float
    knows: frozenset[str]
    budget_ms: float | None = None
    params: int | None = None


def recommend(
    frame: pd.DataFrame, setting: Setting, size_of: Callable[[str, str], int | None] = lambda *names: None
) -> Table:
    """Return the rules that qualify for a setting, best first.

    Parameters
    ----------
    frame : pandas.DataFrame
        As from :func:`robustbench_fl.analysis.frame.frame`.
    setting : Setting
        What is asked for.
    size_of : callable, optional
        Returns the parameters of a network (its text, second) on a data set (first), ``None`` if unknown.

    Returns
    -------
    Table
        One row a rule that needs no more than the server knows and costs no more than the budget, by its
        accuracy under the worst attack in the nearest block: ``worst_accuracy``, ``clean_accuracy``,
        ``server_ms`` at so many clients and parameters (measured under attack where no clean cell was
        run), ``told``, and ``loses_most_to``, the attack that takes most from it, adaptive ones
        included, with the accuracy that is left. Rules with holes are left out.

    Raises
    ------
    UsageError
        If no block has attacks, or no rule qualifies.
    """
    unknown = sorted(setting.knows - {*KNOWABLE})
    if unknown:
        raise UsageError(
            f"Nothing is called {unknown[0]!r} that a server may know. Known: {', '.join(KNOWABLE)}."
        )
    blocks = counted_blocks(frame)
    blocks = blocks[(blocks["malicious"] > 0) & ~beyond_all(blocks)]
    known = attacked(blocks).dropna(subset=["accuracy"])
    if known.empty:
        raise UsageError("These results hold no cell under an attack; nothing can be recommended from them.")
    # Of blocks that are equally near, the one with more malicious clients, and of these where f is right.
    distance, *_, block = min(
        (round(_distance(row, setting), 6), -float(row["malicious"]), _assumed(row) != "", int(row["_block"]))
        for _, row in known.drop_duplicates("_block").iterrows()
    )
    rows = blocks[blocks["_block"] == block]
    size = size_of(str(rows.iloc[0]["dataset"]), str(rows.iloc[0]["model"])) if setting.params else None
    rules = _rules(rows, _scale(rows, setting, size))
    if rules.empty:
        raise UsageError(
            f"No rule has a result under every attack in the nearest block, {_where(rows.iloc[0])}. "
            "Finish the sweep, or name another with --results."
        )
    fit, ignorant, dear = _qualified(rules, setting)
    if fit.empty:
        raise UsageError(
            f"No rule qualifies: {len(ignorant)} of {len(rules)} need to know more, {len(dear)} cost more "
            f"than the budget. Cheapest of those: {_cheapest(rules, dear)}. Widen --knows or --budget-ms."
        )
    fit = fit.sort_values(["worst_accuracy", "aggregator"], ascending=[False, True], ignore_index=True)
    sentences = _sentences(rows, setting, distance, size, set(rules["aggregator"]), ignorant, dear)
    return Table(fit, None, "worst_accuracy", sentences)


def _distance(row: pd.Series, setting: Setting) -> float:
    """Return how far a block lies from a setting: the largest of three steps, each 1 at :data:`NEAR`."""
    clients = abs(math.log2(setting.clients / _participants(row)))
    alpha = abs(math.log10(min(setting.alpha, _IID) / _alpha(row))) / 0.5
    return max(clients, alpha, abs(setting.malicious - float(row["malicious"])) / 0.1)


def _alpha(row: pd.Series) -> float:
    return min(float(row["alpha"]), _IID) if pd.notna(row["alpha"]) else _IID


def _assumed(row: pd.Series) -> str:
    """Return the f that the server assumes in a block, ``""`` where it is the right one or none is needed."""
    return "" if row["_stands_for"] == "exact" else str(row["_stands_for"])


def _where(row: pd.Series) -> str:
    share, n = 100 * row["malicious"], _participants(row)
    assumed = f", f assumed as {_assumed(row)}" if _assumed(row) else ""
    return f"{row['dataset']}, {row['partition']}, {share:.3g} % of {n} clients malicious{assumed}"


def _participants(row: pd.Series) -> int:
    return max(1, round(float(row["clients"]) * float(row.get("participation", 1.0))))


def _scale(rows: pd.DataFrame, setting: Setting, size: int | None) -> float:
    """Return by how much server time grows from a block to a setting."""
    clients = (setting.clients / _participants(rows.iloc[0])) ** 2
    return clients * setting.params / size if setting.params and size else clients


def _rules(rows: pd.DataFrame, scale: float) -> pd.DataFrame:
    """Return what was measured of each rule that has a value under every attack of the block.

    Of a family of attacks each rule may have met other members: those that a pilot picked for it.
    """
    ranked = rows[rows["ranked"].astype(bool)]
    means = block_means(ranked)
    attacks = means[means["attack"] != CLEAN]
    met = attacks["attack"].map(families_of(ranked)).groupby(attacks["aggregator"]).nunique()
    holes = ranked.loc[ranked["accuracy"].isna(), "aggregator"]
    whole = met.index[met == met.max()].difference(holes)
    regular = block_means(attacked(ranked)).groupby("aggregator")["accuracy"].min()
    table = pd.DataFrame({"worst_accuracy": regular[regular.index.intersection(whole)]})
    clean = means[means["attack"] == CLEAN].set_index("aggregator")["accuracy"]
    table["clean_accuracy"] = clean.reindex(table.index)
    clean_times, times = (
        some.groupby("aggregator")["server_ms"].mean() for some in (ranked[ranked["attack"] == CLEAN], ranked)
    )
    table["server_ms"] = clean_times.reindex(table.index).fillna(times) * scale
    table["told"] = ranked.groupby("aggregator")["told"].first().reindex(table.index)
    worst = (
        attacks.sort_values("accuracy", kind="stable").drop_duplicates("aggregator").set_index("aggregator")
    )
    table["loses_most_to"] = [
        f"{worst['attack'][rule]} ({100 * worst['accuracy'][rule]:.1f} % left)" for rule in table.index
    ]
    return table.rename_axis("aggregator").reset_index()


def _qualified(rules: pd.DataFrame, setting: Setting) -> tuple[pd.DataFrame, list[str], list[str]]:
    """Return the rules that qualify, and the names of those that know too little or cost too much."""
    needs = [set() if told == "nothing" else set(told.split(", ")) for told in rules["told"]]
    knows = pd.Series([need <= setting.knows for need in needs], index=rules.index, dtype=bool)
    cheap = pd.Series(True, index=rules.index)
    if setting.budget_ms is not None:
        cheap = rules["server_ms"] <= setting.budget_ms
    ignorant = list(rules.loc[~knows, "aggregator"])
    return rules[knows & cheap], ignorant, list(rules.loc[knows & ~cheap, "aggregator"])


def _cheapest(rules: pd.DataFrame, names: Iterable[str]) -> str:
    chosen = rules[rules["aggregator"].isin([*names])].sort_values("server_ms")
    return f"{chosen['aggregator'].iloc[0]}, {chosen['server_ms'].iloc[0]:.3g} ms" if len(chosen) else "none"


def _sentences(
    rows: pd.DataFrame,
    setting: Setting,
    distance: float,
    size: int | None,
    known: set[str],
    ignorant: list[str],
    dear: list[str],
) -> tuple[str, ...]:
    first = rows.iloc[0]
    n = _participants(first)
    asked = f"{setting.clients} clients, {100 * setting.malicious:.3g} % malicious, alpha {setting.alpha:g}"
    network, n_seeds = first["model"], rows["seed"].nunique()
    said = [f"Measured in the nearest block: {_where(first)}, network {network}, {n_seeds} seeds."]
    if distance > NEAR:
        said.append(
            f"Nothing nearby was measured: this block is {distance:.1f} times as far from {asked} as a "
            "neighbour may be. Run your own setting before you trust the order."
        )
    elif distance > 0:
        said.append(f"Asked for: {asked}; not measured exactly there.")
    said += _on_time(setting, n, size)
    if holes := sorted(set(rows.loc[rows["ranked"].astype(bool), "aggregator"]) - known):
        said.append(f"Left out, since they lack cells: {', '.join(holes)}.")
    plain = block_means(attacked(rows[rows["aggregator"] == PLAIN]))["accuracy"].min()
    if pd.notna(plain):
        said.append(f"Plain averaging keeps {100 * plain:.1f} % under its worst attack there.")
    if ignorant:
        said.append(f"Left out, since they need to know more: {', '.join(sorted(ignorant))}.")
    if dear:
        said.append(f"Left out, above the budget: {', '.join(sorted(dear))}.")
    return tuple(said)


def _on_time(setting: Setting, n: int, size: int | None) -> Iterator[str]:
    """Yield how server time came from what was measured with n clients and `size` parameters."""
    if n != setting.clients:
        yield (
            f"Server time: measured with {n} clients and scaled by ({setting.clients}/{n})², as if every "
            "rule compared all pairs."
        )
    if setting.params and size:
        yield f"Server time: scaled from {size:,} parameters to {setting.params:,}, in proportion."
    elif setting.params:
        yield "Server time: not scaled to your parameters, since those of the measured network are unknown."
    else:
        yield "Server time grows in proportion to the network's parameters (--params)."
