"""Put the leaderboards of the standard suite into their pages: ``python docs/board_tables.py``.

They are made from those main blocks of the tier ``cpu`` that have all their cells; captions name these.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from marked import with_made
from written import difference, filled, percent, table

from robustbench_fl.analysis.blocks import CLEAN
from robustbench_fl.analysis.coverage import counted_blocks
from robustbench_fl.analysis.frame import frame
from robustbench_fl.analysis.leaderboard import Leaderboard, leaderboard
from robustbench_fl.analysis.scores import attacked, block_means, over_blocks, worst_pairs
from robustbench_fl.analysis.strengths import by_family, families_of
from robustbench_fl.analysis.suite_tables import frames
from robustbench_fl.analysis.table import Table
from robustbench_fl.core.status import FINAL
from robustbench_fl.report.tables import render
from robustbench_fl.store import Store
from robustbench_fl.sweep.suites import Suite, Tier, read_suite, stored_at

ROOT = Path(__file__).parent.parent
PAGES = {
    "README.md": ("leaderboard",),
    "docs/leaderboard.md": ("extent", "board", "leaders", "losses", "digits", "attacks", "flags"),
}
"""The markers of each page."""
TOP = 3
"""Rules of a track that the README shows, beside those of `ALWAYS`."""
FAVOURITE, PLAIN, ORACLE = "fedredefense", "mean", "oracle_mean"
ALWAYS = (FAVOURITE, PLAIN)
DIGITS = "reference-digits"
SHOWN = (
    *("track", "rank", "rank_low", "rank_high", "tied", "aggregator"),
    *("worst_accuracy", "worst_low", "worst_high", "worst_attack", "worst_adaptive", "mean_accuracy"),
    *("clean_accuracy", "server_ms", "note"),
)
READ = (
    "Worst: accuracy under the worst attack of each block, mean over blocks, with its 95 % interval over "
    "seeds. A pilot picked for each rule the strength of each family of attacks that is worst for it. Ranks "
    "are by track, by what the server knows (A: nothing, B: f, C: the model, clients or the past, D: root "
    "data), equal (=) where a test over all pairs cannot tell rules apart; in brackets the places that it "
    "leaves open. `oracle_mean` averages the honest clients, `root_only` trains on the server's own data, "
    "`local_only` is no federation."
)
ADAPTIVE = (
    "Worst adaptive: the same under the attack that is optimised against the rule, along ALIE's direction, "
    "in {} alone."
)


class Boards:
    """The main blocks of a tier that are whole, and what tables say of them.

    Parameters
    ----------
    suite : Suite
    tier : Tier
        One of its tiers.
    folder : Path
        Of the tier's results.
    favourite : str, optional
        The rule whose losses are shown.

    Raises
    ------
    SystemExit
        If no main block is whole.
    """

    def __init__(self, suite: Suite, tier: Tier, folder: Path, favourite: str = FAVOURITE) -> None:
        self.suite, self.tier, self.favourite = suite, tier, favourite
        records = {block.name: _records(tier, block.name, folder) for block in tier.main}
        self.missing = [name for name, found in records.items() if not found]
        whole = {name: found for name, found in records.items() if found}
        if not whole:
            raise SystemExit(
                f"No main block of {tier.full_name} has all its cells in {folder}, so there is no table "
                f"to make. Run robustbench-fl suite run {suite.name} --tier {tier.name}"
            )
        self.whole = list(whole)
        self.cells = frames(whole, self.whole)
        """By block, and over several."""

    @cached_property
    def boards(self) -> dict[str, Leaderboard]:
        """The leaderboard of each block, and last that of the headline."""
        return {name: leaderboard(cells) for name, cells in self.cells.items()}

    @property
    def board(self) -> Leaderboard:
        """The headline."""
        return list(self.boards.values())[-1]

    @property
    def read(self) -> str:
        """How the table of the headline is read."""
        where = [name for name in self.whole if self.cells[name]["adaptive"].any()]
        return f"{READ} {ADAPTIVE.format(_named(where))}" if where else READ

    @cached_property
    def main(self) -> pd.DataFrame:
        """Cells of the headline, counted, in blocks."""
        return counted_blocks(list(self.cells.values())[-1])


def readme(boards: Boards) -> str:
    """Return the first rules of each track with the baselines, and what is suspect about them."""
    rules = boards.board.table
    ahead = rules.groupby("track").cumcount() < TOP
    kept = ahead | (rules["track"] == "") | rules["aggregator"].isin(ALWAYS)
    more = "" if kept.all() else f" {(~kept).sum()} more rules: [docs/leaderboard.md](docs/leaderboard.md)."
    caption = filled(f"{extent(boards)} {boards.read}{more}")
    flags = "\n".join(filled(f"* {flag.text}", "  ") for flag in boards.board.flags)
    shown = _shown(boards, rules[kept])
    return f"{shown}\n\n{caption}\n\nWhat is suspect about it, by its own flags:\n\n{flags}"


def board(boards: Boards) -> str:
    """Return all rules over the main blocks."""
    return f"{_shown(boards, boards.board.table)}\n\n{filled(boards.read)}"


def extent(boards: Boards) -> str:
    """Return which main blocks tables are made from, and which are still to run."""
    cells = list(boards.cells.values())[-1]
    n_adaptive = int(cells["adaptive"].sum())
    optimised = f" and {n_adaptive:,} of the attack that is optimised" if n_adaptive else ""
    text = (
        f"`{boards.suite.name}`, tier `{boards.tier.name}`, digest {boards.suite.digest}: "
        f"main block{'s' * (len(boards.whole) > 1)} {_named(boards.whole)}, {(~cells['adaptive']).sum():,} "
        f"cells{optimised}, {cells['seed'].nunique()} seeds."
    )
    if boards.missing:
        text += f" Still to run: {_named(boards.missing)}; until then these are no final places."
    return filled(text)


def leaders(boards: Boards) -> str:
    """Return who is first in each track: block by block, then over the main blocks."""
    rows = []
    for name, board in boards.boards.items():
        oracle = board.table.loc[board.table["aggregator"] == ORACLE, "worst_accuracy"]
        for track in board.tracks:
            own = board.table[board.table["track"] == track]
            fit = own[own["note"] == ""]
            first = fit[fit["rank"] == 1] if fit["rank"].notna().any() else fit.head(1)
            others = fit[~fit["aggregator"].isin(first["aggregator"])]
            texts = [_scored(row) for row in first.to_dict("records")] or [
                f"none: {row['aggregator']} is {row['note']}" for row in own.head(1).to_dict("records")
            ]
            following = next((_scored(row) for row in others.to_dict("records")), "–")
            best = str(first["worst_attack"].iloc[0]) if len(first) else "–"
            rows.append([name, track, "; ".join(texts), best, following, *(percent(v) for v in oracle)])
    names = ["block", "track", "first, worst %", "under", "next, worst %", "oracle %"]
    return table(names, rows)


def losses(boards: Boards) -> str:
    """Return where FedREDefense stands under each family, beside the best rule without root data."""
    rows = []
    favourite = boards.favourite
    for name in boards.whole:
        cells = counted_blocks(boards.cells[name])
        track = boards.boards[name].table.set_index("aggregator")["track"]
        rivals = [rule for rule in track.index if track[rule] in ("A", "B", "C") and rule != favourite]
        of_family = pd.concat([by_family(attacked(cells)), cells[cells["attack"] == CLEAN]])
        found = [_duel(favourite, rivals, own) for _, own in of_family.groupby("attack")]
        rows += [[name, *texts] for _, texts in sorted(found, key=lambda pair: pair[0])]
    names = ["block", "attack", f"{favourite} %", "mean %", "oracle %", "best other, tracks A to C, %",
             "difference, points", "malicious rejected %", "honest rejected %"]  # fmt: skip
    said = (
        "At the member of the family that is worst for each rule; differences paired over seeds, with 95 % t "
        "intervals. The best other rule is chosen on the same seeds, which favours it a little."
    )
    return table(names, rows, said)


def _duel(favourite: str, rivals: list[str], cells: pd.DataFrame) -> tuple[float, list[str]]:
    """Return by how much a rule beats the best of others under one attack, and its row of a table."""
    values = cells.pivot(index="aggregator", columns="seed", values="accuracy")
    means = values.mean(axis=1)
    best = str(means[means.index.isin(rivals)].idxmax())
    gap = values.loc[favourite] - values.loc[best]
    own = cells[cells["aggregator"] == favourite]
    return gap.mean(), [
        str(cells["attack"].iloc[0]),
        *(percent(means.get(rule, np.nan)) for rule in (favourite, PLAIN, ORACLE)),
        f"{best} {percent(means[best])}",
        difference(values.loc[favourite], values.loc[best]),
        *(percent(own[rate].mean()) for rate in ("tpr", "fpr")),
    ]


def digits(boards: Boards) -> str:
    """Return the rules that the digits' reference sweep has too: their places there and here."""
    ours = boards.main[["partition", "malicious"]].drop_duplicates()
    reference = frame(Store.existing(ROOT / "results" / DIGITS).records())
    theirs = leaderboard(reference.merge(ours, on=["partition", "malicious"])).table
    theirs = theirs.assign(name=theirs["aggregator"].map(_bare)).set_index("name")
    rows = []
    for row in boards.board.table.to_dict("records"):
        if (name := _bare(row["aggregator"])) in theirs.index and row["track"]:
            before = theirs.loc[name].to_dict()
            defaults = percent(row.get("worst_at_defaults", np.nan))
            sides = [_place(before), _interval(before), _place(row), defaults, _interval(row)]
            rows.append([row["track"], row["aggregator"], *sides, row["worst_attack"]])
    names = [
        "track",
        "rule",
        "# on digits",
        "worst %",
        "# here",
        "worst at defaults %",
        "worst %",
        "worst attack",
    ]
    said = f"Digits: `results/{DIGITS}` at the same shares and partitions, attacks at their defaults."
    return table(names, rows, f"{said} Places count the rules that were run there.")


def attacks(boards: Boards) -> str:
    """Return for how many rules and blocks each family is the worst, and who would lead without it."""
    blocks = boards.main
    ranked = blocks[blocks["ranked"].astype(bool)]
    hurt = attacked(ranked)
    family = families_of(hurt)
    worst = worst_pairs(hurt).assign(family=lambda pairs: pairs["attack"].map(family))
    worst["share"] = 1 / worst.groupby(["aggregator", "_block"])["attack"].transform("size")
    clean = block_means(ranked[ranked["attack"] == CLEAN]).rename(columns={"accuracy": "clean"})
    means = block_means(hurt).assign(family=lambda some: some["attack"].map(family))
    lowest = means.groupby(["aggregator", "_block", "family"])["accuracy"].min().reset_index()
    lowest = lowest.merge(clean[["aggregator", "_block", "clean"]], on=["aggregator", "_block"])
    lowest["drop"] = lowest["clean"] - lowest["accuracy"]
    before = _first(boards, means)
    rows = []
    for name in sorted(set(family), key=lambda one: (-worst.loc[worst["family"] == one, "share"].sum(), one)):
        own, drops = worst[worst["family"] == name], lowest[lowest["family"] == name]
        after = _first(boards, means[means["family"] != name])
        changed = [f"{track}: {after[track]}" for track in after if after[track] != before[track]]
        members = own.groupby("attack")["share"].sum().sort_values(ascending=False, kind="stable")
        plain = drops.loc[drops["aggregator"] == PLAIN, "drop"].mean()
        most = drops[drops["aggregator"] != PLAIN].groupby("aggregator")["drop"].mean()
        rows.append([
            name, f"{own['share'].sum():.3g} of {worst['share'].sum():.0f}",
            "; ".join(f"{attack} ({share:.3g})" for attack, share in members.head(2).items()) or "–",
            percent(drops["drop"].mean()), percent(plain),
            f"{most.idxmax()} {percent(most.max())}", "; ".join(changed) or "–",
        ])  # fmt: skip
    names = [
        "family",
        "worst for",
        "most often as",
        "drop, points",
        "of mean",
        "hurts most",
        "first without it",
    ]
    said = (
        "Worst for: pairs of a rule and a block, attacks that are equal share one. Drop: from the rule's "
        "clean accuracy to its worst member of the family, mean over rules and blocks."
    )
    return table(names, rows, said)


def flags(boards: Boards) -> str:
    """Return the flags of the headline."""
    rows = [[f"`{flag.name}`", flag.cause, flag.remedy] for flag in boards.board.flags]
    return table(["flag", "what was found", "remedy"], rows)


def _first(boards: Boards, means: pd.DataFrame) -> dict[str, str]:
    """Return the rule of the highest worst case in each track."""
    score = over_blocks(means, "accuracy", "min")
    fit = boards.board.table[boards.board.table["note"] == ""]
    return {
        str(track): str(score[score.index.isin(rows["aggregator"])].idxmax())
        for track, rows in fit.groupby("track")
        if track
    }


def _records(tier: Tier, name: str, folder: Path) -> list[dict[str, Any]]:
    """Return the records of a block and of those that join it, each only if it is whole."""
    own, *joined = (whole_records(folder / block.name) for block in tier.read_with(tier.block(name)))
    return sum(joined, own) if own else []


def whole_records(folder: Path) -> list[dict[str, Any]]:
    """Return the records of a block's folder, none if it is not there or cells are missing."""
    records = Store.existing(folder).records() if (folder / "plan.jsonl.gz").is_file() else []
    return records if all(record["status"] in FINAL for record in records) else []


def _bare(rule: str) -> str:
    """Return a rule without its parameters: both sides have each rule in one form."""
    return re.sub(r"\([^()]*\)", "", rule)


def _scored(row: Mapping[Any, Any]) -> str:
    return f"{row['aggregator']} {_interval(row)}"


def _interval(row: Mapping[Any, Any]) -> str:
    text = percent(row["worst_accuracy"])
    if pd.isna(row.get("worst_low", np.nan)):
        return text
    return f"{text} [{percent(row['worst_low'])}, {percent(row['worst_high'])}]"


def _place(row: Mapping[Any, Any]) -> str:
    return "–" if pd.isna(row["rank"]) else f"{row['rank']}{'=' * bool(row['tied'])}"


def _named(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _shown(boards: Boards, rows: pd.DataFrame) -> str:
    kept = rows[[name for name in SHOWN if name in rows]]
    return render(Table(kept, "rank", boards.board.score_column, ()), "md")


MADE: Mapping[str, Callable[[Boards], str]] = {
    "leaderboard": readme,
    **{made.__name__: made for made in (extent, leaders, board, losses, digits, attacks, flags)},
}


def page(text: str, markers: Iterable[str], boards: Boards) -> str:
    """Return a page's `text` with what stands between its markers made anew."""
    return with_made(text, {marker: MADE[marker](boards) for marker in markers}, "The page")


def committed() -> Boards:
    """Return those of the committed results."""
    suite = read_suite("rbfl-1")
    return Boards(suite, suite.tier("cpu"), stored_at(suite.tier("cpu")))


if __name__ == "__main__":
    whole = committed()
    for name, markers in PAGES.items():
        path = ROOT / name
        path.write_text(page(path.read_text(), markers, whole))
