"""Tuned rules in tables: what they stand for, and whether all rules were tuned alike."""

from __future__ import annotations

from collections.abc import Collection

import pandas as pd

from robustbench_fl.core.tuned import is_tuned, tuned


def tuned_to(cells: pd.DataFrame) -> pd.Series:
    """Return what each tuned rule stands for, such as ``"clip(c=8) > mean, lr 0.1"``, by rule.

    Parameters
    ----------
    cells : pandas.DataFrame
        As from :func:`robustbench_fl.analysis.frame.frame`. Rules that differ between data sets name them.
    """
    if "run_aggregator" not in cells:
        return pd.Series(dtype=object)
    rows = cells[cells["aggregator"].map(is_tuned) & cells["run_aggregator"].notna()]
    rows = rows[["aggregator", "dataset", "run_aggregator", "run_lr"]].drop_duplicates()
    found = {}
    for rule, runs in rows.groupby("aggregator"):
        texts = [
            f"{name}, lr {lr:g}" for name, lr in zip(runs["run_aggregator"], runs["run_lr"], strict=True)
        ]
        if len(set(texts)) > 1:
            texts = [f"{text} ({data})" for text, data in zip(texts, runs["dataset"], strict=True)]
        found[rule] = "; ".join(dict.fromkeys(texts))
    return pd.Series(found, dtype=object)


def with_chosen_parameters(rules: Collection[str]) -> list[str]:
    """Return the rules whose parameters were chosen where those of others were not.

    Tuned rules are chosen by the same grid, and count only where some rule has no tuned form.

    Examples
    --------
    >>> with_chosen_parameters(["krum", "tuned > krum"]), with_chosen_parameters(["krum", "clip(c=8) > mean"])
    ([], ['clip(c=8) > mean'])
    """
    own = [rule for rule in rules if not is_tuned(rule)]
    given = [rule for rule in own if "(" in rule]
    forms = [rule for rule in rules if is_tuned(rule)]
    uneven = forms if {tuned(rule) for rule in own} != set(forms) else []
    return [*(given if len(given) < len(own) else []), *uneven]
