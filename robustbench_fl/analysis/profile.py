"""Performance profiles: in what share of the settings a rule is within δ of the best.

Dolan and Moré compare solvers by the ratio of their time to the best solver's. Accuracies are bounded and
near 1 where rules do well, so here it is the difference to the best accuracy, in points.

References
----------
.. [1] E. D. Dolan and J. J. Moré, "Benchmarking optimization software with performance profiles",
   Mathematical Programming 91, 2002, Section 2.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from robustbench_fl.analysis.blocks import in_blocks
from robustbench_fl.analysis.coverage import beyond_all, counted_cells
from robustbench_fl.analysis.picks import Array
from robustbench_fl.analysis.scores import attacked, block_means
from robustbench_fl.analysis.strengths import by_family, families_of


def gaps(frame: pd.DataFrame) -> pd.DataFrame:
    """Return how far each rule is from the best rule in each setting.

    Parameters
    ----------
    frame : pandas.DataFrame
        As from :func:`robustbench_fl.analysis.frame.frame`.

    Returns
    -------
    pandas.DataFrame
        A row a setting (block and attack; neither ``none`` nor adaptive), a column a ranked rule:
        the best mean accuracy over seeds minus the rule's, ≥ 0; infinite where the rule has no
        result, or not for every seed, as for a solver that fails. Of a family of attacks each rule
        stands at its worst member, since a pilot may have picked others for it. Empty without such
        settings.
    """
    cells = counted_cells(frame)
    rows = attacked(in_blocks(cells[~beyond_all(cells)]))
    rows = rows[rows["ranked"]]
    entry = [rows["aggregator"], rows["_block"], rows["attack"].map(families_of(rows))]
    whole = rows["accuracy"].notna().groupby(entry).transform("all")
    rows = by_family(rows.assign(accuracy=rows["accuracy"].where(whole)))
    means = block_means(rows)
    if means.empty:
        return pd.DataFrame()
    index = rows.groupby(["_block", "attack"]).size().index
    table = means.pivot(index=["_block", "attack"], columns="aggregator", values="accuracy")
    table = table.reindex(index=index, columns=sorted(rows["aggregator"].unique()))
    table = table.dropna(how="all")
    return table.rsub(table.max(axis=1), axis=0).fillna(np.inf)


def share_within(gap: pd.Series, deltas: Array) -> Array:
    """Return the share of settings in which a rule is within each of `deltas` of the best.

    Examples
    --------
    >>> share_within(pd.Series([0.0, 0.1, np.inf]), np.array([0.0, 0.1, 1.0])).round(2).tolist()
    [0.33, 0.67, 0.67]
    """
    ordered = np.sort(gap.to_numpy(dtype=float))
    share: Array = np.searchsorted(ordered, deltas + 1e-12, side="right") / len(ordered)
    return share
