"""Rows in the four formats of every listing."""

import csv
import io
import json

from robustbench_fl.cli.output import rows_text

ROWS = [
    {"name": "a|b", "value": 1 / 3, "needs": ["f", "raw"], "detector": True, "year": None},
    {"name": "c\nd", "value": 2.0, "needs": [], "detector": False, "year": 2018},
]


def test_table():
    assert rows_text(ROWS[:1], "table").splitlines() == [
        "name    value     needs    detector    year",
        "------  --------  -------  ----------  ------",
        "a|b     0.333333  f, raw   yes",
    ]


def test_markdown_keeps_its_columns():
    lines = rows_text(ROWS, "md").splitlines()
    assert len(lines) == 4
    assert all(line.replace("\\|", "").count("|") == 6 for line in lines)


def test_csv_keeps_every_digit():
    rows = list(csv.DictReader(io.StringIO(rows_text(ROWS, "csv"))))
    assert float(rows[0]["value"]) == 1 / 3
    assert [row["name"] for row in rows] == ["a|b", "c\nd"]
    assert rows[0]["needs"] == "f, raw"
    assert (rows[0]["year"], rows[1]["year"], rows[1]["detector"]) == ("", "2018", "no")


def test_latex_is_a_booktabs_tabular():
    lines = rows_text([{"name": "a_b", "share": 0.5}], "latex").splitlines()
    assert lines[0] == r"\begin{tabular}{ll}"
    assert r"a\_b & 0.5 \\" in lines


def test_json():
    assert json.loads(rows_text(ROWS, "json")) == ROWS


def test_no_rows():
    assert [rows_text([], f).strip() for f in ("table", "md", "csv", "latex", "json")] == [
        "",
        "",
        "",
        "",
        "[]",
    ]
