"""The pages of the site that are made from claims."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from robustbench_fl.analysis.boards import Board, board_of
from robustbench_fl.analysis.claimed import Part, claim_of
from robustbench_fl.analysis.leaderboard import leaderboard
from robustbench_fl.core.claim import Claim, ClaimError
from robustbench_fl.report.naming import safe
from robustbench_fl.report.site.about import About
from robustbench_fl.report.site.pages import index, pages
from robustbench_fl.report.site.rule_page import curves_of_rule, page_of_rule
from robustbench_fl.store import Store

QUICKSTART = Path(__file__).parents[2] / "results" / "quickstart"
RULES = ("mean", "krum", "fltrust")
KNOWN = About("A sentence.", "* **Release:** none.", "@misc{a}", "methods/aggregators.html#krum")


@pytest.fixture(scope="module")
def part() -> Part:
    store = Store.existing(QUICKSTART)
    records = [one for one in store.records() if one["cell"]["malicious"] == 0.3]
    records = [one for one in records if one["labels"]["partition"].endswith("alpha=1)")]
    return Part("quickstart", store.read_sweep() or {}, records)


@pytest.fixture(scope="module")
def claims(part: Part) -> list[Claim]:
    return [claim_of(rule, [part], {}) for rule in RULES]


@pytest.fixture(scope="module")
def board(claims: list[Claim]) -> Board:
    return board_of("quickstart", claims, {})


@pytest.fixture(scope="module")
def made(board: Board) -> dict[str, str | bytes]:
    return dict(pages(board, "Quick <start>", {"krum": KNOWN}, {"alie": KNOWN}))


def test_claims_together_are_the_leaderboard_of_their_cells(board, part):
    from robustbench_fl.analysis.frame import frame

    own = [one for one in part.records if one["labels"]["aggregator"] in RULES]
    wanted = leaderboard(frame(own)).table.set_index("aggregator")
    found = board.leaderboard.table.set_index("aggregator")
    for rule in RULES:
        for name in ("worst_accuracy", "mean_accuracy", "clean_accuracy", "server_ms", "told", "track"):
            assert found.loc[rule, name] == wanted.loc[rule, name]


def test_a_stored_record_is_taken_where_it_says_the_same(claims, part):
    stored = {record["key"]: record for record in part.records}
    (changed, *_) = [row.key for row in claims[1].cell_rows]
    metrics = {**stored[changed]["metrics"], "accuracy": 0.123}
    found = board_of("q", claims, {**stored, changed: {**stored[changed], "metrics": metrics}})
    with_curves = {record["key"] for record in found.records if record.get("curves")}
    assert {record["key"] for record in found.records} - with_curves == {changed}
    drawn = dict(curves_of_rule(found, "krum"))
    assert [name[-4:] for name in drawn] == [".svg"]
    assert all(b"<svg" in figure[:500] for figure in drawn.values())


def test_claims_that_disagree_are_no_board(claims):
    with pytest.raises(ClaimError, match="Two claims in q are of the rule mean"):
        board_of("q", [claims[0], claims[0]], {})
    row = list(claims[1].rows[0])
    row[claims[1].columns.index("loss")] = 7.0
    other = claims[1].model_copy(update={"rows": [tuple(row), *claims[1].rows[1:]]})
    with pytest.raises(ClaimError, match="disagree on the cell"):
        board_of("q", [claims[0], other], {})


def test_there_is_a_page_for_each_rule_and_attack(made, board):
    names = {name for name in made if name.endswith(".md")}
    attacks = ("alie", "ipm", "label_flip", "min_max", "mpaf", "sign_flip")
    wanted = {"quickstart.md", *(f"quickstart/rules/{safe(rule)}.md" for rule in RULES)}
    assert names == wanted | {f"quickstart/attacks/{attack}.md" for attack in attacks}
    assert "(quickstart.md)" in index([board])
    assert "No claim" in index([])


def test_every_link_leads_to_a_page(made):
    for name, page in made.items():
        if not name.endswith(".md"):
            continue
        assert isinstance(page, str)
        for address in re.findall(r'(?:href|src)="([^"]+)"|\]\(([^)]+)\)', page):
            path = (Path("boards") / name).parent / "".join(address).split("#")[0]
            parts: list[str] = []
            for word in path.as_posix().split("/"):
                parts = parts[:-1] if word == ".." else [*parts, word]
            found = "/".join(parts).removeprefix("boards/").replace(".html", ".md")
            assert found in made or found in ("claims.md", "methods/aggregators.md"), (name, address)


def test_a_page_holds_what_is_known(made):
    page = made["quickstart/rules/krum.md"]
    assert isinstance(page, str)
    for said in ("A sentence.", "* **Release:** none.", "@misc{a}", "check-claim krum.json", "not ranked"):
        assert said in page
    board = made["quickstart.md"]
    assert isinstance(board, str)
    assert "# Quick <start>" in board  # from us
    assert re.findall(r'data-needs="([^"]*)"', board).count("root_data") == 1
    assert "<script" not in "".join(page for page in made.values() if isinstance(page, str))


def test_names_of_strangers_are_text(claims):
    bad = '<img src=x onerror="alert(1)">[a](javascript:b) `c` | *d*'
    named = claims[1].model_dump(mode="json")
    for form in named["forms"]:
        if form["rule"] == "krum":
            form["rule"] = bad
    named["rule"] = bad
    hostile = claims[0].__class__.model_validate(named)
    for name, page in pages(board_of("q", [claims[0], hostile], {}), "T", {}, {}):
        assert re.fullmatch(r"[\w./=-]+", name)
        if name.endswith(".md"):
            assert isinstance(page, str)
            assert "<img" not in page
            markdown = "\n".join(line for line in page.splitlines() if not line.startswith("<"))
            assert not re.search(r"(?<!\\)\]\(javascript|(?<![\\`])`c", markdown)


def test_a_rank_is_one_of_the_ranks_of_its_track(board, claims):
    of_rule = {"mean": ("A", 1), "krum": ("A", 2), "fltrust": ("A", None)}  # the last has no rank
    table = board.leaderboard.table.assign(rank_low=1, rank_high=2, tied=False)
    table["track"], table["rank"] = zip(*map(of_rule.__getitem__, table["aggregator"]), strict=True)
    ranked = replace(board, leaderboard=replace(board.leaderboard, table=table))
    assert "rank 2 of 2, between 1 and 2" in page_of_rule(ranked, "T", claims[1], {}, [])
    assert "not ranked" in page_of_rule(ranked, "T", claims[2], {}, [])
