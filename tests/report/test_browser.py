"""The page in a real Chromium: its numbers are those of the tables, and people can use it."""

import shutil
import time
import warnings
from pathlib import Path

import pandas as pd
import pytest

from robustbench_fl.analysis.coverage import imputed, only_counted
from robustbench_fl.analysis.frame import frame
from robustbench_fl.analysis.grid import completed, in_blocks
from robustbench_fl.analysis.leaderboard import leaderboard
from robustbench_fl.analysis.matrix import matrix
from robustbench_fl.analysis.ranking import equal_scores, ranked
from robustbench_fl.analysis.scores import resample
from robustbench_fl.cli.results import command_of
from robustbench_fl.report.page.write import write_page
from robustbench_fl.store import Store

QUICKSTART = Path(__file__).parents[2] / "results" / "quickstart"
RULES = ("mean", "median", "krum", "trimmed_mean", "flame", "fltrust", "oracle_mean")
ATTACKS = ("none", "alie", "ipm", "dba", "adaptive_min_max")
HOSTILE = "<img src=x onerror=document.title='broken'>"


def missing_part():
    """Return what the tests below lack here, or an empty text."""
    try:
        import selenium  # noqa: F401
    except ImportError:
        return "selenium is not installed (pip install 'robustbench-fl[browser]')"
    browsers = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    if not any(map(shutil.which, browsers)):
        return "no Chromium or Chrome is installed"
    return "" if shutil.which("chromedriver") else "chromedriver is not installed"


@pytest.fixture(scope="module")
def browser():
    if lacking := missing_part():
        warnings.warn(f"The report page was NOT tried in a browser: {lacking}.", stacklevel=1)
        pytest.skip(lacking)
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1300,900"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    options.binary_location = next(
        filter(
            None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable"))
        )
    )
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))
    yield driver
    errors = driver.get_log("browser")
    driver.quit()
    assert errors == []


def noise(*labels):
    """Return a number in [0, 0.08) that belongs to `labels`, the same in every process."""
    return sum(ord(c) * (i + 7) for i, c in enumerate("|".join(map(str, labels)))) % 81 / 1000


def several_seeds(record):
    """Return cells of three seeds with holes, infeasible cells, a yardstick and a fraction without malice."""
    cells = []
    for place, (dataset, partition, malicious) in enumerate(
        [("digits", "iid", 0.1), ("digits", "iid", 0.3), ("digits", "dirichlet(alpha=0.1)", 0.1),
         ("digits", "dirichlet(alpha=0.1)", 0.3), ("mnist", "iid", 0.3), ("digits", "iid", 0.0)]
    ):  # fmt: skip
        for r, rule in enumerate(RULES):
            for a, attack in enumerate(ATTACKS if malicious else ATTACKS[:1]):
                for seed in range(3):
                    here = (place, rule, attack, seed)
                    status = "done"
                    if (rule, place) == ("krum", 3) or (attack, place) == ("dba", 4):
                        status = "infeasible"
                    if here == (1, "median", "ipm", 1):
                        status = "failed"
                    if here == (2, "fltrust", "alie", 2):
                        continue
                    level = 0.5 + 0.05 * ((3 * r + 2 * place) % 5) - 0.06 * a * (rule != "oracle_mean")
                    changes = {"attack_success": noise("asr", *here)} if attack == "dba" else {}
                    if rule == "flame":
                        changes |= {"fpr": 0.1, "tpr": None if attack == "none" else 0.6}
                    changes |= {"dataset": dataset, "partition": partition, "malicious": malicious}
                    accuracy = round(level + noise(*here), 4)
                    cells.append(record(rule, attack, accuracy, seed=seed, status=status, **changes))
    return [with_dacc(cell) for cell in cells]


def with_dacc(cell):
    """Give a detector's cell the detection accuracy that its rates imply."""
    metrics = cell.get("metrics")
    if metrics and metrics["tpr"] is not None:
        bad = len(cell["federation"]["malicious"]) / len(cell["federation"]["sizes"])
        metrics["dacc"] = 1 - (bad * (1 - metrics["tpr"]) + (1 - bad) * metrics["fpr"])
    return cell


def assumed(record):
    """Return cells of one seed in which krum is told different f."""
    cells = []
    for attack, low in (("none", 0.0), ("ipm", 0.3), ("alie", 0.1)):
        cells += [record("mean", attack, 0.9 - low), record("median", attack, 0.85 - low / 2)]
        cells += [
            record("krum", attack, 0.8 - low / 3 - off, assumed_f=f)
            for f, off in (("exact", 0.0), ("0.5x", 0.21), ("2x", 0.02))
        ]
    return cells


class Page:
    """One page in the browser."""

    def __init__(self, driver, path):
        self.driver = driver
        driver.get(path.as_uri())
        deadline = time.monotonic() + 20
        while not self.run("return document.documentElement.dataset.ready"):
            assert time.monotonic() < deadline, self.run("return document.body.innerText.slice(0, 500)")
            time.sleep(0.02)

    def run(self, script, *arguments):
        return self.driver.execute_script(script, *arguments)

    def choose(self, **choices):
        """Set filters by their text; ``refused`` are needs to uncheck."""
        self.run("document.querySelector('#filters [type=reset]').click()")
        time.sleep(0.05)
        for name, text in choices.items():
            if name == "refused":
                for need in text:
                    self.run("document.querySelector(`input[value=${arguments[0]}]`).click()", need)
                continue
            self.run(
                "const s = document.querySelector(`[name='${arguments[0]}']`);"
                "s.value = [...s.options].find((o) => o.text === arguments[1]).value;"
                "s.dispatchEvent(new Event('change', {bubbles: true}))",
                name, text,
            )  # fmt: skip

    def board(self):
        """Return the leaderboard with all digits, a mapping for each rule in its order."""
        rows = self.run(
            "return [...document.querySelectorAll('#board tbody tr')].map((row) => [...row.children].map("
            "({dataset: d}) => [d.column, d.value ?? null, d.low ?? null, d.high ?? null]))"
        )
        found = {}
        for row in rows:
            values = {name: value for name, value, *_ in row}
            values |= {f"{name}_low": low for name, _, low, _ in row}
            values |= {f"{name}_high": high for name, _, _, high in row}
            found[values["aggregator"]] = values
        return found

    def matrix(self):
        return self.run(
            "return [...document.querySelectorAll('#matrix td[data-at]')].map((c) => [c.dataset.rule,"
            " c.dataset.attack, c.dataset.value ?? null, c.dataset.done, c.dataset.planned,"
            " c.classList.contains('best')])"
        )

    def press(self, *keys):
        from selenium.webdriver.common.action_chains import ActionChains

        chain = ActionChains(self.driver)
        for key in keys:
            chain.send_keys(key)
        chain.perform()


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pages")

    def write(name, cells, missing="exclude"):
        path = folder / f"{name}-{missing}.html"
        if not path.exists():
            write_page(cells, path, name, command_of, missing)
        return path

    return write


TEXTS = ("worst_attack", "told", "coverage", "note")
NUMBERS = (
    *("worst_accuracy_honest", "worst_accuracy", "worst_adaptive", "mean_accuracy", "clean_accuracy"),
    *("defence_tax", "attack_success", "tpr", "fpr", "clean_fpr", "server_ms", "server_ms_attacked"),
    "peak_memory_mb",
)
INTERVALS = {"worst_accuracy_honest": "honest", "mean_accuracy": "mean"}


def ranks(found):
    """Return the ranks of the rules that have one."""
    return {rule: int(row["rank"]) for rule, row in found.items() if row["rank"]}


def column(found, name):
    """Return a column's numbers from top to bottom, without what is missing."""
    return [float(row[name]) for row in found.values() if row[name]]


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
                    wanted = float(table.loc[rule, f"{short}_{end}"])
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
def test_filtered_numbers_are_those_of_the_tables(browser, record, written, missing):
    cells = several_seeds(record)
    shown = Page(browser, written("several", cells, missing))
    for choices, keep in FILTERS if missing == "exclude" else FILTERS[1:7:3]:
        shown.choose(**choices)
        wanted = leaderboard(frame([cell for cell in cells if keep(cell)]), missing)
        same_board(shown.board(), wanted.table)


def test_filtered_numbers_of_real_cells(browser, written):
    cells = Store.existing(QUICKSTART).records()
    shown = Page(browser, written("quickstart", cells))
    for choices, keep in [
        FILTERS[0],
        FILTERS[1],
        ({"family": "data"}, lambda r: r["facts"]["category"] in ("none", "data")),
    ]:
        shown.choose(**choices)
        same_board(shown.board(), leaderboard(frame([cell for cell in cells if keep(cell)])).table)


def test_assumed_f(browser, record, written):
    cells = assumed(record)
    shown = Page(browser, written("assumed", cells))
    same_board(shown.board(), leaderboard(frame(cells)).table)
    shown.choose(assumed="0.5x")
    kept = [cell for cell in cells if cell["cell"]["assumed_f"] in (None, "0.5x")]
    same_board(shown.board(), leaderboard(frame(kept)).table)


def test_what_a_rule_is_told_chooses_who_is_compared(browser, record, written):
    cells = several_seeds(record)
    shown = Page(browser, written("several", cells))
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


def test_told_with_one_seed(browser, written):
    cells = Store.existing(QUICKSTART).records()
    shown = Page(browser, written("quickstart", cells))
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
def test_the_matrix_is_the_tables_matrix(browser, record, written, value):
    cells = several_seeds(record)
    shown = Page(browser, written("several", cells))
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
        for rule, attack, mean, done, planned, best in found:
            expected = wanted.values.loc[rule, attack]
            assert float(mean if mean is not None else "nan") == pytest.approx(
                expected, abs=1e-9, nan_ok=True
            )
            assert (int(done), int(planned)) == (
                wanted.done.loc[rule, attack],
                wanted.planned.loc[rule, attack],
            )
            assert best == wanted.best.loc[rule, attack], (rule, attack)
        weak = shown.run(
            "return [...document.querySelectorAll('#matrix thead th')].map((h) => h.innerText.trim())"
            ".filter((t) => t.endsWith('†')).map((t) => t.slice(0, -1))"
        )
        assert set(weak) == set(wanted.ineffective) & {attack for _, attack, *_ in found}


def test_sorting_by_click_and_by_key(browser, record, written):
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

    shown = Page(browser, written("several", several_seeds(record)))
    head = (
        "return document.querySelector('[data-column=mean_accuracy]').parentElement.getAttribute('aria-sort')"
    )
    assert shown.run(head) == "none"
    browser.find_element(By.CSS_SELECTOR, "button[data-column=mean_accuracy]").click()
    assert shown.run(head) == "descending"
    values = column(shown.board(), "mean_accuracy")
    assert values == sorted(values, reverse=True)
    assert shown.run("return document.activeElement.dataset.column") == "mean_accuracy"
    shown.press(Keys.ENTER)
    assert shown.run(head) == "ascending"
    values = column(shown.board(), "mean_accuracy")
    assert values == sorted(values)
    browser.find_element(By.CSS_SELECTOR, "button[data-column=tpr]").click()
    assert [bool(row["tpr"]) for row in shown.board().values()] == [True] + [False] * (len(RULES) - 1)
    names = browser.find_element(By.CSS_SELECTOR, "button[data-column=aggregator]")
    names.click()
    assert list(shown.board()) == sorted(RULES)


def test_a_cell_opens_with_curves_configuration_provenance_and_command(browser, written):
    from selenium.webdriver.common.keys import Keys

    cells = Store.existing(QUICKSTART).records()
    shown = Page(browser, written("quickstart", cells))
    shown.choose(**{"filter-malicious": "30 %"})
    shown.run("document.querySelector('#matrix td[data-rule=krum][data-attack=ipm]').focus()")
    shown.press(Keys.ENTER)
    text = shown.run(
        "return document.getElementById('cell').open && document.getElementById('cell').textContent"
    )
    own = [c for c in cells if c["labels"]["aggregator"] == "krum" and c["labels"]["attack"] == "ipm"
           and c["cell"]["malicious"] == 0.3]  # fmt: skip
    assert text.startswith("\nkrum against ipm")
    for record in own:
        assert record["key"] in text
    first = next(record for record in own if f"Cell {record['key']}" in text)
    assert command_of(first) in text
    assert first["provenance"]["commit"] in text
    assert "local epochs" in text
    assert shown.run("return document.querySelectorAll('#cell svg.curves polyline.line').length") == len(own)
    # The other run of the same entry, by its key.
    other = next(record for record in own if record is not first)
    shown.run(
        "[...document.querySelectorAll('#cell .key')].find((b) => b.textContent === arguments[0]).click()",
        other["key"],
    )
    assert command_of(other) in shown.run("return document.querySelector('#cell pre').textContent")
    shown.press(Keys.ESCAPE)
    assert shown.run("return document.getElementById('cell').open") is False
    assert shown.run("return document.activeElement.dataset.attack") == "ipm"


def test_the_drawn_curve_is_the_recorded_one(browser, written):
    cells = Store.existing(QUICKSTART).records()
    shown = Page(browser, written("quickstart", cells))
    first = next(
        c for c in cells if c["labels"]["aggregator"] == "median" and c["labels"]["attack"] == "mpaf"
    )
    place = {
        "filter-malicious": f"{100 * first['cell']['malicious']:g} %",
        "filter-partition": first["labels"]["partition"],
    }
    shown.choose(**place)
    shown.run("document.querySelector('#matrix td[data-rule=median][data-attack=mpaf]').click()")
    points = shown.run(
        "return document.querySelector('#cell svg.curves polyline.line').getAttribute('points')"
    )
    heights = [float(point.split(",")[1]) for point in points.split()]
    assert [1 - (h - 8) / 192 for h in heights] == pytest.approx(first["curves"]["accuracy"], abs=5e-4)


def test_the_matrix_by_arrow_keys(browser, record, written):
    from selenium.webdriver.common.keys import Keys

    shown = Page(browser, written("several", several_seeds(record)))
    place = "return document.activeElement.dataset.at"
    shown.run("document.querySelector('#matrix td[tabindex=\"0\"]').focus()")
    assert shown.run("return document.querySelectorAll('#matrix td[tabindex=\"0\"]').length") == 1
    walked = [(Keys.ARROW_DOWN, "1 0"), (Keys.ARROW_RIGHT, "1 1"), (Keys.END, f"1 {len(ATTACKS) - 1}"),
              (Keys.HOME, "1 0"), (Keys.ARROW_UP, "0 0"), (Keys.ARROW_UP, "0 0")]  # fmt: skip
    for key, wanted in walked:
        shown.press(key)
        assert shown.run(place) == wanted
    outline = shown.run("return getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
    shown.press(" ")
    assert shown.run("return document.getElementById('cell').open") is True
    shown.press(Keys.ESCAPE)


def test_dark_mode_and_the_phone(browser, written):
    cells = Store.existing(QUICKSTART).records()
    path = written("quickstart", cells)
    ground = "return getComputedStyle(document.body).backgroundColor"
    try:
        shown = Page(browser, path)
        light = shown.run(ground)
        shown.run("document.getElementById('theme').click()")
        toggled = shown.run(ground)
        assert toggled != light
        features = [{"name": "prefers-color-scheme", "value": "dark"}]
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        shown = Page(browser, path)
        assert shown.run(ground) == toggled
        shown.run("document.getElementById('theme').click()")
        assert shown.run(ground) == light
        metrics = {"width": 360, "height": 740, "deviceScaleFactor": 2, "mobile": True}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        shown = Page(browser, path)
        width = "return [document.documentElement.scrollWidth, innerWidth]"
        assert shown.run(width) == [360, 360]
        shown.run("document.querySelector('#matrix td[data-at=\"2 2\"]').click()")
        assert shown.run(width) == [360, 360]
        inside = "const c = document.querySelector('#cell .content'); return [c.scrollWidth, c.clientWidth]"
        scroll, client = shown.run(inside)
        assert scroll <= client
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def test_hostile_text_stays_text(browser, record, written):
    forged = record("mean", "ipm", 0.4)
    forged["labels"]["aggregator"] = HOSTILE
    forged["warnings"] = [HOSTILE]
    cells = [record("mean", "none", 0.9), record("mean", "ipm", 0.5), forged]
    shown = Page(browser, written("hostile", cells))
    shown.run(
        "[...document.querySelectorAll('#matrix td[data-attack=ipm]')]"
        ".find((cell) => cell.dataset.rule.includes('img')).click()"
    )
    assert HOSTILE in shown.run("return document.getElementById('cell').textContent")
    assert shown.run("return document.images.length") == 0
    assert "broken" not in browser.title
