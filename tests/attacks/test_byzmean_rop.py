from __future__ import annotations

import numpy as np
import pytest
import torch

from robustbench_fl.api import build
from robustbench_fl.attacks.rop import orthogonal_ones


@pytest.mark.parametrize("m", [1, 2, 3, 6])
def test_byzmean_puts_the_plain_mean_onto_alies_update(random_round, make_round, m: int) -> None:
    world = make_round(random_round.own[:m], random_round.honest)
    rows = world.craft(build.make("attacks", "byzmean(z=0.8)")).double()
    honest = world.honest.double()
    wanted = honest.mean(0) - 0.8 * honest.std(0)
    np.testing.assert_allclose(torch.cat([rows, honest]).mean(0), wanted, atol=1e-5)
    for row in rows[: m // 2]:
        np.testing.assert_allclose(row, wanted, atol=1e-5)
    assert len(rows[m // 2 :].unique(dim=0)) == 1


def test_byzmean_takes_alies_z(random_round) -> None:
    mean = random_round.craft(build.make("attacks", "byzmean"))[0]
    alie = random_round.craft(build.make("attacks", "alie"))[0]
    np.testing.assert_allclose(mean, alie, rtol=1e-6)


def test_orthogonal_part_of_ones() -> None:
    # Ones minus their part along (1, 2): (1, 1) − 3/5·(1, 2) = (0.4, −0.2), a unit (2, −1)/√5.
    np.testing.assert_allclose(
        orthogonal_ones(torch.tensor([1.0, 2.0]).double()), np.array([2, -1]) / np.sqrt(5), rtol=1e-12
    )
    assert orthogonal_ones(torch.tensor([3.0, 3.0, 3.0])).tolist() == [0, 0, 0]
    np.testing.assert_allclose(orthogonal_ones(torch.zeros(4)), [0.5] * 4)


def test_rop_in_the_first_round(make_round) -> None:
    # Norms 5 and 10 with median 7.5; r = x̄ = (4.5, 6), so p = (4, −3)/5 up to sign; the last step is 0.
    world = make_round([[0.0, 0.0]] * 2, [[3.0, 4.0], [6.0, 8.0]])
    rows = world.craft(build.make("attacks", "rop"))
    np.testing.assert_allclose(rows, [[-7.5 * 0.8, 7.5 * 0.6]] * 2, rtol=1e-5)
    halfway = world.craft(build.make("attacks", "rop(location=0.5)"))
    np.testing.assert_allclose(halfway, [[2.25 - 7.5 * 0.8, 3 + 7.5 * 0.6]] * 2, rtol=1e-5)


def test_rop_is_perturbed_around_the_last_step(make_round) -> None:
    world = make_round([[0.0, 0.0]], [[0.0, 5.0], [0.0, 5.0]])
    world.last_step = torch.tensor([0.0, 2.0])
    # Reference 0.9·(0, 2) + 0.1·(0, 5) points along the second axis, so p = (1, 0).
    for text, sent in [
        ("rop", [-5, 2]),
        ("rop(z=2)", [-10, 2]),
        ("rop(angle=90)", [5, 2]),
        ("rop(angle=180)", [0, -3]),
        ("rop(location=0)", [-5, 5]),
    ]:
        rows = world.craft(build.make("attacks", text))
        np.testing.assert_allclose(rows, [sent], atol=1e-5)


def test_rops_unit_is_the_median_norm(make_round) -> None:
    world = make_round([[0.0, 0.0]], [[0.0, 1.0], [0.0, 2.0], [0.0, 9.0]])
    np.testing.assert_allclose(world.craft(build.make("attacks", "rop")), [[-2, 0]], atol=1e-5)


def test_rops_reference_weighs_the_last_step(make_round) -> None:
    world = make_round([[0.0, 0.0]], [[4.0, 0.0], [4.0, 0.0]])
    world.last_step = torch.tensor([0.0, 4.0])
    along_last = world.craft(build.make("attacks", "rop(reference=1, angle=0)"))
    np.testing.assert_allclose(along_last, [[0, 8]], atol=1e-5)
    # 0.5·(0, 4) + 0.5·(4, 0) is the diagonal: ones have no orthogonal part.
    rows = world.craft(build.make("attacks", "rop(reference=0.5)"))
    np.testing.assert_allclose(rows, [[0, 4]], atol=1e-5)
