"""People can use the page: by mouse, by key, in the dark, on a phone."""

from pathlib import Path

import pytest

from robustbench_fl.cli.results import command_of
from robustbench_fl.store import Store

QUICKSTART = Path(__file__).parents[3] / "results" / "quickstart"
HOSTILE = "<img src=x onerror=document.title='broken'>"


def test_sorting_by_click_and_by_key(browser, opened, several_seeds):
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

    shown = opened("several", several_seeds)
    head = "return document.querySelector('[data-head=mean_accuracy]').getAttribute('aria-sort')"
    assert shown.run(head) == "none"
    browser.find_element(By.CSS_SELECTOR, "button[data-column=mean_accuracy]").click()
    assert shown.run(head) == "descending"
    values = shown.column("mean_accuracy")
    assert values == sorted(values, reverse=True)
    assert shown.run("return document.activeElement.dataset.column") == "mean_accuracy"
    shown.press(Keys.ENTER)
    assert shown.run(head) == "ascending"
    values = shown.column("mean_accuracy")
    assert values == sorted(values)
    browser.find_element(By.CSS_SELECTOR, "button[data-column=tpr]").click()
    assert [bool(row["tpr"]) for row in shown.boards()[0].values()] == [True] + [False] * (len(values) - 1)
    names = browser.find_element(By.CSS_SELECTOR, "button[data-column=aggregator]")
    names.click()
    assert all(list(rows) == sorted(rows) for rows in shown.boards())


def test_columns_for_specialists_are_shown_on_demand(opened, several_seeds):
    shown = opened("several", several_seeds)
    heads = "return [...document.querySelectorAll('#boards table')][0].tHead.innerText"
    assert "IQM" in shown.run(heads)
    shown.run("document.querySelector('[name=wide]').click()")
    assert "IQM" not in shown.run(heads)
    assert "Server" in shown.run(heads)
    assert "Few seeds (3)" in shown.run("return document.getElementById('flags').innerText")


def test_a_cell_opens_with_curves_configuration_provenance_and_command(opened):
    from selenium.webdriver.common.keys import Keys

    cells = Store.existing(QUICKSTART).records()
    shown = opened("quickstart", cells)
    shown.choose(view="30 %")
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


def test_the_drawn_curve_is_the_recorded_one(opened):
    cells = Store.existing(QUICKSTART).records()
    first = next(
        c for c in cells if c["labels"]["aggregator"] == "median" and c["labels"]["attack"] == "mpaf"
    )
    first["cell"]["attack"]["params"]["stop"] = 4
    shown = opened("stopped", cells)
    shown.choose(view=f"{first['labels']['partition']}, {100 * first['cell']['malicious']:g} %")
    shown.run("document.querySelector('#matrix td[data-rule=median][data-attack=mpaf]').click()")
    points = shown.run(
        "return document.querySelector('#cell svg.curves polyline.line').getAttribute('points')"
    )
    heights = [float(point.split(",")[1]) for point in points.split()]
    assert [1 - (h - 8) / 192 for h in heights] == pytest.approx(first["curves"]["accuracy"], abs=5e-4)
    end = shown.run("return document.querySelector('#cell svg.curves line.end').getAttribute('x1')")
    assert float(end) == pytest.approx(40 + 510 * 4 / first["cell"]["rounds"])


def test_the_matrix_by_arrow_keys(opened, several_seeds):
    from selenium.webdriver.common.keys import Keys

    shown = opened("several", several_seeds)
    place = "return document.activeElement.dataset.at"
    shown.run("document.querySelector('#matrix td[tabindex=\"0\"]').focus()")
    assert shown.run("return document.querySelectorAll('#matrix td[tabindex=\"0\"]').length") == 1
    last = shown.run("return document.querySelectorAll('#matrix td[data-at^=\"0 \"]').length") - 1
    assert last > 2
    walked = [(Keys.ARROW_DOWN, "1 0"), (Keys.ARROW_RIGHT, "1 1"), (Keys.END, f"1 {last}"),
              (Keys.HOME, "1 0"), (Keys.ARROW_UP, "0 0"), (Keys.ARROW_UP, "0 0")]  # fmt: skip
    for key, wanted in walked:
        shown.press(key)
        assert shown.run(place) == wanted
    outline = shown.run("return getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
    shown.press(" ")
    assert shown.run("return document.getElementById('cell').open") is True
    shown.press(Keys.ESCAPE)


def test_dark_mode_and_the_phone(browser, opened):
    cells = Store.existing(QUICKSTART).records()
    ground = "return getComputedStyle(document.body).backgroundColor"
    try:
        shown = opened("quickstart", cells)
        light = shown.run(ground)
        shown.run("document.getElementById('theme').click()")
        toggled = shown.run(ground)
        assert toggled != light
        features = [{"name": "prefers-color-scheme", "value": "dark"}]
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        shown = opened("quickstart", cells)
        assert shown.run(ground) == toggled
        shown.run("document.getElementById('theme').click()")
        assert shown.run(ground) == light
        metrics = {"width": 360, "height": 740, "deviceScaleFactor": 2, "mobile": True}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        shown = opened("quickstart", cells)
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


def test_hostile_text_stays_text(browser, opened, record):
    forged = record("mean", "ipm", 0.4)
    forged["labels"]["aggregator"] = HOSTILE
    forged["warnings"] = [HOSTILE]
    cells = [record("mean", "none", 0.9), record("mean", "ipm", 0.5), forged]
    shown = opened("hostile", cells)
    shown.run(
        "[...document.querySelectorAll('#matrix td[data-attack=ipm]')]"
        ".find((cell) => cell.dataset.rule.includes('img')).click()"
    )
    assert HOSTILE in shown.run("return document.getElementById('cell').textContent")
    assert shown.run("return document.images.length") == 0
    assert "broken" not in browser.title
