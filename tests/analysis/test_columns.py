"""One place says how a column reads."""

from pathlib import Path

import pytest

from robustbench_fl.analysis import attacks, costs, detection, leaderboard
from robustbench_fl.analysis.columns import COLUMNS, JUDGED, VALUES, bounds, column, sign, without_bounds
from robustbench_fl.analysis.frame import FLOATS

ROOT = Path(__file__).parents[2] / "robustbench_fl"


@pytest.mark.parametrize("module", [attacks, costs, detection, leaderboard])
def test_headers_of_a_table_tell_its_columns_apart(module):
    headers = [column(name).header for name in without_bounds(module.COLUMNS)]
    assert len(set(headers)) == len(headers)


def test_a_matrix_averages_only_what_a_cell_measures():
    assert {*FLOATS, "accuracy_loss"} > VALUES > JUDGED
    assert (sign("accuracy"), sign("server_ms")) == (1.0, -1.0)


def test_bounds_are_hidden_with_their_column_only():
    assert bounds("mean_accuracy") == ("mean_low", "mean_high")
    assert without_bounds(["mean_accuracy", "mean_low", "mean_high", "rank_low"]) == [
        "mean_accuracy",
        "rank_low",
    ]


def test_a_comparison_reads_its_unit_from_the_column():
    assert column("server_ms_a").header == "A, server time, ms"
    assert column("accuracy_b").header == "B, accuracy %"
    assert column("loss_delta").header == "B − A, loss"


def test_no_other_file_of_the_package_repeats_a_title():
    titles = {known.header for name, known in COLUMNS.items() if known.unit and name != "accuracy"}
    for path in [*(ROOT / "report").rglob("*.py"), *(ROOT / "analysis").glob("*.py")]:
        if path.name != "columns.py":
            text = path.read_text()
            assert not [title for title in titles if f'"{title}"' in text], path
