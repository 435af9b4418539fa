"""The page of one rule: its place, its blocks, its curves, what it was compared with, its sources."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import pandas as pd

from robustbench_fl.analysis.boards import Board
from robustbench_fl.analysis.curves import attack_ends, curves
from robustbench_fl.analysis.matrix import matrix
from robustbench_fl.analysis.table import Table
from robustbench_fl.analysis.tracks import TRACKS
from robustbench_fl.core.claim import Claim
from robustbench_fl.core.foreign import command
from robustbench_fl.report.canvas import written_as
from robustbench_fl.report.learning import learning_curves
from robustbench_fl.report.naming import safe
from robustbench_fl.report.panels import Panel, panels
from robustbench_fl.report.site.about import Known, attack_page, plain, sources, summary
from robustbench_fl.report.site.elements import facts, framed, grid, listed, tag, text
from robustbench_fl.report.tables import readable

COMPARED = ("mean", "oracle_mean")
"""Rules that stand beside every rule in its curves."""
_BLOCK = (
    *("worst_accuracy", "worst_low", "worst_high", "worst_attack", "mean_accuracy", "mean_low", "mean_high"),
    *("clean_accuracy", "defence_tax", "attack_success"),
)


def page_of_rule(board: Board, title: str, claim: Claim, known: Known, figures: Sequence[str]) -> str:
    """Return the page of a claim's rule in Markdown.

    Parameters
    ----------
    board : Board
        That it is of.
    title : str
        Of the board.
    claim : Claim
        Of the rule.
    known : mapping of str to About
        Of rules by name.
    figures : sequence of str
        Files of its curves, beside the page.
    """
    rule = claim.rule
    cells = board.cells[board.cells["aggregator"] == rule].reset_index(drop=True)
    methods = list(dict.fromkeys(part["name"] for form in claim.forms for part in form.identity
                                 if form.rule == rule))  # fmt: skip
    abouts = {name: known[name] for name in methods if name in known}
    parts = ["---\nhide: [navigation]\n---", f"# {plain(rule)}", tag("p", summary(abouts))]
    names = _block_names(claim, cells)
    attacked = cells[cells["key"].isin(names)]
    under = matrix(attacked.assign(block=attacked["key"].map(names)), "attack", "block")
    parts += [facts(_headline(board, title, claim)), "## Blocks", listed(_blocks(claim, names))]
    parts += ["## Under each attack", grid(under, lambda attack: attack_page(attack, "../attacks/"))]
    if figures:
        images = [framed(f'<img class="curves" loading="lazy" src="{text(name)}" alt="accuracy over rounds">')
                  for name in figures]  # fmt: skip
        parts += ["## Over the rounds", *images]
    parts += ["## The claim", _claim(board, claim)]
    for name, about in abouts.items():
        if about.faithfulness:
            parts += [f"## What {plain(name)} was compared with", about.faithfulness]
    return "\n\n".join([*parts, "## Sources", *sources(abouts)]) + "\n"


def _headline(board: Board, title: str, claim: Claim) -> list[tuple[str, str]]:
    rows = board.leaderboard.table
    (row,) = rows[rows["aggregator"] == claim.rule].to_dict("records")
    back = tag("a", text(title), href=f"../../{board.name}.html")
    rank = "not ranked" + (f" ({text(row['note'])})" if row["note"] else "")
    if not pd.isna(row["rank"]):
        of = int(rows.loc[rows["track"] == row["track"], "rank"].notna().sum())
        low, high = int(row["rank_low"]), int(row["rank_high"])
        rank = f"rank {int(row['rank'])}{'=' if row['tied'] else ''} of {of}, between {low} and {high}"
    track = f"{text(row['track'])}, the server knows {text(TRACKS[row['track']])}" if row["track"] else "none"
    numbers = pd.DataFrame([claim.reported.whole])
    shown = dict(zip(*_readable(numbers), strict=True))
    return [("Leaderboard", back), ("Track", track), ("Place", rank), *shown.items()]


def _readable(numbers: pd.DataFrame) -> tuple[list[str], list[str]]:
    names = ("worst_accuracy", "worst_low", "worst_high", "worst_attack", "worst_left_out", "worst_adaptive",
             "mean_accuracy", "mean_low", "mean_high", "clean_accuracy", "defence_tax", "max_accuracy_loss",
             "attack_success", "tpr", "tpr_low", "tpr_high", "fpr", "fpr_low", "fpr_high", "server_ms",
             "server_ms_attacked", "peak_memory_mb", "told")  # fmt: skip
    table = Table(numbers[[name for name in names if name in numbers]], None, "worst_accuracy", ())
    shown = readable(table)
    return list(map(text, shown.headers)), list(map(text, shown.rows[0]))


def _blocks(claim: Claim, names: Mapping[str, str]) -> pd.DataFrame:
    """Return the numbers of every block with malicious clients, a row each."""
    titles: dict[tuple[int, str | None], str] = {}
    for row in claim.cell_rows:
        if row.key in names:
            titles.setdefault((row.setting, row.assumed_f), names[row.key])
    numbers = {(block.setting, block.assumed_f): block.numbers for block in claim.reported.blocks}
    rows = [{"block": title, **numbers[place]} for place, title in titles.items() if place in numbers]
    kept = pd.DataFrame(rows)
    return kept[[name for name in ("block", *_BLOCK) if name in kept]]


def _block_names(claim: Claim, cells: pd.DataFrame) -> dict[str, str]:
    """Return the block of each cell with malicious clients, by key: a suite names them."""
    if len(claim.sweeps) == 1:
        return {str(key): panel.setting for panel in panels(cells) for key in panel.cells["key"]}
    names = {row.key: claim.sweeps[row.sweep].name for row in claim.cell_rows}
    return {str(key): names[str(key)] for key in cells.loc[cells["malicious"] > 0, "key"]}


def curves_of_rule(board: Board, rule: str) -> Iterator[tuple[str, bytes]]:
    """Yield the figures of a rule's curves in the main blocks, by file name."""
    met = board.main.loc[board.main["aggregator"] == rule, "attack"]
    compared = board.main[board.main["aggregator"].isin([rule, *COMPARED]) & board.main["attack"].isin(met)]
    keys = set(compared["key"])
    records = [record for record in board.records if record["key"] in keys]
    drawn, ends = curves(records), attack_ends(records)
    if drawn.empty:
        return
    for panel in panels(compared):
        with written_as("svg"):
            figure = learning_curves(_narrow(panel), drawn, "accuracy", ends)
        if figure:
            yield f"{safe(rule)}-{panel.name}.svg", figure


def _narrow(panel: Panel) -> Panel:
    return Panel(panel.name, panel.title, panel.setting, panel.cells.reset_index(drop=True))


def _claim(board: Board, claim: Claim) -> str:
    file = f"{safe(claim.rule)}.json"
    check = command("robustbench-fl", "check-claim", file, "--sample", 5)
    made = sorted({one.commit for one in claim.origins if one.commit})
    said = f"{len(claim.rows)} cells, those of {claim.reference or 'no reference'} among them"
    said += f", made at {', '.join(made)}." if made else "."
    return "\n\n".join([
        f"[{plain(file)}](../claims/{file}): {plain(said)}",
        f"```console\n$ {check}\n```",
    ])  # fmt: skip
