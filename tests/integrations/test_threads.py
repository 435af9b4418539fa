"""A round on as many threads as it was given."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import robustbench_fl as rb
from robustbench_fl.core.errors import InfeasibleError, UsageError
from robustbench_fl.integrations import server as server_module


def test_a_round_has_the_threads_that_it_was_given(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    before = torch.get_num_threads()

    def counting(*given: Any, **named: Any) -> Any:
        seen.append(torch.get_num_threads())
        return served(*given, **named)

    served = server_module.serve
    monkeypatch.setattr(server_module, "serve", counting)
    rows = np.random.default_rng(0).standard_normal((9, 9000), np.float32)
    answers = [rb.aggregate("median", rows, threads=threads).tobytes() for threads in (1, 2, 3, None)]
    assert seen == [1, 2, 3, before]
    assert torch.get_num_threads() == before
    assert len(set(answers)) == 1


def test_threads_are_given_back_after_an_error_and_must_be_a_number() -> None:
    before = torch.get_num_threads()
    server = rb.Server("krum", f=2, threads=before + 1)
    with pytest.raises(InfeasibleError):
        server.aggregate(np.ones((4, 3), np.float32))
    assert torch.get_num_threads() == before
    for wrong in (0, -1, True, 1.5, "2"):
        with pytest.raises(UsageError, match="threads is how many threads a round may use"):
            rb.aggregate("mean", np.ones((4, 3)), threads=wrong)  # type: ignore[arg-type]
