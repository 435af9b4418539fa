import csv
import io
import json
import re

import pandas as pd
import pytest

from robustbench_fl.analysis.frame import COLUMNS, frame
from robustbench_fl.analysis.leaderboard import leaderboard
from robustbench_fl.analysis.matrix import matrix
from robustbench_fl.core.errors import UsageError
from robustbench_fl.report.tables import render

BASIC = {
    "mean": {"none": 0.9, "ipm": 0.5},
    "krum": {"none": 0.8, "ipm": 0.71234},
    "oracle_mean": {"none": 0.9, "ipm": 0.88},
}


def markdown_rows(text):
    """The entries of a Markdown table, split at bars that are not escaped."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[entry.strip() for entry in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


@pytest.fixture
def board(grid):
    return leaderboard(frame([cell for seed in range(5) for cell in grid(BASIC, seed=seed)]))


def test_markdown_is_well_formed_and_in_percent(board):
    text = render(board, "md")
    first, second = text.split("### Track ")[1:]
    assert first.startswith("A, the server knows nothing but the updates\n")
    header, ruler, *rows = markdown_rows(second)
    assert {len(row) for row in (header, ruler, *rows)} == {len(header)}
    assert all(re.fullmatch(r":?-+:?", mark) for mark in ruler)
    entries = {row[1]: dict(zip(header, row, strict=True)) for row in rows}
    assert list(entries) == ["oracle_mean", "krum", "mean"]
    assert entries["krum"]["Worst %"] == "71.2 [71.2, 71.2]"
    assert entries["krum"]["#"] == "1 [1, 1]"
    assert entries["oracle_mean"]["#"] == "–"
    assert entries["mean"]["Note"] == "best of track A"
    assert "TPR %" not in header  # nobody detects: no empty columns for people
    assert text.endswith(board.caption)


def test_csv_has_raw_names_and_fractions(board):
    first, *rows = csv.reader(io.StringIO(render(board, "csv")))
    assert first[:6] == ["track", "rank", "tied", "rank_low", "rank_high", "aggregator"]
    assert first.count("aggregator") == 1
    assert [row[0] for row in rows] == ["A", "B", ""]  # every rule once, baselines too
    for name in (
        "clean_accuracy",
        "defence_tax",
        "tpr",
        "clean_fpr",
        "server_ms_attacked",
        "told",
        "coverage",
    ):
        assert name in first
    krum = next(row for row in rows if row[5] == "krum")
    assert float(krum[first.index("worst_accuracy")]) == 0.71234
    assert krum[first.index("tpr")] == ""


def test_json_has_null_for_nothing(board):
    data = json.loads(render(board, "json"))
    assert (data["rank_column"], data["score_column"]) == ("rank", "worst_accuracy")
    rows = {row["aggregator"]: row for row in data["rows"]}
    assert rows["oracle_mean"]["rank"] is None
    assert rows["krum"]["tpr"] is None
    assert rows["krum"]["rank"] == 1


def test_terminal_lines_up_and_wraps_the_caption(board):
    *_, title, body, caption = render(board, "table").split("\n\n")
    assert title.startswith("Track B")
    head, ruler, *rows = body.splitlines()
    start = head.index("Aggregator")
    assert [row[start:].split()[0] for row in rows] == ["oracle_mean", "krum", "mean"]
    assert ruler[start - 1] == " "
    assert max(map(len, caption.splitlines())) <= 100


def test_cells_as_csv(grid):
    table = frame(grid(BASIC))
    first = next(csv.reader(io.StringIO(render(table, "csv"))))
    assert first[: len(COLUMNS)] == list(COLUMNS)


def test_matrix_marks(grid, record):
    cells = grid(BASIC, seed=0) + grid(BASIC, seed=1)
    cells += [record("median", "ipm", 0.6, seed=0), record("median", "ipm", status="missing", seed=1)]
    table = matrix(frame(cells))
    rows = {row[0]: row for row in markdown_rows(render(table, "md"))}
    assert rows["Aggregator"] == ["Aggregator", "none", "ipm"]
    assert rows["krum"] == ["krum", "80.0", "**71.2**"]
    assert rows["median"] == ["median", "–", "60.0\\*"]
    assert "Bold: best rule." in render(table, "md")
    assert "Bold" not in render(table, "table")
    assert "median,,0.6,1/4" in render(table, "csv")
    found = json.loads(render(table, "json"))["cells"]
    assert {"row": "median", "col": "none", "value": None, "done": 0, "planned": 2, "best": False,
            "tied": False} in found  # fmt: skip


def test_intervals_stand_in_brackets_for_people_only(grid):
    cells = [
        cell
        for seed, shift in enumerate((0.0, 0.02))
        for cell in grid({"mean": {"none": 0.9, "ipm": 0.5 + shift}}, seed=seed)
    ]
    board = leaderboard(frame(cells))
    # A standard error of 0.01, and t with one degree of freedom is 12.71.
    assert "51.0 [38.3, 63.7]" in render(board, "md")
    assert "[" not in render(board, "csv").split("\n", 1)[1]
    assert {"worst_low", "worst_high", "mean_low"} <= set(render(board, "csv").split("\n")[0].split(","))


def test_ties_are_marked(grid):
    rules = {"a": {"ipm": 0.5}, "b": {"ipm": 0.5}, "c": {"ipm": 0.4}}
    text = render(leaderboard(frame([cell for seed in range(5) for cell in grid(rules, seed=seed)])), "md")
    assert [row[0] for row in markdown_rows(text)[2:]] == ["1= [1, 2]", "1= [1, 2]", "3 [3, 3]"]


def test_labels_cannot_break_a_table(grid):
    text = render(matrix(frame(grid({"rule|x": {"ipm": 0.5}, "*b*": {"ipm": 0.4}}))), "md")
    assert [row[0] for row in markdown_rows(text)[2:]] == ["\\*b\\*", "rule\\|x"]


def test_latex_is_escaped(grid):
    text = render(matrix(frame(grid(BASIC))), "latex")
    assert r"oracle\_mean & 90.0 & 88.0 \\" in text
    assert r"\textbf{71.2}" in text
    assert text.count(r"\\") == 4


def test_a_plain_frame(grid):
    table = pd.DataFrame({"attack": ["ipm", None], "accuracy": [0.5, None]})
    assert markdown_rows(render(table, "md"))[2:] == [["ipm", "50.0"], ["–", "–"]]
    assert json.loads(render(table, "json"))["rows"][1] == {"attack": None, "accuracy": None}


def test_a_caption_explains_the_columns_that_are_shown(board):
    of_column = {
        "rank": ("Rules share a rank (=)", "Brackets of ranks: "),
        "worst_accuracy": ("Brackets: 95 % t interval over seeds.", "The upper end of the worst case"),
        "worst_left_out": ("worst_left_out: ",),
        "iqm_accuracy": ("iqm_accuracy: ",),
        "max_accuracy_loss": ("max_accuracy_loss: ",),
    }
    for format_ in ("md", "json"):
        for wanted in of_column:
            text = render(board, format_, columns=[wanted])
            assert "Sorted by worst_accuracy: " in text
            assert "5 seeds. " in text
            for name, sentences in of_column.items():
                assert [one in text for one in sentences] == [name == wanted] * len(sentences)
    assert "Brackets: 95 %" in render(board, "md", columns=["mean_accuracy"])
    narrow = " ".join(render(board).split())  # a terminal, without the wide columns
    assert "iqm_accuracy: " not in narrow
    assert "Rules share a rank (=)" in narrow
    assert narrow.endswith("More columns: --wide.")


def test_an_unknown_format_is_refused(board):
    with pytest.raises(UsageError, match=r"Unknown format 'mdd'\. Did you mean md"):
        render(board, "mdd")
