"""The page of one attack: what it costs plain averaging, and each rule under each of its strengths."""

from __future__ import annotations

import pandas as pd

from robustbench_fl.analysis.blocks import CLEAN
from robustbench_fl.analysis.boards import Board
from robustbench_fl.analysis.matrix import matrix
from robustbench_fl.report.site.about import Known, name_of, plain, rule_page, sources, summary
from robustbench_fl.report.site.elements import facts, grid, tag, text


def page_of_attack(board: Board, title: str, attack: str, known: Known) -> str:
    """Return the page of an attack in Markdown.

    Parameters
    ----------
    board : Board
        That it is of.
    title : str
        Of the board.
    attack : str
        Its name, without parameters.
    known : mapping of str to About
        Of attacks by name.
    """
    named = board.cells["attack"].map(name_of)
    cells = board.cells[(named == attack) | (board.cells["attack"] == CLEAN)]
    cells = cells[cells["malicious"] > 0].reset_index(drop=True)
    effects = board.leaderboard.effects
    own = effects[effects["attack"].map(name_of) == attack]
    abouts = {attack: known[attack]} if attack in known else {}
    back = tag("a", text(title), href=f"../../{board.name}.html")
    first = cells[cells["attack"] != CLEAN].iloc[0]
    said = [
        ("Leaderboard", back),
        ("Knows", text(first["knowledge"])),
        ("Family", text(first["family"] or attack)),
    ]
    said.append(("Adaptive", "yes" if first["adaptive"] else "no"))
    if len(own):
        worst = own.sort_values("drop").iloc[-1]
        said.append(
            ("Costs plain averaging", f"up to {100 * worst['drop']:.1f} points ({text(worst['attack'])})")
        )
    parts = ["---\nhide: [navigation]\n---", f"# {plain(attack)}", tag("p", summary(abouts))]
    parts += [facts(said), "## Rules under it"]
    parts += [grid(matrix(cells, "aggregator", "attack"), lambda rule: rule_page(board, "../rules/", rule))]
    if success := _success(cells):
        parts += ["## How often it succeeds", success]
    for about in abouts.values():
        if about.faithfulness:
            parts += ["## What it was compared with", about.faithfulness]
    return "\n\n".join([*parts, "## Sources", *sources(abouts)]) + "\n"


def _success(cells: pd.DataFrame) -> str:
    known = cells[cells["attack_success"].notna()].reset_index(drop=True)
    return (
        grid(matrix(known, "aggregator", "attack", "attack_success"), lambda rule: None) if len(known) else ""
    )
