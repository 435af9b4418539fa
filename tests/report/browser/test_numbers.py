"""The page's numbers under every filter are those of analysis/."""

from pathlib import Path

import pandas as pd
import pytest

from robustbench_fl.analysis.blocks import completed, in_blocks
from robustbench_fl.analysis.coverage import imputed, only_counted
from robustbench_fl.analysis.frame import frame
from robustbench_fl.analysis.leaderboard import leaderboard
from robustbench_fl.analysis.matrix import matrix
from robustbench_fl.analysis.ranking import equal_scores, ranked
from robustbench_fl.analysis.scores import resample
from robustbench_fl.store import Store

QUICKSTART = Path(__file__).parents[3] / "results" / "quickstart"
TEXTS = ("worst_attack", "told", "coverage", "note")
NUMBERS = (
    *("worst_accuracy_honest", "worst_accuracy", "worst_adaptive", "mean_accuracy", "clean_accuracy"),
    *("iqm_accuracy", "max_accuracy_loss"),
    *("defence_tax", "attack_success", "tpr", "fpr", "clean_fpr", "server_ms", "server_ms_attacked"),
    "peak_memory_mb",
)
INTERVALS = {
    "worst_accuracy_honest": "honest",
    "mean_accuracy": "mean",
    "iqm_accuracy": "iqm",
    "rank": "rank",
}


def ranks(found):
    """Return the ranks of the rules that have one."""
    return {rule: int(row["rank"]) for rule, row in found.items() if row["rank"]}


def same_board(found, table):
    """Assert that a leaderboard of the page is one of analysis/, number by number."""
    table = table.set_index("aggregator")
    assert list(found) == list(table.index)
    for rule in table.index:
        rank = table.loc[rule, "rank"]
        assert found[rule]["rank"] == (None if pd.isna(rank) else str(rank)), rule
        for name in (*TEXTS, *NUMBERS):
            wanted = table.loc[rule].get(name)
            shown = found[rule].get(name)
            if wanted is None or pd.isna(wanted) or wanted == "":
                assert shown in (None, ""), (rule, name)
            elif name in TEXTS:
                assert shown == wanted, (rule, name)
            else:
                assert float(shown) == pytest.approx(wanted, abs=1e-9), (rule, name)
        for name, short in INTERVALS.items():
            if f"{short}_low" in table:
                for end in ("low", "high"):
                    shown = float(found[rule].get(f"{name}_{end}") or "nan")
                    bound = table.loc[rule, f"{short}_{end}"]
                    wanted = float("nan") if pd.isna(bound) else float(bound)
                    assert shown == pytest.approx(wanted, abs=1e-9, nan_ok=True), (rule, name)


FILTERS = [
    ({}, lambda r: True),
    ({"filter-malicious": "30 %"}, lambda r: r["cell"]["malicious"] == 0.3),
    ({"filter-malicious": "0 %"}, lambda r: r["cell"]["malicious"] == 0),
    ({"filter-partition": "iid"}, lambda r: r["labels"]["partition"] == "iid"),
    ({"filter-dataset": "mnist"}, lambda r: r["labels"]["dataset"] == "mnist"),
    (
        {"filter-dataset": "digits", "filter-malicious": "10 %"},
        lambda r: r["labels"]["dataset"] == "digits" and r["cell"]["malicious"] == 0.1,
    ),
    ({"family": "backdoor"}, lambda r: r["facts"]["category"] in ("none", "backdoor")),
    (
        {"family": "update", "filter-partition": "dirichlet(alpha=0.1)"},
        lambda r: r["facts"]["category"] in ("none", "update") and "alpha" in r["labels"]["partition"],
    ),
    ({"adaptive": "only not adaptive"}, lambda r: not r["facts"]["adaptive"]),
    ({"adaptive": "only adaptive"}, lambda r: r["facts"]["adaptive"] or r["labels"]["attack"] == "none"),
]


@pytest.mark.parametrize("missing", ["exclude", "worst", "zero"])
def test_filtered_numbers_are_those_of_the_tables(opened, several_seeds, missing):
    cells = several_seeds
    shown = opened("several", cells, missing)
    for choices, keep in FILTERS if missing == "exclude" else FILTERS[1:7:3]:
        shown.choose(**choices)
        wanted = leaderboard(frame([cell for cell in cells if keep(cell)]), missing)
        same_board(shown.board(), wanted.table)


def test_filtered_numbers_of_real_cells(opened):
    cells = Store.existing(QUICKSTART).records()
    shown = opened("quickstart", cells)
    for choices, keep in [
        FILTERS[0],
        FILTERS[1],
        ({"family": "data"}, lambda r: r["facts"]["category"] in ("none", "data")),
    ]:
        shown.choose(**choices)
        same_board(shown.board(), leaderboard(frame([cell for cell in cells if keep(cell)])).table)


def test_assumed_f(opened, assumed):
    cells = assumed
    shown = opened("assumed", cells)
    same_board(shown.board(), leaderboard(frame(cells)).table)
    shown.choose(assumed="0.5x")
    kept = [cell for cell in cells if cell["cell"]["assumed_f"] in (None, "0.5x")]
    same_board(shown.board(), leaderboard(frame(kept)).table)


def test_what_a_rule_is_told_chooses_who_is_compared(opened, several_seeds):
    cells = several_seeds
    shown = opened("several", cells)
    shown.choose(refused=["f"])
    table = leaderboard(frame(cells)).table.set_index("aggregator")
    kept = table[~table["told"].str.contains(r"\bf\b")]
    drawn = resample(in_blocks(imputed(only_counted(completed(frame(cells))), "exclude")))

    def within_doubt(first, second):
        low, high = drawn.difference("worst_accuracy_honest", first, second)
        return low <= 0 <= high

    fit = kept.loc[kept["note"] == "", "worst_accuracy_honest"]
    places = ranked(fit, within_doubt)["rank"]
    found = shown.board()
    assert set(found) == set(kept.index) < set(table.index)
    assert ranks(found) == places.to_dict()
    assert {rule: float(row["worst_accuracy"]) for rule, row in found.items()} == pytest.approx(
        kept["worst_accuracy"].to_dict()
    )
    assert "Ranks are among the rules shown" in shown.run(
        "return document.getElementById('board-caption').innerText"
    )


def test_told_with_one_seed(opened):
    cells = Store.existing(QUICKSTART).records()
    shown = opened("quickstart", cells)
    shown.choose(refused=["root_data", "client_ids"])
    table = leaderboard(frame(cells)).table.set_index("aggregator")
    kept = table[~table["told"].str.contains("root_data|client_ids") & (table["note"] == "")]
    wanted = ranked(kept["worst_accuracy"], equal_scores(kept["worst_accuracy"]))["rank"].to_dict()
    assert ranks(shown.board()) == wanted
    assert "n=1, no interval" in shown.run("return document.getElementById('board-caption').innerText")


def loss(table):
    """Return the frame with each cell's accuracy loss in place of its accuracy, by a plain join."""
    keys = ["dataset", "partition", "malicious", "aggregator", "assumed_f", "seed"]
    clean = table[table["attack"] == "none"].set_index(keys)["accuracy"]
    lost = [
        clean.get(tuple(row[k] for k in keys), float("nan")) - row["accuracy"]
        if row["attack"] != "none"
        else None
        for _, row in table.assign(assumed_f=table["assumed_f"].astype(object)).iterrows()
    ]
    return pd.Series(lost, index=table.index, dtype=float)


@pytest.mark.parametrize("value", ["accuracy", "attack_success", "accuracy_loss"])
def test_the_matrix_is_the_tables_matrix(opened, several_seeds, value):
    cells = several_seeds
    shown = opened("several", cells)
    for choices, keep in (FILTERS[0], FILTERS[1], FILTERS[5]):
        shown.choose(**choices)
        shown.run(
            "const v = document.getElementById('value'); v.value = arguments[0];"
            "v.dispatchEvent(new Event('change', {bubbles: true}))", value,
        )  # fmt: skip
        table = frame([cell for cell in cells if keep(cell)])
        if value == "accuracy_loss":
            # A value that is better when it is lower and that the matrix can average.
            table = table.assign(loss=loss(table.assign(assumed_f=table["assumed_f"].fillna(""))))
        wanted = matrix(table, "aggregator", "attack", "loss" if value == "accuracy_loss" else value)
        found = shown.matrix()
        assert found
        for rule, attack, mean, done, planned, best, tied in found:
            expected = wanted.values.loc[rule, attack]
            assert float(mean if mean is not None else "nan") == pytest.approx(
                expected, abs=1e-9, nan_ok=True
            )
            assert (int(done), int(planned)) == (
                wanted.done.loc[rule, attack],
                wanted.planned.loc[rule, attack],
            )
            assert best == wanted.best.loc[rule, attack], (rule, attack)
            assert tied == wanted.tied.loc[rule, attack], (rule, attack)
        if not choices and value == "accuracy":
            assert wanted.tied.any(axis=None)
            assert not wanted.tied.all(axis=None)
        weak = shown.run(
            "return [...document.querySelectorAll('#matrix thead th')].map((h) => h.innerText.trim())"
            ".filter((t) => t.endsWith('†')).map((t) => t.slice(0, -1))"
        )
        assert set(weak) == set(wanted.ineffective) & {attack for _, attack, *_ in found}
