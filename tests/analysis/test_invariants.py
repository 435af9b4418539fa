from pathlib import Path

import pandas as pd
import pytest

from robustbench_fl.analysis.frame import frame
from robustbench_fl.analysis.invariants import IdentityError, check_detection, check_worst_below_mean
from robustbench_fl.analysis.leaderboard import leaderboard
from robustbench_fl.store import Store

COMMITTED = sorted(path.parent for path in Path(__file__).parents[2].glob("results/*/cells.jsonl.*"))


def detector(record, **rates):
    return frame([record("flame", "ipm", 0.8, malicious=0.2, **rates)])


def test_numbers_that_agree_pass(record):
    check_detection(detector(record, tpr=0.5, fpr=0.25, dacc=0.2 * 0.5 + 0.8 * 0.75))


def test_a_wrong_detection_accuracy_is_found(record):
    with pytest.raises(IdentityError, match="DACC ≠"):
        check_detection(detector(record, tpr=0.5, fpr=0.25, dacc=0.74))


def test_detection_accuracy_lies_between_what_it_mixes(record):
    with pytest.raises(IdentityError, match="not between"):
        check_detection(detector(record, tpr=0.336, fpr=0.208, dacc=0.8703, participation=0.1))
    check_detection(detector(record, tpr=0.336, fpr=0.208, dacc=0.6, participation=0.1))


def test_a_client_that_was_never_seen_is_no_contradiction(record):
    # Two of the eight honest clients sent NaN in every round: 2 malicious and 6 honest were judged.
    rates = {"tpr": 1.0, "fpr": 1 / 6, "dacc": 7 / 8}
    cell = record("flame", "ipm", 0.8, malicious=0.2, **rates)
    with pytest.raises(IdentityError, match="DACC ≠"):
        check_detection(frame([cell]))
    cell["counts"]["non_finite_rows"] = 40
    check_detection(frame([cell]))


def test_detection_without_malicious_clients_is_refused(record):
    with pytest.raises(IdentityError, match="without any malicious"):
        check_detection(frame([record("flame", "none", 0.8, tpr=1.0, fpr=0.0)]))


def test_rates_are_fractions(record):
    with pytest.raises(IdentityError, match="outside"):
        check_detection(detector(record, tpr=50.0, fpr=0.25, dacc=0.7))


def test_a_worst_case_above_the_mean_is_refused():
    with pytest.raises(IdentityError, match="krum"):
        check_worst_below_mean(
            pd.DataFrame({"aggregator": ["krum"], "worst_accuracy": [0.6], "mean_accuracy": [0.5]})
        )


@pytest.mark.parametrize("folder", COMMITTED, ids=lambda path: path.name)
def test_committed_cells_satisfy_the_identities(folder):
    records = Store.existing(folder).records()
    table = frame(records)
    check_detection(table)
    board = leaderboard(table).table
    known = board.dropna(subset=["worst_accuracy"])
    regular = table[(table["attack"] != "none") & ~table["adaptive"] & table["accuracy"].notna()]
    assert len(known) == regular["aggregator"].nunique()  # none where all attacks are adaptive
    assert (known["worst_accuracy"] <= known["mean_accuracy"] + 1e-12).all()
    judged = 0
    for record in records:
        metrics = record.get("metrics") or {}
        if metrics.get("dacc") is None or record["cell"]["participation"] < 1:
            continue
        if record["counts"]["non_finite_rows"]:
            continue
        judged += 1
        malicious = len(record["federation"]["malicious"])
        honest = len(record["federation"]["sizes"]) - malicious
        wrong = malicious * (1 - metrics["tpr"]) + honest * metrics["fpr"]
        assert metrics["dacc"] == pytest.approx(1 - wrong / (malicious + honest), abs=1e-9)
        assert wrong == pytest.approx(round(wrong), abs=1e-6)  # clients are counted, not estimated
    attacked = table[(table["attack"] != "none") & table["dacc"].notna()]
    attacked = attacked[~(attacked["non_finite_rows"] > 0) & (attacked["participation"] == 1)]
    assert judged == len(attacked)


@pytest.mark.parametrize("folder", COMMITTED, ids=lambda path: path.name)
def test_infeasible_cells_of_committed_results_are_not_missing(folder):
    table = frame(Store.existing(folder).records())
    covered = leaderboard(table).table.set_index("aggregator")["coverage"]
    for rule, cells in table.groupby("aggregator"):
        infeasible = int((cells["status"] == "infeasible").sum())
        done, feasible = map(int, covered[rule].split(",")[0].split("/"))
        assert done == int(cells["accuracy"].notna().sum())
        assert feasible >= len(cells) - infeasible
        assert (f"{infeasible} infeasible" in covered[rule]) == (infeasible > 0)
