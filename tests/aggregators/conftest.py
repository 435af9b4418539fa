"""What the tests of the rules share: one round of a rule that is given as text."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from robustbench_fl.api import Aggregation, RootData, ServerSpec, ServerView
from robustbench_fl.api.build import make


@pytest.fixture
def aggregate() -> Callable[..., Aggregation]:
    """Return ``aggregate(text, rows, f=..., sample_counts=..., root_update=...)``."""

    def one_round(
        text: str, rows: Any, *, rng_seed: int = 0, root_update: Any = None, **gated: Any
    ) -> Aggregation:
        rule = make("aggregators", text)
        updates = torch.as_tensor(rows, dtype=torch.float32)
        if root_update is not None:
            step = torch.as_tensor(root_update, dtype=torch.float32)
            gated["root"] = RootData(images=torch.empty(0), labels=torch.empty(0), train=lambda: step)
        view = ServerView(rule.needs, round=0, rng=np.random.default_rng(rng_seed), layer_shapes=(), **gated)
        spec = ServerSpec(n_clients=len(updates), n_params=updates.shape[1], layer_shapes=())
        before = updates.clone()
        outcome, _ = rule.aggregate(updates, view, rule.init_state(spec))
        assert torch.equal(updates, before), f"{text} changed its input"
        return outcome

    return one_round


@pytest.fixture
def line() -> torch.Tensor:
    """Five clients on a line."""
    return torch.tensor([[0.0], [1.0], [3.0], [7.0], [20.0]])
