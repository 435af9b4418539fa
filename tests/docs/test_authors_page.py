"""The methods that the pages for authors print do what the pages say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from robustbench_fl import Server
from robustbench_fl.api.registry import load_plugin
from robustbench_fl.conformance import Outcome, cases

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "authors.md").read_text()
CHECKED_ELSEWHERE = "other_process"
"""Takes seconds, and the recipes' own test runs it on three methods."""


def test_the_pages_rule_bans_who_is_far_too_often(tmp_path: Path, own_registry: None) -> None:
    (source,) = re.findall(r"^```python\n(# patient\.py\n.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    (tmp_path / "patient.py").write_text(source)
    load_plugin(tmp_path / "patient.py")
    rows = torch.tensor([[0.0, 1.0], [1.0, 0.0], [1.0, 1.0], [0.5, 0.5], [30.0, 30.0]])
    server = Server("patient(patience=1)", n_clients=5)
    first = server.aggregate(rows, client_ids=[3, 1, 4, 7, 5])
    second = server.aggregate(rows.flip(0), client_ids=[5, 7, 4, 1, 3])
    assert first.rejected is not None
    assert second.rejected is not None
    assert (first.rejected.any(), second.rejected.tolist()) == (False, [True, False, False, False, False])
    assert second.aggregate.tolist() == [0.625, 0.625]


@pytest.mark.parametrize(
    ("page", "kind", "file", "name", "checks"),
    [
        ("docs/authors.md", "attacks", "line_probe.py", "line_probe", 19),
        ("CONTRIBUTING.md", "models", "narrow.py", "narrow", 11),
        ("docs/jobs.md", "aggregators", "my_rule.py", "mid_range", 24),
    ],
)
def test_what_a_page_prints_passes_its_checks(
    page: str, kind: str, file: str, name: str, checks: int, tmp_path: Path, own_registry: None
) -> None:
    text = (ROOT / page).read_text()
    (source,) = re.findall(rf"^```python\n(# {re.escape(file)}\n.*?)^```", text, re.DOTALL | re.MULTILINE)
    (tmp_path / file).write_text(source)
    load_plugin(tmp_path / file)
    asked = cases(kind, [name])
    assert len(asked) == checks
    for case in asked:
        if case.check.name != CHECKED_ELSEWHERE:
            assert case.result().outcome is Outcome.PASS, case.result().why
