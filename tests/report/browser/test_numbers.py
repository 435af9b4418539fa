"""What the page shows in every view is what analysis/ says of those cells."""

from pathlib import Path

import pandas as pd
import pytest

from robustbench_fl.analysis.columns import bounds
from robustbench_fl.analysis.frame import frame
from robustbench_fl.analysis.leaderboard import leaderboard
from robustbench_fl.analysis.matrix import matrix
from robustbench_fl.store import Store

QUICKSTART = Path(__file__).parents[3] / "results" / "quickstart"
VIEWS = [
    ("All cells", lambda r: True),
    ("30 %", lambda r: r["cell"]["malicious"] == 0.3),
    ("0 %", lambda r: r["cell"]["malicious"] == 0),
    ("iid", lambda r: r["labels"]["partition"] == "iid"),
    ("mnist", lambda r: r["labels"]["dataset"] == "mnist"),
    ("backdoor", lambda r: r["facts"]["category"] in ("none", "backdoor")),
    (
        "digits, dirichlet(alpha=0.1), 30 %",
        lambda r: (
            (r["labels"]["dataset"], r["cell"]["malicious"]) == ("digits", 0.3)
            and "alpha" in r["labels"]["partition"]
        ),
    ),
]


def same(shown, wanted):
    """Whether a text of the page is a value of a table."""
    if wanted is None or pd.isna(wanted) or wanted == "":
        return shown in (None, "")
    return shown == wanted if isinstance(wanted, str) else float(shown) == pytest.approx(wanted, abs=1e-9)


def assert_same(found, board):
    """Assert that the page's leaderboards are those of `board`, number by number."""
    parts = [board.of_track(track).table for track in board.tracks]
    assert len(found) == len(parts)
    for rows, table in zip(found, parts, strict=True):
        table = table.set_index("aggregator")
        assert list(rows) == list(table.index)
        for rule, row in rows.items():
            for name in set(table) - {"track", "tied"} - {n for c in table for n in bounds(c)}:
                assert same(row.get(name), table.loc[rule, name]), (rule, name)
                for end, bound in zip(("low", "high"), bounds(name), strict=True):
                    if bound in table:
                        assert same(row.get(f"{name}_{end}"), table.loc[rule, bound]), (rule, bound)


@pytest.mark.parametrize("missing", ["exclude", "worst", "zero"])
def test_every_view_shows_its_leaderboards(opened, several_seeds, missing):
    shown = opened("several", several_seeds, missing)
    for title, keep in VIEWS if missing == "exclude" else VIEWS[1:7:3]:
        shown.choose(view=title)
        assert_same(
            shown.boards(), leaderboard(frame([cell for cell in several_seeds if keep(cell)]), missing)
        )


def test_views_of_real_cells(opened):
    cells = Store.existing(QUICKSTART).records()
    shown = opened("quickstart", cells)
    for title, keep in [VIEWS[0], VIEWS[1], ("data", lambda r: r["facts"]["category"] in ("none", "data"))]:
        shown.choose(view=title)
        assert_same(shown.boards(), leaderboard(frame([cell for cell in cells if keep(cell)])))


def test_assumed_f(opened, assumed):
    shown = opened("assumed", assumed)
    shown.choose(view="0.5x")
    kept = [cell for cell in assumed if cell["cell"]["assumed_f"] in (None, "0.5x")]
    assert_same(shown.boards(), leaderboard(frame(kept)))


def test_one_track_alone(opened):
    cells = Store.existing(QUICKSTART).records()
    shown = opened("quickstart", cells)
    shown.choose(track="Track D: the server knows root data, clean samples of its own")
    (rows,) = shown.boards()
    assert list(rows) == list(leaderboard(frame(cells)).of_track("D").table["aggregator"])


@pytest.mark.parametrize("value", ["accuracy", "attack_success", "accuracy_loss"])
def test_the_matrix_is_the_tables_matrix(opened, several_seeds, value):
    shown = opened("several", several_seeds)
    for title, keep in VIEWS[:2]:
        shown.choose(view=title)
        shown.run(
            "const v = document.getElementById('value'); v.value = arguments[0];"
            "v.dispatchEvent(new Event('change', {bubbles: true}))", value,
        )  # fmt: skip
        wanted = matrix(frame([cell for cell in several_seeds if keep(cell)]), value=value)
        found = shown.matrix()
        assert found
        for rule, attack, mean, done, planned, best, tied in found:
            at = (rule, attack)
            assert same(mean, wanted.values.loc[at]), at
            assert (int(done), int(planned)) == (wanted.done.loc[at], wanted.planned.loc[at])
            assert best == wanted.best.loc[at], at
            assert tied == wanted.tied.loc[at], at
        if title == "All cells" and value == "accuracy":
            assert wanted.tied.any(axis=None)
            assert not wanted.tied.all(axis=None)
        weak = shown.run(
            "return [...document.querySelectorAll('#matrix thead th')].map((h) => h.innerText.trim())"
            ".filter((t) => t.startsWith('†')).map((t) => t.slice(1).trim())"
        )
        assert set(weak) == set(wanted.ineffective) & {attack for _, attack, *_ in found}
