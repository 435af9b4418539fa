"""What the classic rules declare of themselves, held against what they do."""

import numpy as np
import pytest
import torch

from robustbench_fl.api.build import make

RULES = [
    "mean",
    "median",
    "trimmed_mean",
    "krum",
    "multi_krum",
    "multi_krum(k=5, iterative=true)",
    "geometric_median",
    "norm_bound",
    "centered_clipping",
    "fltrust",
    "nnm > krum",
    "nnm > trimmed_mean",
]
N, D, F = 13, 40, 3
TOLERANCE = {"rtol": 1e-4, "atol": 1e-4}


@pytest.fixture
def rows():
    return torch.from_numpy(np.random.default_rng(0).standard_normal((N, D)).astype(np.float32))


@pytest.fixture
def step(aggregate):
    return lambda text, rows: aggregate(text, rows, f=F, root_update=torch.linspace(-1, 1, D)).aggregate


@pytest.mark.parametrize("text", RULES)
def test_the_order_of_clients_does_not_matter(text, rows, step):
    order = torch.from_numpy(np.random.default_rng(1).permutation(N))
    torch.testing.assert_close(step(text, rows[order]), step(text, rows), **TOLERANCE)


@pytest.mark.parametrize("text", RULES)
def test_scale_as_declared(text, rows, step):
    scaled = step(text, 4 * rows)
    agrees = torch.allclose(scaled, 4 * step(text, rows), **TOLERANCE)
    assert agrees == make("aggregators", text.split(" > ")[-1]).scale


@pytest.mark.parametrize("text", RULES)
def test_translation_as_declared(text, rows, step):
    shift = torch.linspace(1, 3, D)
    agrees = torch.allclose(step(text, rows + shift), step(text, rows) + shift, **TOLERANCE)
    assert agrees == make("aggregators", text.split(" > ")[-1]).translation


@pytest.mark.parametrize("value", [1e6, 1e30, -1e30])
@pytest.mark.parametrize("text", RULES)
def test_unbounded_rows_as_declared(text, value, rows, step):
    attacked = torch.cat((torch.full((F, D), value), rows[F:]))
    moved = step(text, attacked)
    assert moved.isfinite().all()
    bounded = bool(moved.abs().max() < 10)
    assert bounded == (make("aggregators", text.split(" > ")[-1]).robust)


@pytest.mark.parametrize("text", [text for text in RULES if text != "fltrust"])
def test_clients_who_agree_get_what_they_sent(text, step):
    row = torch.linspace(-2, 2, D)
    torch.testing.assert_close(step(text, row.expand(N, D)), row, **TOLERANCE)


@pytest.mark.parametrize(
    "text", ["mean", "median", "trimmed_mean", "geometric_median", "norm_bound", "centered_clipping"]
)
def test_one_client(text, aggregate):
    row = torch.linspace(-2, 2, D)
    torch.testing.assert_close(aggregate(text, row[None], f=0).aggregate, row, **TOLERANCE)


@pytest.mark.parametrize("text", [text for text in RULES if make("aggregators", text).coordinatewise])
def test_coordinatewise_rules_may_be_asked_in_parts(text, rows, step):
    parts = torch.cat((step(text, rows[:, :17]), step(text, rows[:, 17:])))
    torch.testing.assert_close(parts, step(text, rows))
