"""The figures of reconstructions: which there are, that they show what is there, and always alike."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from matplotlib.figure import Figure

from robustbench_fl.analysis.frame import frame
from robustbench_fl.analysis.reconstruction import client_rounds, decisions, suspicion
from robustbench_fl.report import contact, diagnostics, lost, roc, strips
from robustbench_fl.report.contact import Row, contact_sheet
from robustbench_fl.report.figures import write_figures

BLOCK = "digits-dirichlet-alpha=0.5-0.2"


def write_diagnostics(records, folder):
    """Draw all figures; return those of detectors."""
    written = write_figures(records, folder)
    return [path for path in written if path.name.split("-")[0] in diagnostics.KINDS]


def is_png(data):
    width, height = struct.unpack(">II", data[16:24])
    return data.startswith(b"\x89PNG") and width > 200 and height > 100


@pytest.fixture
def detected(record):
    """Return ``detected(attack, …)``: a FedREDefense cell whose two malicious clients 0, 1 stand out."""

    def make(attack="ipm", *, text="fedredefense", rounds=3, seed=0, lost=(), early_stop=True, malicious=0.2):
        rng = np.random.default_rng(seed)
        found = None if attack == "none" else 1.0
        cell = record(text, attack, seed=seed, malicious=malicious, tpr=found, dacc=found, fpr=0.0)
        params = {"threshold": 0.6, "early_stop": early_stop}
        cell["cell"]["aggregator"] = [{"name": "fedredefense", "version": 1, "params": params}]
        bad = set(cell["federation"]["malicious"])
        errors = [
            {str(c): 0.9 + 0.05 * rng.random() if c in bad else 0.55 + 0.04 * rng.random() for c in range(10)}
            for _ in range(rounds)
        ]
        iterations = [
            {str(c): 40.0 if c in bad else float(rng.integers(2, 12)) for c in range(10)}
            for _ in range(rounds)
        ]
        cell["diagnostics"] = {"error": errors, "iterations": iterations}
        cell["detection"] = {"tpr": [], "fpr": [], "dacc": [], "lost_clients": list(lost)}
        return cell

    return make


@pytest.fixture
def drawn(monkeypatch):
    """Return the figures that are drawn, as matplotlib knows them."""
    kept: list[Figure] = []
    for module in (strips, roc, lost, contact):
        original = module.encoded
        monkeypatch.setattr(module, "encoded", lambda f, original=original: kept.append(f) or original(f))
    return kept


def prepared(records):
    found, decided = client_rounds(records), decisions(records)
    return frame(records), found, suspicion(found, decided)


def test_every_promised_figure(detected, tmp_path):
    cells = [detected(attack, seed=s) for attack in ("none", "ipm") for s in range(2)]
    cells += [detected("ipm", text="fedredefense(ban=round)")]
    written = write_diagnostics(cells, tmp_path)
    rules = ("fedredefense", "fedredefense-ban=round")
    assert sorted(path.name for path in written) == sorted(
        [f"{kind}-{BLOCK}-{rule}.png" for kind in ("errors", "iterations") for rule in rules]
        + [f"roc-{BLOCK}.png", f"lost-{BLOCK}.png"]
    )
    assert all(is_png(path.read_bytes()) for path in written)
    further = {f"heatmap-{BLOCK}.png", f"curves-{BLOCK}.png", "worst.png", "profile.png"}
    assert {path.name for path in (tmp_path / "figures").iterdir()} == {p.name for p in written} | further


def test_the_same_cells_give_the_same_bytes(detected, tmp_path):
    cells = [detected(attack, seed=s) for attack in ("none", "ipm", "alie") for s in range(2)]
    for name in ("a", "b"):
        write_diagnostics(cells, tmp_path / name)
    for path in (tmp_path / "a" / "figures").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / "figures" / path.name).read_bytes(), path.name


def test_stale_figures_go_and_other_files_stay(detected, tmp_path):
    write_diagnostics([detected(malicious=0.1)], tmp_path)
    for name in ("heatmap-x.svg", "synthetic-0123.png", "notes.txt"):
        (tmp_path / "figures" / name).write_text("kept")
    write_diagnostics([detected()], tmp_path)
    names = {path.name for path in (tmp_path / "figures").iterdir()}
    assert {"heatmap-x.svg", "synthetic-0123.png", "notes.txt", f"lost-{BLOCK}.png"} <= names
    assert not any("-0.1" in name.replace("alpha=0.5", "") for name in names)


def test_nothing_to_draw(record, grid, tmp_path):
    assert write_diagnostics([], tmp_path) == []
    assert write_figures([record("fedredefense", "ipm", status="failed")], tmp_path) == []
    assert not (tmp_path / "figures").exists()
    assert write_diagnostics(grid({"mean": {"none": 0.9, "ipm": 0.5}}), tmp_path) == []


def test_other_detectors_have_lost_clients_only(record, tmp_path):
    (path,) = write_diagnostics([record("flame", "ipm")], tmp_path)
    assert path.name == f"lost-{BLOCK}.png"


def dots_of(axes):
    """Return the positions of all dots of a strip plot by colour of their edge."""
    found = {}
    for points in axes.collections:
        offsets = np.asarray(points.get_offsets())
        if len(offsets):
            key = tuple(np.round(points.get_edgecolor()[0][:3], 2))
            found[key] = np.concatenate([found.get(key, np.empty((0, 2))), offsets])
    return found


def test_strips_show_every_client_of_every_round(detected, drawn):
    records = [detected("ipm"), detected("none", seed=1)]
    table, found, _ = prepared(records)
    assert is_png(strips.error_strips("a rule", table, found, 0.6))
    clean, attacked = drawn[0].axes
    assert clean.get_title(loc="left") == "none (clean)"
    (honest,) = dots_of(clean).values()
    assert sorted(honest[:, 1]) == sorted(found.loc[found["key"] == records[1]["key"], "error"])
    two = dots_of(attacked)
    assert sorted(len(dots) for dots in two.values()) == [6, 24]
    below, above = sorted(two.values(), key=lambda dots: dots[:, 1].max())
    assert below[:, 1].max() < 0.6 < above[:, 1].min()
    # Honest dots stand to the left of a round, malicious ones to the right, and none on its neighbours.
    assert (np.abs(below[:, 0] - np.round(below[:, 0])) < 0.5).all()
    assert (below[:, 0] < np.round(below[:, 0])).all()
    assert (above[:, 0] > np.round(above[:, 0])).all()
    assert 0.6 in [line.get_ydata()[0] for line in attacked.lines]


def test_many_rounds_are_put_together(detected, drawn):
    records = [detected(rounds=100)]
    table, found, _ = prepared(records)
    strips.iteration_strips("a rule", table, found)
    (axes,) = drawn[0].axes
    assert [label.get_text() for label in axes.get_xticklabels()] == [
        "1–10",
        "21–30",
        "41–50",
        "61–70",
        "81–90",
    ]
    # 80 honest and 20 malicious dots in each of ten strips of ten rounds.
    assert sorted(len(dots) for dots in dots_of(axes).values()) == [200, 800]


def test_a_thinned_strip_keeps_extremes_and_distribution():
    values = np.random.default_rng(0).normal(size=9001)
    kept = strips._thinned(values)
    assert len(kept) <= 430
    assert kept[0] == values.min()
    assert kept[-30:].tolist() == sorted(values)[-30:]
    for share in (10, 50, 90):
        assert np.percentile(kept[:-30], share) == pytest.approx(np.percentile(values, share), abs=0.05)
    assert strips._thinned(values[:40]).tolist() == sorted(values[:40])
    assert strips._thinned(values[:7]).tolist() == sorted(values[:7])


def test_a_strip_is_widest_where_most_dots_are():
    places = strips._spread(np.concatenate([np.full(90, 1.0), np.linspace(2, 9, 10)]))
    assert np.abs(places).max() <= 0.16
    assert np.abs(places[:90]).max() > 3 * np.abs(places[90:]).max()


def test_errors_off_the_scale_stay_in_sight(detected, drawn):
    cell = detected()
    cell["diagnostics"]["error"][0]["0"] = 1e6
    cell["diagnostics"]["error"][0]["1"] = None
    table, found, _ = prepared([cell])
    strips.error_strips("a rule", table, found, 0.6)
    (axes,) = drawn[0].axes
    highest = max(dots[:, 1].max() for dots in dots_of(axes).values())
    assert 1.4 < highest < axes.get_ylim()[1] == 1.5
    assert any("drawn at the edge" in text.get_text() for text in drawn[0].texts)


def test_the_roc_shows_area_and_verdict(detected, drawn):
    table, _, scored = prepared([detected("ipm", seed=s) for s in range(2)])
    assert is_png(roc.roc_curves("a block", table, scored))
    (axes,) = drawn[0].axes
    assert "1.00" in [text.get_text() for text in axes.texts]
    curves = [line.get_xydata().tolist() for line in axes.lines]
    (curve,) = [points for points in curves if len(points) > 2]
    # Four malicious clients, told apart by their errors, before any of the sixteen honest ones.
    assert curve[:5] == [[0, 0], [0, 0.25], [0, 0.5], [0, 0.75], [0, 1]]
    assert all(height == 1 for _, height in curve[5:])
    assert [[0.0, 1.0]] in curves


def test_no_roc_without_both_kinds(detected):
    table, _, scored = prepared([detected("none")])
    assert roc.roc_curves("a block", table, scored) is None


def test_lost_clients_are_shares_of_the_honest(detected, drawn):
    table, _, _ = prepared([detected(lost=(3, 4)), detected(seed=1), detected("none", lost=(9,))])
    assert is_png(lost.lost_clients("a block", table))
    (axes,) = drawn[0].axes
    dots = {tuple(line.get_xdata()) for line in axes.lines if line.get_marker() != "None"}
    # 2 of 8 and 0 of 8 honest clients under attack, 1 of 10 without.
    assert dots == {(25.0, 0.0), (10.0,)}
    assert [label.get_text() for label in axes.get_yticklabels()] == ["none (clean)", "ipm"]


@pytest.mark.parametrize("channels", [1, 3])
def test_a_contact_sheet_has_every_frame_with_its_caption(channels, drawn):
    rng = np.random.default_rng(0)
    rows = [
        Row(
            f"client {i}",
            "a note",
            rng.normal(size=(n, channels, 8, 8)),
            [f"{i}.{j}" for j in range(n)],
            "#333333",
        )
        for i, n in enumerate((12, 3))
    ]
    assert is_png(contact_sheet("title", "note", rows))
    assert len(drawn[0].axes) == 15
    captions = [text.get_text() for axes in drawn[0].axes for text in axes.texts]
    assert captions == [f"0.{j}" for j in range(12)] + [f"1.{j}" for j in range(3)]
    places = np.array([axes.get_position().bounds for axes in drawn[0].axes])
    assert places.min() >= 0
    assert (places[:, :2] + places[:, 2:]).max() <= 1 + 1e-9
    # The eleventh frame begins a second line, and the second client stands below both.
    assert places[10, 0] == places[0, 0]
    assert places[10, 1] + places[10, 3] < places[0, 1]
    assert places[12, 1] + places[12, 3] < places[10, 1]


def test_figures_of_reconstructions_have_their_kinds(detected, tmp_path):
    written = write_diagnostics([detected()], tmp_path)
    assert {path.name.split("-")[0] for path in written} == set(diagnostics.KINDS)
