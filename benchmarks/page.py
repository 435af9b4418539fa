"""The report page at 5,000 cells: bytes, seconds to write, milliseconds to open and to filter in Chromium.

Run: python benchmarks/page.py  (needs the extra ``browser``, Chromium and chromedriver)
"""

from __future__ import annotations

import random
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

from robustbench_fl.cli.results import command_of
from robustbench_fl.core.settings import Settings
from robustbench_fl.report.page.write import write_page

RULES, ATTACKS, ALPHAS, SHARES, SEEDS = 14, 12, (0.1, 0.5, 1), (0.1, 0.3), 5
FILTER = (
    "const started = performance.now(), box = document.querySelector(\"[name='filter-malicious']\");"
    "box.value = box.options[1].value; box.dispatchEvent(new Event('change', {bubbles: true}));"
    "return performance.now() - started"
)


def cell(rule: int, attack: int, alpha: float, share: float, seed: int, rng: random.Random) -> dict[str, Any]:
    """Return a finished record with made-up numbers."""
    labels = {"dataset": "digits", "model": "mlp", "partition": f"dirichlet(alpha={alpha})"}
    labels |= {
        "aggregator": f"rule_{rule}" if rule else "mean",
        "attack": f"attack_{attack}" if attack else "none",
    }
    identity = {name: [{"name": text, "version": 1, "params": {}}] for name, text in labels.items()}
    curve = [rng.random() for _ in range(20)]
    return {
        "key": f"{rng.getrandbits(64):016x}",
        "status": "done",
        "cell": {**identity, **vars(Settings()), "malicious": share, "assumed_f": None, "seed": seed},
        "labels": labels,
        "facts": {"needs": [], "detector": False, "ranked": True, "knowledge": "all", "adaptive": False,
                  "category": "backdoor" if attack else "none"},
        "metrics": {"accuracy": curve[-1], "accuracy_std": 0.01, "attack_success": rng.random()},
        "curves": {"round": list(range(1, 21)), "accuracy": curve, "attack_success": curve[::-1]},
        "costs": {"aggregate_seconds": rng.random(), "peak_memory_mb": 30.0},
        "counts": {"rounds": 20},
        "provenance": {"commit": "0123456789ab", "engine": "stacked", "device": "cpu"},
    }  # fmt: skip


def main() -> None:
    """Print one line a figure."""
    from selenium import webdriver

    rng = random.Random(0)
    cells = [
        cell(rule, attack, alpha, share, seed, rng)
        for rule in range(RULES) for attack in range(ATTACKS) for alpha in ALPHAS for share in SHARES
        for seed in range(SEEDS)
    ]  # fmt: skip
    options = webdriver.ChromeOptions()
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu"):
        options.add_argument(argument)
    options.binary_location = shutil.which("chromium") or shutil.which("google-chrome") or ""
    with tempfile.TemporaryDirectory() as folder:
        path, started = Path(folder) / "report.html", time.perf_counter()
        size = write_page(cells, path, "five thousand", command_of)
        print(f"{len(cells)} cells: {size / 1e6:.2f} MB, written in {time.perf_counter() - started:.1f} s")
        driver = webdriver.Chrome(
            options=options, service=webdriver.ChromeService(shutil.which("chromedriver"))
        )
        for _ in range(5):
            driver.get("about:blank")
            driver.get(path.as_uri())
            while not driver.execute_script("return document.documentElement.dataset.ready"):
                time.sleep(0.005)
            opened = driver.execute_script("return performance.now()")
            print(f"opened in {opened:.0f} ms, filtered in {driver.execute_script(FILTER):.0f} ms")
        driver.quit()


if __name__ == "__main__":
    main()
