"""The critical-difference diagram: average ranks, and which of them do not differ."""

from __future__ import annotations

from robustbench_fl.analysis.significance import Significance
from robustbench_fl.report.canvas import INK, encoded, figure, page_width, style, wrapped


def critical_difference(found: Significance) -> bytes:
    """Return the figure of the diagram, drawn by scikit-posthocs.

    Rules stand at their average rank, the best on the left; a bar joins rules that do not differ by
    Nemenyi's test at 0.05. Without colour, so that it reads the same for every eye and in print.

    References
    ----------
    .. [1] J. Demšar, "Statistical Comparisons of Classifiers over Multiple Data Sets", JMLR 7, 2006,
       Section 3.2.3.
    """
    import scikit_posthocs

    ranks = found.table.set_index("aggregator")["average_rank"]
    with style():
        drawn = figure(page_width() or 7.0, 0.14 * len(ranks) + 1.3)
        axes = drawn.add_axes((0, 0, 1, 1))
        scikit_posthocs.critical_difference_diagram(
            ranks,
            found.nemenyi,
            ax=axes,
            label_fmt_left="{label}  {rank:.1f} ",
            label_fmt_right=" {rank:.1f}  {label}",
            label_props={"fontsize": 9},
            color_palette=dict.fromkeys(ranks.index, INK),
            marker_props={"s": 14},
            elbow_props={"linewidth": 0.7},
            crossbar_props={"color": INK, "linewidth": 3.0},
            text_h_margin=0.03 * len(ranks),
        )
        axes.spines["top"].set_visible(True)
        friedman = (
            "all rules tie"
            if found.friedman_p != found.friedman_p
            else f"Friedman p = {found.friedman_p:.2g}"
        )
        title = (
            f"Average rank over {found.n_units} units, 1 is best; critical difference "
            f"{found.critical_difference:.2f}; {friedman}"
        )
        note = (
            "Ranks weigh each unit alike; the leaderboard averages accuracies, and may name another winner."
        )
        axes.set_title(f"{wrapped(title, 8)}\n{wrapped(note, 8)}", loc="left", fontsize=8, pad=14)
        return encoded(drawn)
