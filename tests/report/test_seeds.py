"""How many seeds stand behind a figure."""

from __future__ import annotations

import pandas as pd
import pytest

from robustbench_fl.analysis.curves import curves
from robustbench_fl.analysis.frame import frame
from robustbench_fl.report import learning
from robustbench_fl.report.panels import panels
from robustbench_fl.report.seeds import seeds_text


@pytest.mark.parametrize(
    ("seeds", "expected"),
    [
        ({"alie": 1, "ipm": 1}, "n=1"),
        ({"alie": 5, "ipm": 5}, "5 seeds"),
        ({"alie": 3, "ipm": 20}, "3 to 20 seeds"),
    ],
)
def test_words(seeds: dict[str, int], expected: str) -> None:
    rows = [{"aggregator": "krum", "attack": a, "seed": s} for a, n in seeds.items() for s in range(n)]
    assert seeds_text(pd.DataFrame(rows)) == expected


def test_seeds_that_were_planned_and_not_run_do_not_stand_behind_curves(record, monkeypatch):
    cells = [
        record("mean", "ipm", 0.5, seed=seed, status="done" if seed < 2 else "missing") for seed in range(5)
    ]
    notes = []
    monkeypatch.setattr(learning, "head", lambda drawn, title, note: notes.append(note))
    (panel,) = panels(frame(cells))
    assert learning.learning_curves(panel, curves(cells))
    assert notes == ["accuracy on the test split, mean over 2 seeds, bands from the lowest to the highest"]
