import base64
import gzip
import hashlib
import json
import re
from html.parser import HTMLParser

import pytest
from click.testing import CliRunner

from robustbench_fl.analysis.frame import frame
from robustbench_fl.analysis.leaderboard import leaderboard
from robustbench_fl.cli.main import cli
from robustbench_fl.cli.results import command_of
from robustbench_fl.core.errors import UsageError
from robustbench_fl.report.page.packing import MOST_POINTS, STEPS, curve
from robustbench_fl.report.page.write import page

BASIC = {
    "mean": {"none": 0.9, "ipm": 0.5, "dba": 0.8},
    "krum": {"none": 0.8, "ipm": 0.7, "dba": 0.75},
    "oracle_mean": {"none": 0.9, "ipm": 0.88, "dba": 0.9},
}
HOSTILE = "</script><img src=x onerror=alert(1)>"


class Parsed(HTMLParser):
    """Tags with their attributes, and the text inside each script and style."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.inside, self._stack = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag in ("script", "style"):
            self.inside.append([tag, dict(attrs), ""])
            self._stack.append(tag)

    def handle_endtag(self, tag):
        if tag in ("script", "style"):
            self._stack.pop()

    def handle_data(self, data):
        if self._stack:
            self.inside[-1][2] += data


def command(record):
    return f"make {record['key']}"


def data_of(text):
    (packed,) = [body for tag, attrs, body in Parsed(text).inside if attrs.get("id") == "data"]
    return json.loads(gzip.decompress(base64.b64decode(packed)))


def test_nothing_is_loaded_and_only_our_script_and_style_may_run(grid):
    text = page(grid(BASIC), "basic", command)
    parsed = Parsed(text)
    assert not [attrs for _, attrs in parsed.tags if {"src", "href", "srcset", "style"} & set(attrs)]
    assert not [name for _, attrs in parsed.tags for name in attrs if name.startswith("on")]
    assert "@import" not in text
    assert "url(" not in text
    assert not re.search("https?://(?!www.w3.org/2000/svg)", text)
    (policy,) = [attrs["content"] for tag, attrs in parsed.tags if "http-equiv" in attrs]
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    bodies = [(tag, body) for tag, attrs, body in parsed.inside if "type" not in attrs]
    assert [tag for tag, _ in bodies] == ["style", "script"]
    for tag, body in bodies:
        digest = base64.b64encode(hashlib.sha256(body.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy


def test_no_script_writes_html(grid):
    text = page(grid(BASIC), "basic", command)
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", text
    )


def test_it_holds_what_the_tables_hold(grid):
    cells = grid(BASIC) + grid(BASIC, seed=1)
    data = data_of(page(cells, "basic", command))
    board = leaderboard(frame(cells))
    whole = data["views"][0]
    for track, shown in zip(board.tracks, whole["tracks"], strict=True):
        table = board.of_track(track).table
        assert [row["aggregator"] for row in shown["rows"]] == list(table["aggregator"])
        assert [row["worst_accuracy"] for row in shown["rows"]] == list(table["worst_accuracy"])
    said = [whole["caption"], *(f"Flag: {text}" for text in whole["flags"])]
    assert " ".join(said) == board.caption
    assert data["cells"]["key"] == [record["key"] for record in cells]
    assert data["details"]["command"]["values"] == [command(record) for record in cells]
    assert data["cells"]["accuracy"] == [record["metrics"]["accuracy"] for record in cells]


def test_there_is_a_view_for_each_value_and_each_setting(grid):
    cells = [
        cell
        for malicious in (0.1, 0.3)
        for partition in ("iid", "dirichlet(alpha=0.1)")
        for cell in grid(BASIC, malicious=malicious, partition=partition)
    ]
    shown = [(view["group"], view["title"]) for view in data_of(page(cells, "views", command))["views"]]
    assert shown == [
        ("", "All cells"),
        ("Partition", "dirichlet(alpha=0.1)"), ("Partition", "iid"),
        ("Malicious clients", "10 %"), ("Malicious clients", "30 %"),
        ("Attack family", "backdoor"), ("Attack family", "update"),
        ("One setting", "iid, 10 %"), ("One setting", "dirichlet(alpha=0.1), 10 %"),
        ("One setting", "iid, 30 %"), ("One setting", "dirichlet(alpha=0.1), 30 %"),
    ]  # fmt: skip


def test_holes_that_nobody_planned_have_no_key(grid, record):
    data = data_of(page([*grid(BASIC), record("median", "ipm", 0.6)], "holes", command))
    assert data["cells"]["key"][-2:] == ["", ""]
    assert len(data["details"]["accuracy"]) == len(data["cells"]["key"]) - 2


@pytest.mark.parametrize("field", ["aggregator", "attack", "dataset", "partition", "model"])
def test_a_hostile_label_stays_text(field, grid, record):
    forged = record("mean", "ipm", 0.4, seed=5)
    forged["labels"][field] = HOSTILE
    forged["reason"] = forged["provenance"]["device"] = HOSTILE
    text = page([*grid(BASIC), forged], HOSTILE, lambda cell: HOSTILE)
    parsed = Parsed(text)
    assert "img" not in [tag for tag, _ in parsed.tags]
    assert [tag for tag, _ in parsed.tags].count("script") == 2
    assert "onerror=alert(1)>" not in text
    assert HOSTILE in json.dumps(data_of(text), ensure_ascii=False)


def test_the_same_cells_give_the_same_bytes(grid):
    assert page(grid(BASIC), "a", command) == page(grid(BASIC), "a", command)


def test_curves_come_back_within_their_step():
    values = [0.123456, 0.5, 0.25, 1.0, 0.0]
    packed = curve(
        {"round": [1, 2, 3, 4, 5], "accuracy": values, "attack_success": [None, 0.5, None, 0.75, 1.0]}
    )
    assert packed["accuracy"] == [1235, 3765, -2500, 7500, -10000]
    assert packed["attack_success"] == [None, 5000, None, 2500, 2500]
    total, back = 0, []
    for step in packed["accuracy"]:
        total += step
        back.append(total / STEPS)
    assert back == pytest.approx(values, abs=0.5 / STEPS)


def test_long_curves_are_thinned_and_keep_their_end():
    n = 1000
    packed = curve({"round": list(range(1, n + 1)), "accuracy": [0.5] * n, "attack_success": [None] * n})
    assert packed["round"][-1] == n
    assert len(packed["round"]) == len(packed["accuracy"]) <= MOST_POINTS
    assert len({b - a for a, b in zip(packed["round"], packed["round"][1:], strict=False)}) == 1
    assert curve(None) is None
    assert curve({"round": [], "accuracy": [], "attack_success": []}) is None


def test_five_thousand_cells_fit_in_three_megabytes(record):
    cells = [
        record(
            f"rule_{rule}", f"a_{attack}" if attack else "none", (37 * rule + 11 * attack + seed) % 97 / 97,
            seed=seed, malicious=malicious, partition=f"dirichlet(alpha={alpha})",
        )
        for rule in range(14) for attack in range(12) for alpha in (0.1, 0.5, 1) for malicious in (0.1, 0.3)
        for seed in range(5)
    ]  # fmt: skip
    for place, cell in enumerate(cells):  # real curves are noisy
        cell["curves"]["accuracy"] = [hash((place, t)) % 9973 / 9973 for t in range(20)]
        cell["curves"]["attack_success"] = [hash((t, place)) % 9973 / 9973 for t in range(20)]
    assert len(cells) == 5040
    text = page(cells, "large", command_of)
    assert len(text.encode()) < 3_000_000


def test_the_command_writes_it_beside_the_cells_or_where_it_is_told(grid, tmp_path):
    from robustbench_fl.store import Store

    cells, folder = grid(BASIC), tmp_path / "sweep"
    for cell in cells:  # the key that the folder expects
        text = json.dumps(cell["cell"], sort_keys=True, separators=(",", ":"))
        cell["key"] = hashlib.sha256(text.encode()).hexdigest()[:16]
    store = Store(folder)
    store.write_plan(
        {"name": "my sweep"}, [{k: c[k] for k in ("key", "cell", "labels", "facts")} for c in cells]
    )
    for cell in cells:
        store.write_bytes(f"cells/{cell['key']}.json", json.dumps(cell).encode())
    done = CliRunner().invoke(cli, ["report", str(folder)], catch_exceptions=False)
    assert done.output.startswith(str(folder / "report.html"))
    assert "<title>my sweep" in (folder / "report.html").read_text()
    CliRunner().invoke(cli, ["report", str(folder), "-o", str(tmp_path / "x.html")], catch_exceptions=False)
    assert (tmp_path / "x.html").read_bytes() == (folder / "report.html").read_bytes()
    with pytest.raises(UsageError, match="must name a file"):
        CliRunner().invoke(cli, ["report", str(folder), "-o", str(tmp_path)], catch_exceptions=False)


def test_an_empty_sweep_is_refused():
    with pytest.raises(UsageError, match="no cell"):
        page([], "empty", command)
