"""The pages of one board: its leaderboard, a page for each rule, and one for each attack."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from robustbench_fl.analysis.boards import Board
from robustbench_fl.analysis.leaderboard import FLAG
from robustbench_fl.analysis.table import Table, explaining
from robustbench_fl.analysis.tracks import TRACKS
from robustbench_fl.core.claim_file import text_of
from robustbench_fl.core.counted import counted
from robustbench_fl.report.naming import safe
from robustbench_fl.report.site.about import Known, attack_page, attacks_of, plain, rule_page
from robustbench_fl.report.site.attack_page import page_of_attack
from robustbench_fl.report.site.elements import NOTHING, anchor, sortable, tag, text
from robustbench_fl.report.site.rule_page import curves_of_rule, page_of_rule

_BOARD = (
    *("rank", "rank_low", "rank_high", "tied", "aggregator"),
    *("worst_accuracy", "worst_low", "worst_high", "worst_attack", "worst_at_defaults", "worst_adaptive"),
    *("mean_accuracy", "mean_low", "mean_high", "clean_accuracy", "defence_tax", "attack_success"),
    *("server_ms", "peak_memory_mb", "told", "coverage", "note"),
)


def pages(board: Board, title: str, rules: Known, attacks: Known) -> Iterator[tuple[str, str | bytes]]:
    """Yield the files of a board: Markdown pages, figures and the claims themselves.

    Parameters
    ----------
    board : Board
        What is shown.
    title : str
        Of its first page.
    rules, attacks : mapping of str to About
        By the name of the method.
    """
    yield f"{board.name}.md", _leaderboard(board, title)
    for rule, claim in board.claims.items():
        yield f"{board.name}/claims/{safe(rule)}.json", text_of(claim)
        drawn = dict(curves_of_rule(board, rule))
        for name, figure in drawn.items():
            yield f"{board.name}/rules/{name}", figure
        yield f"{board.name}/rules/{safe(rule)}.md", page_of_rule(board, title, claim, rules, list(drawn))
    for attack in attacks_of(board):
        yield f"{board.name}/attacks/{safe(attack)}.md", page_of_attack(board, title, attack, attacks)


def index(boards: Sequence[Board]) -> str:
    """Return the page that leads to each board, in Markdown."""
    said = "Each is made from [claims](../claims.md), one a rule, which anybody can check."
    rows = [
        f"* [{plain(board.name)}]({board.name}.md): {len(board.claims)} rules, {len(board.records)} cells, "
        f"{', '.join(sorted(map(plain, set(board.cells['dataset']))))}"
        for board in boards
    ]
    return "\n".join(["# Leaderboards", "", said if rows else "No claim is stored yet.", "", *rows, ""])


def _leaderboard(board: Board, title: str) -> str:
    home = f"{board.name}/"
    links = {
        "aggregator": lambda rule: rule_page(board, f"{home}rules/", rule),
        "worst_attack": lambda attack: attack_page(attack, f"{home}attacks/"),
    }
    parts = ["---\nhide: [toc, navigation]\n---", f"# {title}", _extent(board), _filters(board)]
    for track in board.leaderboard.tracks:
        table = board.leaderboard.of_track(track).table
        kept = table[[name for name in _BOARD if name in table]]
        parts += [f"## Track {track}: the server knows {TRACKS[track]}"]
        parts += [sortable(Table(kept, "rank", "worst_accuracy", ()), links, needs="told")]
    doubts = [flag.text for flag in board.leaderboard.flags]
    sentences = explaining(board.leaderboard.sentences, _BOARD.__contains__)
    said = [one for one in sentences if not one.startswith(FLAG)]
    if doubts:
        parts += ["## Reasons for doubt", tag("ul", "".join(tag("li", text(doubt)) for doubt in doubts))]
    parts += ["## How it was made", tag("p", text(" ".join(said)), class_="board-note")]
    names = [anchor(name, f"{home}attacks/{safe(name)}.html") for name in attacks_of(board)]
    parts += ["## Attacks", tag("p", ", ".join(names))]
    return "\n\n".join(parts) + "\n"


def _extent(board: Board) -> str:
    first = next(iter(board.claims.values()))
    of = (
        f"Suite {first.suite.name}, tier {first.suite.tier}, digest {first.suite.digest}. "
        if first.suite
        else ""
    )
    seeds, n_cells = board.cells["seed"].nunique(), len(board.records)
    said = f"{of}{len(board.claims)} rules, {n_cells} cells, {counted(seeds, 'seed')}. "
    return (
        tag("p", text(said) + "Every row is a " + tag("a", "claim", href="../claims.html") + " that anybody "
            "can check; a click on a header sorts.")
    )  # fmt: skip


def _filters(board: Board) -> str:
    told = sorted({need for needs in board.cells["told"] for need in needs.split(", ")} - {NOTHING})
    boxes = "".join(
        tag("label", f'<input type="checkbox" value="{text(need)}" checked> {text(need.replace("_", " "))}')
        for need in told
    )
    find = '<label class="find">Rule <input type="search" placeholder="part of its name"></label>'
    needs = tag("fieldset", f"<legend>The server may know</legend>{boxes}") if told else ""
    return tag("form", find + needs, class_="board-filters")
