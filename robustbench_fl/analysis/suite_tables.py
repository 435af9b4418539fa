"""Tables of a suite's tier: a leaderboard for each block, then the headline over the main blocks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from robustbench_fl.analysis.frame import frame
from robustbench_fl.analysis.leaderboard import Leaderboard, leaderboard
from robustbench_fl.analysis.table import Sections
from robustbench_fl.core.errors import UsageError

HEADLINE = "main blocks"
"""What stands for a block's name where all main blocks are meant."""
Records = Iterable[Mapping[str, Any]]


def frames(blocks: Mapping[str, Records], main: Sequence[str]) -> dict[str, pd.DataFrame]:
    """Return the cells of each block, and last, where several main blocks are there, of all these.

    Parameters
    ----------
    blocks : mapping of str to iterable of mappings
        The records of each block that has some, by name, in order.
    main : sequence of str
        Names of the blocks of the headline; those that are not among `blocks` are left out.
    """
    found = {name: frame(records) for name, records in blocks.items()}
    whole = [found[name] for name in main if name in found]
    return found | ({HEADLINE: pd.concat(whole, ignore_index=True)} if len(whole) > 1 else {})


def boards(blocks: Mapping[str, Records], main: Sequence[str]) -> dict[str, Leaderboard]:
    """Return the leaderboards of what :func:`frames` returns."""
    return {name: leaderboard(cells) for name, cells in frames(blocks, main).items()}


def suite_tables(blocks: Mapping[str, Records], main: Sequence[str], track: str = "") -> Sections:
    """Return the tables of :func:`boards` as sections.

    Parameters
    ----------
    blocks, main
        As there.
    track : {"", "A", "B", "C", "D"}, optional
        One track alone; blocks without a rule in it are left out.

    Raises
    ------
    UsageError
        If no block has cells, or no rule is in the track.
    """
    found = boards(blocks, main)
    if track:
        found = {name: board.of_track(track) for name, board in found.items() if track in board.tracks}
    if not found:
        raise UsageError(f"No rule is in track {track}." if track else "No block has cells.")
    return Sections(("block",), tuple(((name,), board) for name, board in found.items()))


def place_of(rule: str, board: Leaderboard) -> dict[str, Any]:
    """Return where a rule stands in its track.

    Parameters
    ----------
    rule : str
        As tables name it.
    board : Leaderboard
        In which it is.

    Returns
    -------
    dict
        ``track``, ``place`` by worst accuracy from 1 and ``of`` how many rules of the track, ``rank`` (None
        where nothing is ranked), ``tied``, ``worst_accuracy`` with ``worst_low`` and ``worst_high`` where
        there are several seeds, ``worst_attack``, ``clean_accuracy``, ``server_ms``, and ``note``.
    """
    row = board.table[board.table["aggregator"] == rule].iloc[0]
    own = board.table[board.table["track"] == row["track"]]
    place = int((own["worst_accuracy"] > row["worst_accuracy"]).sum()) + 1
    names = ("rank", "tied", "worst_accuracy", "worst_low", "worst_high", "worst_attack", "clean_accuracy",
             "server_ms", "note")  # fmt: skip
    found = {name: _plain(row.get(name)) for name in names}
    return {"track": row["track"], "place": place, "of": len(own), **found}


def _plain(value: Any) -> Any:
    return None if value is None or pd.isna(value) else value
