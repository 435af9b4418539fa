"""Crafted rows without class sums: an orthogonal projection, on updates of real training."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from robustbench_fl.api import build
from robustbench_fl.attacks._projection import without_class_sums
from robustbench_fl.conformance import world
from robustbench_fl.conformance.attack_scene import Mounted

MADE_UP = ["min_max", "min_sum", "fang_trimmed_mean", "fang_trimmed_mean(knows=all)", "fang_krum", "alie",
           "byzmean", "rop", "gaussian", "mpaf(target=random)", "min_max(perturbation=sign)"]  # fmt: skip
LINEAR = ["ipm", "mpaf", "sign_flip", "sign_flip(of=mean)", "min_max(perturbation=unit)"]
C, H = 3, 6


def energy(rows: torch.Tensor) -> torch.Tensor:
    """Return the share of each row's last layer that is the same for all classes."""
    last = rows[:, -C * (H + 1) :].double()
    weight, bias = last[:, :-C].reshape(-1, C, H), last[:, -C:]
    sums = weight.sum(1).square().sum(1) + bias.sum(1).square()
    return sums / last.square().sum(1).clamp(min=1e-300)


def crafted(text: str, round: int = 1) -> torch.Tensor:
    attack = build.make("attacks", text)
    at = Mounted(round=round)
    return attack.craft(at.view(attack), attack.init_state(at.spec))[0]


def projected(text: str) -> str:
    return f"{text[:-1]}, projected=true)" if text.endswith(")") else f"{text}(projected=true)"


def test_honest_training_has_no_class_sums() -> None:
    assert float(energy(world.history()[1].updates).max()) < 1e-10


@pytest.mark.filterwarnings("ignore:alie")
@pytest.mark.parametrize("text", MADE_UP)
def test_what_is_made_up_has_and_loses_them(text: str) -> None:
    before, after = crafted(text), crafted(projected(text))
    assert float(energy(before).min()) > 1e-4
    assert float(energy(after).max()) < 1e-12
    # Nothing but the last layer is touched, and what is taken is orthogonal to what is left.
    assert torch.equal(before[:, : -C * (H + 1)], after[:, : -C * (H + 1)])
    taken = (before - after).double()
    across = (taken * after.double()).sum(1)
    assert float(across.abs().max()) < 1e-6 * float(before.double().square().sum(1).max())


@pytest.mark.parametrize("text", LINEAR)
def test_what_is_linear_in_honest_updates_never_had_them(text: str) -> None:
    assert float(energy(crafted(text)).max()) < 1e-10


def test_no_other_row_without_class_sums_is_nearer() -> None:
    """Against the projection matrix, made the slow way: I − Σ v vᵀ over one v a feature, one for the bias."""
    rng = np.random.default_rng(0)
    rows = torch.from_numpy(rng.normal(size=(4, 5 + C * (H + 1))))
    matrix = np.eye(rows.shape[1])
    for feature in range(H + 1):
        v = np.zeros(rows.shape[1])
        places = [5 + c * H + feature for c in range(C)] if feature < H else [5 + C * H + c for c in range(C)]
        v[places] = 1 / np.sqrt(C)
        matrix -= np.outer(v, v)
    np.testing.assert_allclose(without_class_sums(rows, C, H), rows.numpy() @ matrix, atol=1e-14)
    np.testing.assert_allclose(matrix @ matrix, matrix, atol=1e-14)


def test_without_a_linear_last_layer_it_is_refused(make_round) -> None:
    spec = make_round([[1.0]], [[1.0]]).spec
    assert "linear layer" in build.make("attacks", "min_max(projected=true)").infeasible(spec)
    assert build.make("attacks", "min_max").infeasible(spec) is None


def test_the_default_leaves_identities_as_they_were() -> None:
    (part,) = build.identity_of(build.make("attacks", "min_max"))
    assert "projected" not in part["params"]
    (part,) = build.identity_of(build.make("attacks", "min_max(projected=true)"))
    assert part["params"]["projected"] is True
