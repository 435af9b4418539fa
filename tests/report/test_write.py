import json
import re
import struct
import xml.etree.ElementTree as ET
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from robustbench_fl.analysis.curves import attack_ends, curves
from robustbench_fl.analysis.frame import frame
from robustbench_fl.analysis.leaderboard import leaderboard
from robustbench_fl.core.files import WriteError
from robustbench_fl.core.places import PlaceError
from robustbench_fl.report import canvas, write
from robustbench_fl.report.bars import worst_bars
from robustbench_fl.report.figures import write_figures
from robustbench_fl.report.heatmap import heatmap
from robustbench_fl.report.learning import learning_curves
from robustbench_fl.report.naming import safe
from robustbench_fl.report.panels import panels, short_names
from robustbench_fl.report.write import write_reports
from robustbench_fl.report.written import NOTE

BASIC = {
    "mean": {"none": 0.9, "ipm": 0.5},
    "krum": {"none": 0.8, "ipm": 0.7},
    "oracle_mean": {"none": 0.9, "ipm": 0.88},
}


def is_png(data):
    width, height = struct.unpack(">II", data[16:24])
    return data.startswith(b"\x89PNG") and width > 200 and height > 100


def names(folder):
    found = (str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    return sorted(name for name in found if name != NOTE)


def test_every_promised_file(grid, tmp_path):
    cells = (
        grid(BASIC, malicious=0.1) + grid(BASIC, malicious=0.3) + grid({"mean": {"none": 0.9}}, malicious=0.0)
    )
    written = write_reports(cells, tmp_path)
    block = "digits-dirichlet-alpha=0.5"
    assert names(tmp_path) == sorted(
        ["cells.csv", "figures/worst.png"]
        + [
            f"{name}.{kind}"
            for name in ("leaderboard", "leaderboard-by-fraction", "attacks", "costs", "differences")
            for kind in ("md", "csv")
        ]
        + [f"matrix-{block}-{share}.{kind}" for share in ("0.1", "0.3") for kind in ("md", "csv")]
        + [
            f"figures/{kind}-{block}-{share}.png"
            for share in ("0.1", "0.3")
            for kind in ("heatmap", "curves")
        ]
    )
    assert sorted(str(path.relative_to(tmp_path)) for path in written) == names(tmp_path)
    assert len(pd.read_csv(tmp_path / "cells.csv")) == len(cells)
    assert all(is_png(path.read_bytes()) for path in tmp_path.glob("figures/*.png"))


def test_the_same_cells_give_the_same_bytes(grid, tmp_path):
    cells = grid(BASIC)
    for name, order in (("a", cells), ("b", cells)):
        write_reports(order, tmp_path / name)
    for path in (tmp_path / "a").rglob("*.*"):
        if path.is_file():
            assert path.read_bytes() == (tmp_path / "b" / path.relative_to(tmp_path / "a")).read_bytes(), path


def test_other_formats_on_demand_go_when_not_asked_for_again(grid, tmp_path):
    write_reports(grid(BASIC), tmp_path, figures=False, also=("latex", "json"))
    assert r"\toprule" in (tmp_path / "leaderboard.tex").read_text()
    assert json.loads((tmp_path / "attacks.json").read_text())["score_column"] == "mean_drop"
    write_reports(grid(BASIC), tmp_path, figures=False)
    assert not list(tmp_path.glob("*.tex"))
    assert not list(tmp_path.glob("[!.]*.json"))


def test_stale_matrices_go_and_other_files_stay(grid, tmp_path):
    write_reports(grid(BASIC, malicious=0.1), tmp_path, figures=False)
    (tmp_path / "sweep.toml").write_text("kept")
    write_reports(grid(BASIC, malicious=0.3), tmp_path, figures=False)
    assert names(tmp_path) == [
        "attacks.csv",
        "attacks.md",
        "cells.csv",
        "costs.csv",
        "costs.md",
        "differences.csv",
        "differences.md",
        "leaderboard.csv",
        "leaderboard.md",
        "matrix-digits-dirichlet-alpha=0.5-0.3.csv",
        "matrix-digits-dirichlet-alpha=0.5-0.3.md",
        "sweep.toml",
    ]


MINE = ("matrix-of-my-life.csv", "costs-of-my-house.csv", "figures/heatmap-of-my-house.png")


def test_only_what_was_written_here_is_ever_removed(grid, with_success, tmp_path):
    (tmp_path / "figures").mkdir()
    for name in MINE:
        (tmp_path / name).write_text("mine")
    write_reports(grid(BASIC, malicious=0.1), tmp_path, figures=False)
    edited = "matrix-digits-dirichlet-alpha=0.5-0.1.md"
    (tmp_path / edited).write_text("my notes on it")
    write_reports(grid(BASIC, malicious=0.3), tmp_path, figures=False)
    write_figures(with_success, tmp_path)
    assert all((tmp_path / name).read_text() == "mine" for name in MINE)
    assert (tmp_path / edited).read_text() == "my notes on it"
    assert not (tmp_path / edited.replace(".md", ".csv")).exists()


def test_a_file_of_ones_own_under_a_tables_name_is_kept_aside(grid, tmp_path):
    write_reports(grid(BASIC), tmp_path, figures=False)
    (tmp_path / "costs.csv").write_text("mine")
    with pytest.warns(UserWarning, match=r"costs.csv in .* It is kept as costs.csv.kept-1"):
        write_reports(grid(BASIC), tmp_path, figures=False)
    assert (tmp_path / "costs.csv.kept-1").read_text() == "mine"
    assert (tmp_path / "costs.csv").read_text() != "mine"
    (tmp_path / NOTE).write_bytes((tmp_path / NOTE).read_bytes()[:-5])
    with pytest.warns(UserWarning, match="no file is removed"):
        write_reports(grid(BASIC), tmp_path, figures=False)


def test_a_link_among_the_folders_is_not_followed(grid, tmp_path):
    (tmp_path / "outside").mkdir()
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "figures").symlink_to(tmp_path / "outside")
    with pytest.raises(PlaceError, match="is a link"):
        write_reports(grid(BASIC), tmp_path / "s")
    assert list((tmp_path / "outside").iterdir()) == []


def test_a_failed_write_leaves_the_old_file(grid, tmp_path, monkeypatch):
    write_reports(grid(BASIC), tmp_path, figures=False)
    before = (tmp_path / "cells.csv").read_bytes()

    def refuse(*_):
        raise OSError("disk full")

    monkeypatch.setattr(write.os, "replace", refuse)
    with pytest.raises(WriteError, match="disk full"):
        write_reports(grid(BASIC)[:1], tmp_path, figures=False)
    assert (tmp_path / "cells.csv").read_bytes() == before
    assert not list(tmp_path.glob(".*.tmp"))


def test_nothing_run_yet_and_nothing_planned(record, tmp_path):
    write_reports([record(rule, "ipm", status="missing") for rule in BASIC], tmp_path / "a")
    assert "0/1" in (tmp_path / "a" / "leaderboard.md").read_text()
    assert not (tmp_path / "a" / "figures").exists()
    write_reports([], tmp_path / "b")
    assert names(tmp_path / "b") == ["cells.csv"]


@pytest.mark.parametrize("label", ["../../etc/passwd", "/abs", "..", "", "a\\b", "nul\0", "x" * 300, "-rf"])
def test_no_label_leaves_the_folder(label, grid, tmp_path):
    name = safe(label)
    assert name
    assert not set(name) & set("/\\\0")
    assert ".." not in name
    assert not name.startswith((".", "-"))
    assert len(name) < 100


def test_files_of_a_hostile_label_stay_inside(grid, tmp_path):
    folder = tmp_path / "a" / "b"
    write_reports(grid(BASIC, dataset="../../evil"), folder, figures=False)
    assert all(name.startswith("a/b/") for name in names(tmp_path))


def test_different_labels_have_different_names():
    labels = ["a/b", "a|b", "a b", "a" * 90, "a" * 91]
    assert len({safe(label) for label in labels}) == len(labels)


def test_panels_split_what_varies_and_share_rules_without_f(grid):
    cells = grid({"mean": {"none": 0.9, "ipm": 0.4}})
    for assumed in ("exact", "2x"):
        cells += grid({"krum": {"none": 0.8, "ipm": 0.6}}, assumed_f=assumed)
    found = {panel.name: set(panel.cells["aggregator"]) for panel in panels(frame(cells))}
    stem = "digits-dirichlet-alpha=0.5-0.2-assumed_f="
    assert found == {f"{stem}{f}": {"mean", "krum"} for f in ("exact", "2x")}
    two = grid(BASIC, lr=0.1) + grid(BASIC, lr=0.2)
    assert [panel.name[-6:] for panel in panels(frame(two))] == ["lr=0.1", "lr=0.2"]


def test_figures_bear_holes_ties_and_no_curve(grid, record):
    cells = [*grid(BASIC), record("median", "ipm", status="failed"), record("flame", "ipm", 0.4)]
    (panel,) = panels(frame(cells))
    assert is_png(heatmap(panel))
    assert is_png(learning_curves(panel, curves(cells)))
    assert learning_curves(panel, curves([])) is None
    board = leaderboard(frame(cells))
    assert is_png(worst_bars(board))
    empty = board.table.assign(worst_accuracy=np.nan)
    assert worst_bars(replace(board, table=empty)) is None


def test_a_block_with_clean_cells_only_is_drawn(grid):
    (panel,) = panels(frame(grid({"mean": {"none": 0.9}})))
    assert is_png(heatmap(panel))


def test_a_yardstick_that_met_no_attack_has_its_curve(grid):
    cells = grid({"mean": {"none": 0.9}, "krum": {"none": 0.8, "ipm": 0.7}})
    (panel,) = panels(frame(cells))
    assert is_png(learning_curves(panel, curves(cells)))


def test_rules_are_told_apart_without_colour():
    looks = canvas.lines([f"rule{i}" for i in range(16)] + ["mean", "oracle_mean"])
    assert len({(look.dash, look.marker, look.width) for look in looks.values()}) == 18
    assert len({look.color for look in list(looks.values())[:8]}) == 8


def test_the_users_style_is_neither_used_nor_changed(grid):
    import matplotlib

    (panel,) = panels(frame(grid(BASIC)))
    before = heatmap(panel)
    with matplotlib.rc_context({"font.size": 20, "axes.facecolor": "red"}):
        assert heatmap(panel) == before
        assert matplotlib.rcParams["font.size"] == 20


BACKDOOR = {"mean": {"none": 0.9, "ipm": 0.5, "dba": 0.8}, "krum": {"none": 0.8, "ipm": 0.7, "dba": 0.75}}


@pytest.fixture
def with_success(grid):
    """Return cells of two seeds, a backdoor among the attacks."""
    cells = grid(BACKDOOR) + grid(BACKDOOR, seed=1)
    for cell in cells:
        if cell["labels"]["attack"] == "dba":
            cell["metrics"]["attack_success"] = 0.7
            cell["curves"]["attack_success"] = [0.7] * 20
    return cells


def test_all_figures_as_png_and_as_svg(with_success, tmp_path):
    block = "digits-dirichlet-alpha=0.5-0.2"
    stems = {f"{kind}-{block}" for kind in ("heatmap", "curves", "success")} | {"worst", "profile"}
    for format_ in ("png", "svg"):
        written = write_figures(with_success, tmp_path, format_)
        assert {path.name for path in written} == {f"{stem}.{format_}" for stem in stems}
    assert all(is_png(path.read_bytes()) for path in tmp_path.glob("figures/*.png"))
    for path in tmp_path.glob("figures/*.svg"):
        text = path.read_text()
        assert ET.fromstring(text).tag == "{http://www.w3.org/2000/svg}svg"
        assert "<dc:date>" not in text
        assert not re.search("<(image|script|foreignObject)", text)
    write_figures(with_success, tmp_path / "again", "svg")
    for path in tmp_path.glob("figures/*.svg"):
        assert path.read_bytes() == (tmp_path / "again" / "figures" / path.name).read_bytes()


def test_figures_for_a_paper(with_success, tmp_path, monkeypatch):
    seen = []
    shown = canvas.wrapped
    monkeypatch.setattr(
        "robustbench_fl.report.heatmap.wrapped", lambda text, *room: seen.append(text) or shown(text, *room)
    )
    path = "own/images.npz"
    cells = [
        {**cell, "labels": {**cell["labels"], "dataset": f"npz(path={path}, digest=486fac88e00421df)"}}
        for cell in with_success
    ]
    (block,) = panels(frame(cells))
    assert block.name.startswith("images-dirichlet-alpha=0.5-")
    assert block.title.startswith("images, dirichlet(alpha=0.5), ")
    for width in canvas.WIDTHS.values():
        with canvas.written_as("png", width):
            pixels = struct.unpack(">I", heatmap(block)[16:20])[0]
        assert abs(pixels / canvas.DPI - width) < 0.1
    written = write_figures(cells, tmp_path, "pdf", title="Ours")
    assert {path.suffix for path in written} == {".pdf"}
    assert all(path.read_bytes().startswith(b"%PDF") for path in written)
    assert any(text.startswith("Ours, dirichlet(alpha=0.5), ") for text in seen)
    again = {path: path.read_bytes() for path in written}
    assert {path: path.read_bytes() for path in write_figures(cells, tmp_path, "pdf", title="Ours")} == again
    (heat,) = [path for path in write_figures(cells, tmp_path, "svg") if path.name.startswith("heatmap")]
    assert ">krum</text>" in heat.read_text()


def test_two_data_sets_never_share_a_name():
    names = short_names(["npz(path=a/x.npz)", "npz(path=b/x.npz)", "digits", "image_folder(path='c d/y')"])
    assert list(names.values()) == ["npz(path=a/x.npz)", "npz(path=b/x.npz)", "digits", "y"]


def test_figures_of_one_format_leave_the_other_alone(with_success, tmp_path):
    write_figures(with_success, tmp_path, "svg")
    before = {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("figures/*.svg")}
    write_figures(with_success, tmp_path, "png")
    assert {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("figures/*.svg")} == before


def test_a_block_that_is_gone_takes_its_svg_with_it(with_success, grid, tmp_path):
    write_figures(grid(BASIC, malicious=0.1), tmp_path, "svg")
    write_reports(with_success, tmp_path)
    assert not list(tmp_path.glob("figures/heatmap-*-0.1.svg"))


def test_heat_maps_have_intervals_where_there_are_seeds(grid, monkeypatch):
    import robustbench_fl.report.heatmap as module

    kept = []
    monkeypatch.setattr(module, "encoded", lambda drawn: kept.append(drawn) or b"")
    for cells in (grid(BASIC), grid(BASIC) + grid(BASIC, seed=1, accuracy_std=0.02)):
        (panel,) = panels(frame(cells))
        heatmap(panel)
    one, two = ([text.get_text() for text in drawn.axes[0].texts] for drawn in kept)
    assert not [text for text in one if "–" in text]
    assert len([text for text in two if re.fullmatch(r"[\d.]+–[\d.]+", text)]) == 6
    assert any("n=1, no interval" in text for text in one)


def test_curves_have_a_band_where_there_are_seeds(grid, monkeypatch):
    import robustbench_fl.report.learning as module

    kept = []
    monkeypatch.setattr(module, "encoded", lambda drawn: kept.append(drawn) or b"")
    for cells in (grid(BASIC), grid(BASIC) + grid({"mean": {"ipm": 0.3}}, seed=1)):
        (panel,) = panels(frame(cells))
        learning_curves(panel, curves(cells))
    assert [sum(len(axes.collections) for axes in drawn.axes) for drawn in kept] == [0, 1]


def test_curves_mark_where_an_attack_ends(grid, monkeypatch):
    import robustbench_fl.report.learning as module

    kept = []
    monkeypatch.setattr(module, "encoded", lambda drawn: kept.append(drawn) or b"")
    cells = grid(BASIC)
    for cell in cells:
        cell["cell"]["attack"]["params"]["stop"] = {"ipm": 7, "none": 20}[cell["labels"]["attack"]]
    # What ends with its cell, after 20 rounds, leaves nothing to look at.
    assert attack_ends(cells) == {"ipm": 7}
    (panel,) = panels(frame(cells))
    learning_curves(panel, curves(cells), ends=attack_ends(cells))
    marked = {axes.get_title(loc="left"): axes for axes in kept[0].axes if axes.texts}
    assert list(marked) == ["ipm"]
    assert marked["ipm"].lines[-1].get_xdata() == [7, 7]
    assert marked["ipm"].texts[0].get_text() == "attack ends"
