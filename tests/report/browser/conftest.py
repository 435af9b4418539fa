"""A real Chromium, and pages to open in it. Without a browser these tests are skipped, and say so."""

import shutil
import time
import warnings

import pytest

from robustbench_fl.cli.results import command_of
from robustbench_fl.report.page.write import write_page

RULES = ("mean", "median", "krum", "trimmed_mean", "flame", "fltrust", "oracle_mean")
ATTACKS = ("none", "alie", "ipm", "dba", "adaptive_min_max")


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


@pytest.fixture(scope="session")
def browser():
    if lacking := missing_part():
        warnings.warn(f"The report page was NOT tried in a browser: {lacking}.", stacklevel=1)
        pytest.skip(lacking)
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    quiet = ("--disable-background-networking", "--disable-sync")
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", *quiet, "--window-size=1300,900"):
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


@pytest.fixture
def several_seeds(record):
    """Return cells of three seeds with holes, infeasible cells, a baseline and a fraction without malice."""
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


@pytest.fixture
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
        deadline = time.monotonic() + 60
        while not self.run("return document.documentElement.dataset.ready"):
            assert time.monotonic() < deadline, self.run("return document.body.innerText.slice(0, 500)")
            time.sleep(0.02)
        self.show_all_columns()

    def show_all_columns(self):
        self.run("document.querySelector('[name=wide]:not(:checked)')?.click()")

    def run(self, script, *arguments):
        return self.driver.execute_script(script, *arguments)

    def choose(self, **choices):
        """Set the view or the track by its text."""
        self.run("document.querySelector('#filters [type=reset]').click()")
        # The page draws after the form is reset: this answers after that.
        self.driver.execute_async_script("setTimeout(arguments[0])")
        self.show_all_columns()
        for name, text in choices.items():
            self.run(
                "const s = document.querySelector(`[name='${arguments[0]}']`);"
                "s.value = [...s.options].find((o) => o.text === arguments[1]).value;"
                "s.dispatchEvent(new Event('change', {bubbles: true}))",
                name, text,
            )  # fmt: skip

    def boards(self):
        """Return the leaderboards with all digits, a mapping for each rule in its order."""
        tables = self.run(
            "return [...document.querySelectorAll('#boards table')].map((table) => [...table.tBodies[0].rows]"
            ".map((row) => [...row.children].map("
            "({dataset: d}) => [d.column, d.value ?? null, d.low ?? null, d.high ?? null])))"
        )
        return [dict(map(self._row, rows)) for rows in tables]

    @staticmethod
    def _row(row):
        values = {name: value for name, value, *_ in row}
        values |= {f"{name}_low": low for name, _, low, _ in row}
        values |= {f"{name}_high": high for name, _, _, high in row}
        return values["aggregator"], values

    def column(self, name):
        """Return a column's numbers in the first table from top to bottom, without what is missing."""
        return [float(row[name]) for row in self.boards()[0].values() if row[name]]

    def matrix(self):
        return self.run(
            "return [...document.querySelectorAll('#matrix td[data-at]')].map((c) => [c.dataset.rule,"
            " c.dataset.attack, c.dataset.value ?? null, c.dataset.done, c.dataset.planned,"
            " c.classList.contains('best'), c.dataset.tied === ''])"
        )

    def press(self, *keys):
        from selenium.webdriver.common.action_chains import ActionChains

        chain = ActionChains(self.driver)
        for key in keys:
            chain.send_keys(key)
        chain.perform()


@pytest.fixture(scope="session")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pages")

    def write(name, cells, missing="exclude"):
        path = folder / f"{name}-{missing}.html"
        if not path.exists():
            write_page(cells, path, name, command_of, missing)
        return path

    return write


@pytest.fixture
def opened(browser, written):
    """Return ``opened(name, cells, missing)``: the page of cells, in the browser."""

    def make(name, cells, missing="exclude"):
        return Page(browser, written(name, cells, missing))

    return make
