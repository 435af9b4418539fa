"""The tables of the site's boards in a real browser: sorted, filtered, within the page at every width.

With ROBUSTBENCH_FL_SITE naming a built site (`make docs`), its pages are opened too, in light and dark.
"""

import os
import re
import time
from pathlib import Path

import pytest

from robustbench_fl.analysis.boards import board_of
from robustbench_fl.analysis.claimed import Part, claim_of
from robustbench_fl.report.site.pages import pages
from robustbench_fl.store import Store

ROOT = Path(__file__).parents[3]
WIDTHS = (390, 1280, 1920)
SITE = os.environ.get("ROBUSTBENCH_FL_SITE", "")
FOREIGN = re.compile(r"""<(?:script|link|img|iframe|source)\b[^>]*?(?:src|href)="(?:https?:)?//[^"]*""")


@pytest.fixture(scope="module")
def opened(browser, tmp_path_factory):
    """Open a board's first page, its HTML as the site has it, without the theme."""
    store = Store.existing(ROOT / "results" / "quickstart")
    records = [one for one in store.records() if one["cell"]["malicious"] == 0.3]
    part = Part(
        "q", store.read_sweep(), [r for r in records if r["labels"]["partition"].endswith("alpha=1)")]
    )
    claims = [claim_of(rule, [part], {}) for rule in ("mean", "krum", "multi_krum", "trimmed_mean")]
    _, text = next(pages(board_of("q", claims, {}), "Board", {}, {}))
    style, script = (ROOT / "docs" / "assets" / f"board.{kind}" for kind in ("css", "js"))
    body = re.sub(r"^## (.*)$", r"<h2>\1</h2>", text.partition("# Board")[2], flags=re.MULTILINE)
    page = tmp_path_factory.mktemp("site") / "q.html"
    page.write_text(
        f'<!doctype html><meta charset="utf-8"><link rel="stylesheet" href="{style.as_uri()}">'
        f'<body class="md-typeset" style="margin: 0"><main style="padding: 1rem">{body}</main>'
        f'<script src="{script.as_uri()}"></script>'
    )
    browser.get(page.as_uri())
    deadline = time.monotonic() + 60
    while browser.execute_script("return document.documentElement.dataset.boards") != "ready":
        shown = browser.execute_script("return document.body.innerText.slice(0, 500)")
        assert time.monotonic() < deadline, (browser.current_url, shown)
        time.sleep(0.05)
        if browser.current_url != page.as_uri():  # what the test before had begun to open came later
            browser.get(page.as_uri())
    return browser


def column(browser, name):
    """Return what stands in a column of the second track's table, from top to bottom."""
    return browser.execute_script(
        "const table = document.querySelectorAll('table.sortable')[1];"
        "const at = [...table.tHead.rows[0].cells].findIndex((cell) => cell.textContent === arguments[0]);"
        "const rows = [...table.tBodies[0].rows].filter((row) => !row.hidden);"
        "return rows.map((row) => row.cells[at].textContent)",
        name,
    )


def click(browser, name):
    browser.execute_script(
        "[...document.querySelectorAll('table.sortable')[1].querySelectorAll('thead button')]"
        ".find((button) => button.textContent === arguments[0]).click()",
        name,
    )


def test_a_click_sorts_and_another_turns_it(opened):
    click(opened, "Clean %")
    found = list(map(float, column(opened, "Clean %")))
    assert found == sorted(found, reverse=True)  # higher is better: the best first
    click(opened, "Clean %")
    assert list(map(float, column(opened, "Clean %"))) == sorted(found)
    click(opened, "Aggregator")
    assert column(opened, "Aggregator") == sorted(column(opened, "Aggregator"))
    sorts = "return [...document.querySelectorAll('[aria-sort]')].map((cell) => cell.textContent)"
    assert opened.execute_script(sorts) == ["Aggregator"]


def test_rules_are_filtered_by_name_and_by_what_the_server_knows(opened):
    assert {"krum", "multi_krum", "trimmed_mean", "mean"} <= set(column(opened, "Aggregator"))
    write = (
        "const find = document.querySelector('[type=search]'); find.value = arguments[0];"
        "find.dispatchEvent(new Event('input', {bubbles: true}))"
    )
    opened.execute_script(write, "KRUM")
    assert sorted(column(opened, "Aggregator")) == ["krum", "multi_krum"]
    opened.execute_script(write, "")
    opened.execute_script("document.querySelector('[type=checkbox][value=f]').click()")
    assert column(opened, "Aggregator") == ["mean"]
    opened.execute_script("document.querySelector('[type=checkbox][value=f]').click()")


@pytest.mark.parametrize("width", WIDTHS)
def test_no_table_widens_the_page(opened, width):
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    opened.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    assert opened.execute_script("return document.documentElement.scrollWidth") <= width
    opened.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


@pytest.mark.skipif(not SITE, reason="ROBUSTBENCH_FL_SITE names no built site")
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_built_site_fits_and_shows_both_schemes(browser, scheme):
    site = Path(SITE).resolve()
    boards = sorted((site / "boards").glob("*.html"))
    assert len(boards) > 1
    shown = [*boards, *(next((site / "boards").glob(f"*/{kind}/*.html")) for kind in ("rules", "attacks"))]
    wanted = {"name": "prefers-color-scheme", "value": scheme}
    for page in shown:
        assert not FOREIGN.findall(page.read_text())
        for width in WIDTHS:
            browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [wanted]})
            size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
            browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
            browser.get(page.as_uri())
            browser.execute_script("localStorage.clear()")  # where the theme remembers the other scheme
            browser.get(page.as_uri())
            assert browser.execute_script("return document.documentElement.scrollWidth") <= width, page
            dark = browser.execute_script("return document.body.dataset.mdColorScheme") == "slate"
            assert dark == (scheme == "dark")
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


@pytest.mark.skipif(not SITE, reason="ROBUSTBENCH_FL_SITE names no built site")
def test_links_of_the_built_boards_lead_somewhere():
    site = Path(SITE).resolve()
    for page in (site / "boards").rglob("*.html"):
        article = page.read_text().partition("<article")[2].partition("</article>")[0]
        for address in re.findall(r'(?:href|src)="([^"#]+)', article):
            if "://" not in address:
                assert (page.parent / address).exists(), (page, address)
