"""The rule of the page for authors does what the page says, at a server."""

from __future__ import annotations

import re
from pathlib import Path

import torch

from robustbench_fl import Server
from robustbench_fl.api.registry import load_plugin

PAGE = (Path(__file__).parents[2] / "docs" / "authors.md").read_text()


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
