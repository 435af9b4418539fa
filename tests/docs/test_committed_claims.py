"""The committed claims: whole, of the plan and the suite that they name, and together the leaderboard."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from robustbench_fl.analysis import claimed
from robustbench_fl.analysis.boards import board_of
from robustbench_fl.core.claim_file import read_claim, text_of
from robustbench_fl.report.naming import safe
from robustbench_fl.sweep.claimed import against_plan, sampled
from robustbench_fl.sweep.claimed_suite import suite_faults

CLAIMS = Path(__file__).parents[2] / "results" / "claims"
FOLDERS = sorted(path.name for path in CLAIMS.glob("*/"))
HELD = (
    "worst_accuracy",
    "worst_attack",
    "mean_accuracy",
    "clean_accuracy",
    "defence_tax",
    "server_ms",
    "told",
)


def test_there_are_some() -> None:
    assert {"quickstart", "rbfl-1-smoke"} <= set(FOLDERS)


@pytest.mark.parametrize("folder", FOLDERS)
def test_claims_are_true_of_plan_suite_and_leaderboard(folder: str) -> None:
    paths = sorted((CLAIMS / folder).glob("*.json"))
    claims = [read_claim(path) for path in paths]
    for path, claim in zip(paths, claims, strict=True):
        assert path.name == f"{safe(claim.rule)}.json"
        assert path.read_text() == text_of(claim)
        assert against_plan(claim).faults == []
        assert suite_faults(claim) == []
        assert folder == (f"{claim.suite.name}-{claim.suite.tier}" if claim.suite else "quickstart")
    table = board_of(folder, claims, {}).leaderboard.table.set_index("aggregator")
    for claim in claims:
        assert not claimed._OF_OTHERS & set(claim.reported.whole)
        stated = {name: claim.reported.whole[name] for name in HELD}
        row: dict[str, Any] = {name: table.loc[claim.rule, name] for name in HELD}
        assert row == pytest.approx(stated, abs=1e-9), claim.rule


def test_a_cell_of_a_committed_claim_is_the_same_again(run_here: Any, tmp_path: Path) -> None:
    path = CLAIMS / "rbfl-1-smoke" / "krum.json"
    claim = read_claim(path)
    rules = [claim.forms[row.form].rule for row in sampled(claim, against_plan(claim), 5, 3)]
    assert rules == [*["krum"] * 4, "mean"]
    done = run_here(tmp_path, "check-claim", path, "--sample", 1, "--seed", 3)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("confirmed") == 1
