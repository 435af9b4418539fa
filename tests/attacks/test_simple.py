"""none, zero, non_finite, gaussian, sign_flip, label_flip, ipm: numbers anyone can check."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from robustbench_fl.api import Knowledge, build
from robustbench_fl.core.errors import UsageError


def test_none_sends_the_honest_update_and_poisons_nothing(make_round) -> None:
    world = make_round([[1, 2], [3, 4]], [[5, 6]])
    attack = build.make("attacks", "none")
    assert world.craft(attack).tolist() == [[1, 2], [3, 4]]
    assert attack.poison(world.view(attack)) is None
    assert attack.category == "none"


def test_zero_sends_zeros_of_the_models_type(make_round) -> None:
    rows = make_round([[1, 2], [3, 4]], [[5, 6]]).craft(build.make("attacks", "zero"))
    assert rows.tolist() == [[0, 0], [0, 0]]
    assert rows.dtype == torch.float32


@pytest.mark.parametrize(("text", "expected"), [("nan", np.nan), ("inf", np.inf), ("1e30", 1e30)])
def test_non_finite_fills_every_entry(make_round, text: str, expected: float) -> None:
    attack = build.make("attacks", f"non_finite(value={text})")
    rows = make_round([[1, 2], [3, 4]], [[5, 6]]).craft(attack)
    np.testing.assert_array_equal(rows.numpy(), np.full((2, 2), expected, dtype=np.float32))
    assert attack.value == text, "kept as a word: nan would not equal itself in a key"
    assert build.make("attacks", build.text_of(attack)) == attack


def test_non_finite_refuses_other_numbers() -> None:
    with pytest.raises(UsageError, match="nan, inf or 1e30"):
        build.make("attacks", "non_finite(value=3)")


def test_gaussian_has_ten_times_the_norm_of_each_own_update(make_round) -> None:
    own = torch.zeros(3, 1000)
    own[0, 0], own[1, :2] = 5.0, torch.tensor([3.0, 4.0])
    own[2, 7] = 0.5
    rows = make_round(own, torch.zeros(2, 1000)).craft(build.make("attacks", "gaussian"))
    np.testing.assert_allclose(rows.norm(dim=1).numpy(), [50, 50, 5], rtol=1e-5)
    unit = (rows / rows.norm(dim=1, keepdim=True)).double()
    # Independent directions in 1000 dimensions: inner products of the order of 1/sqrt(1000).
    assert (unit @ unit.T - torch.eye(3)).abs().max() < 5 / np.sqrt(1000)
    # Entries of a Gaussian direction: kurtosis 3 (a uniform one would give 1.8).
    standard = unit[0] * np.sqrt(1000)
    assert float(standard.pow(4).mean()) == pytest.approx(3, abs=0.8)


def test_gaussian_of_a_zero_update_is_zero(make_round) -> None:
    rows = make_round([[0, 0, 0]], [[1, 1, 1]]).craft(build.make("attacks", "gaussian"))
    assert rows.tolist() == [[0, 0, 0]]


def test_sign_flip_negates_own_updates_or_the_honest_mean(make_round) -> None:
    world = make_round([[1, -2], [3, 4]], [[5, 6], [7, 10]])
    assert world.craft(build.make("attacks", "sign_flip")).tolist() == [[-1, 2], [-3, -4]]
    assert world.craft(build.make("attacks", "sign_flip(scale=2)")).tolist() == [[-2, 4], [-6, -8]]
    of_mean = build.make("attacks", "sign_flip(of=mean)")
    assert of_mean.knowledge == Knowledge.ALL
    assert world.craft(of_mean).tolist() == [[-6, -8], [-6, -8]]


def test_ipm_sends_minus_half_the_honest_mean(make_round) -> None:
    world = make_round([[1, -2], [3, 4]], [[5, 6], [7, 10]])
    assert world.craft(build.make("attacks", "ipm")).tolist() == [[-3, -4], [-3, -4]]
    assert world.craft(build.make("attacks", "ipm(epsilon=100)")).tolist() == [[-600, -800]] * 2


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("label_flip", (1, 2, 3, 4, 5, 6, 7, 8, 9, 0)),
        ("label_flip(map=mirror)", (9, 8, 7, 6, 5, 4, 3, 2, 1, 0)),
    ],
)
def test_label_flip_trains_on_the_map_and_sends_what_comes_out(make_round, text, expected) -> None:
    world = make_round([[1, 2], [3, 4]], [[5, 6]])
    attack = build.make("attacks", text)
    poison = attack.poison(world.view(attack))
    assert poison.label_map == expected
    assert poison.triggers == ()
    assert world.craft(attack).tolist() == [[1, 2], [3, 4]]
    assert attack.category == "data"
