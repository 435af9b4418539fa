"""A round on as many threads as it was given."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_info, threadpool_limits

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
    rows = np.random.default_rng(0).standard_normal((12, 200_000), np.float32)
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


@pytest.mark.parametrize("rule", ["krum", "bulyan", "caf", "geometric_median", "nnm > trimmed_mean"])
def test_threads_change_no_bit_of_distances(rule: str) -> None:
    rows = np.random.default_rng(0).standard_normal((12, 50_000), np.float32)
    rows[:2] = rows[2] + 1e-5 * rows[:2]  # so near that their distances are taken again in float64
    answers = {rb.aggregate(rule, rows, f=2, threads=threads).tobytes() for threads in (1, 2, 3)}
    assert len(answers) == 1


def test_a_round_leaves_one_thread_to_the_linear_algebra_of_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[set[int]] = []

    def looking(*given: Any, **named: Any) -> Any:
        seen.append({pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"})
        return served(*given, **named)

    served = server_module.serve
    monkeypatch.setattr(server_module, "serve", looking)
    with threadpool_limits(2, "blas"):
        rb.aggregate("mean", np.ones((4, 3)), threads=2)
        assert seen == [{1}]
        assert {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"} == {2}
