"""The tables of a tier, and where a further rule stands in them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from robustbench_fl.cli.durations import duration_text
from robustbench_fl.cli.saying import say
from robustbench_fl.cli.tabling import table_text
from robustbench_fl.core.counted import counted
from robustbench_fl.core.status import FINAL

if TYPE_CHECKING:
    from robustbench_fl.sweep.suites import Block, Tier

Records = list[dict[str, Any]]


def print_tables(tier: Tier, names: Sequence[str], folder: Path, track: str, format_: str) -> bool:
    """Print the leaderboards of a tier's blocks, those without results left out; say whether any has some."""
    from robustbench_fl.analysis.suite_tables import suite_tables

    found = records_of_blocks(tier, names, folder)
    if not found:
        return False
    if missing := [n for n in names if n not in found and not tier.block(n).joins]:
        say(f"Not run yet: {', '.join(missing)}.", err=True)
    main = [block.name for block in tier.main]
    say(table_text(suite_tables(found, main, track), format_), styled=True)
    return True


def records_of_blocks(tier: Tier, names: Sequence[str], folder: Path) -> dict[str, Records]:
    """Return the records of the named blocks that have results, with those of blocks that join them."""
    found: dict[str, Records] = {}
    for block in tier.blocks:
        if block.name in names and not block.joins and (own := _records(folder / block.name)):
            joined = [_records(folder / other.name) for other in tier.read_with(block)[1:]]
            found[block.name] = own + [record for records in joined for record in records]
    return found


def place(tier: Tier, blocks: Sequence[Block], home: Path, own: Path) -> None:
    """Print where a rule stands among the stored results of the others, and what these saved.

    Nothing is printed where it has no result yet.

    Parameters
    ----------
    tier : Tier
        What it was run in.
    blocks : sequence of Block
        The blocks in which it was.
    home, own : Path
        Folders of the others' results, and of its own.
    """
    from robustbench_fl.analysis.suite_tables import boards, place_of

    names = [block.name for block in blocks]
    mine = records_of_blocks(tier, names, own)
    others = records_of_blocks(tier, names, home)
    done = [record for records in mine.values() for record in records if record["status"] in FINAL]
    if not done:
        return
    rule = str(done[0]["labels"]["aggregator"])
    together = {name: others.get(name, []) + records for name, records in mine.items()}
    found = boards(together, [block.name for block in tier.main])
    for name, board in found.items():
        say(_sentence(name, place_of(rule, board)))
    last = list(found.values())[-1]
    say(f"\n{table_text(last.of_track(place_of(rule, last)['track']), 'table')}", styled=True)
    stored = [record for name in mine for record in others.get(name, []) if record["status"] in FINAL]
    spent = sum(map(_seconds, done))
    pilot = sum(_seconds(record) for block in blocks for record in _records(own / block.name / "pilot"))
    say(
        f"\n{rule}: {counted(len(done), 'cell')} of its own, {duration_text(spent)} of CPU time, and "
        f"{duration_text(pilot)} for its pilot, in {own}. The other rules' {len(stored)} cells are those of "
        f"{home}: {duration_text(sum(map(_seconds, stored)))} of CPU time saved."
    )


def _sentence(block: str, found: dict[str, Any]) -> str:
    """Return where a rule stands in a block, in words."""
    if found["worst_accuracy"] is None:
        return f"{block}: no attacked cell yet."
    interval = ""
    if found["worst_low"] is not None:
        interval = f" [{100 * found['worst_low']:.1f}, {100 * found['worst_high']:.1f}]"
    clean = f", clean {100 * found['clean_accuracy']:.1f}" if found["clean_accuracy"] is not None else ""
    rank = f"rank {found['rank']}{'=' * bool(found['tied'])}" if found["rank"] is not None else "not ranked"
    note = f"; {found['note']}" if found["note"] else ""
    return (
        f"{block}: place {found['place']} of {found['of']} in track {found['track']} ({rank}): "
        f"{100 * found['worst_accuracy']:.1f} %{interval} under the worst attack "
        f"({found['worst_attack']}){clean}, {found['server_ms']:.2g} ms of server time a round{note}."
    )


def _records(folder: Path) -> Records:
    """Return the records of a folder that holds a sweep with results, else none."""
    from robustbench_fl.sweep.replan import existing

    if not (folder / "sweep.toml").is_file():
        return []
    records = existing(folder).records()
    return records if any(record["status"] in FINAL for record in records) else []


def _seconds(record: dict[str, Any]) -> float:
    costs = record.get("costs") or {}
    return float(sum(value for name, value in costs.items() if name.endswith("_seconds")))
