"""The Python of the page on deployment runs as printed."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

from robustbench_fl import Server
from robustbench_fl.core.errors import UsageError

PAGE = (Path(__file__).parents[2] / "docs" / "deploy.md").read_text()


def test_the_blocks_run_one_after_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    here: dict[str, object] = {"__name__": "page"}
    ran = 0
    for block in blocks:
        if "robustbench_fl.flower" in block and importlib.util.find_spec("flwr") is None:
            continue
        exec(compile(block, "docs/deploy.md", "exec"), here)
        ran += 1
    assert ran >= 3
    assert (tmp_path / "memory.server").is_file()
    weights = here["net"].state_dict()["2.bias"]  # type: ignore[attr-defined]
    assert float(weights.mean()) == pytest.approx(0.03)  # three rounds of 0.01, whatever two clients send


def test_the_sentence_of_the_page_is_what_is_said() -> None:
    with pytest.raises(UsageError) as told:
        Server("fltrust")
    said = re.sub(r"\s+", " ", PAGE[PAGE.index("UsageError: fltrust") :].split("```")[0])
    assert str(told.value) in said
