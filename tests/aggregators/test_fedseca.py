import numpy as np
import pytest
import torch

from robustbench_fl.aggregators.fedseca import concordance, fedseca

ROWS = torch.tensor([[1.0, 2.0], [3.0, 2.0], [-1.0, 2.0]])


def test_concordance_by_hand():
    # Clients 1 and 2 agree; each agrees with the third as often as not, which counts nothing.
    assert concordance(ROWS).tolist() == [2, 2, 1]
    opposed = torch.tensor([[1.0, 1.0], [1.0, 1.0], [-1.0, -1.0]])
    assert concordance(opposed).tolist() == [1, 1, 0]


def test_sparse_concordance_by_hand():
    # With the largest entry of each alone: (0, 2), (3, 0), (0, 2). The second meets nobody.
    least = torch.tensor([[2.0], [3.0], [2.0]])
    assert concordance(ROWS, least).tolist() == [2, 1, 2]


def test_by_hand():
    # Norms √5, √13, √5: the second is scaled by √(5/13). Magnitudes are cut to the medians 1 and 2.
    second = 2 * (5 / 13) ** 0.5
    assert fedseca(ROWS, keep=1.0).tolist() == pytest.approx([1, (2 + second + 2) / 3])
    # Each keeps its largest raw entry: the second its first, the others their second.
    assert fedseca(ROWS, keep=0.5).tolist() == pytest.approx([1, 2])


def test_a_tie_elects_nothing():
    rows = torch.tensor([[1.0, 1.0, 1.0, 1.0], [1.0, -1.0, 1.0, -1.0]])
    assert fedseca(rows, keep=1.0).tolist() == [1, 0, 1, 0]


def slow(rows, keep, vote):
    n, d = rows.shape
    largest = [set(np.argsort(-np.abs(row))[: int(keep * d)]) for row in rows]
    signs = np.sign(rows)
    if vote == "sparse":
        signs = np.array(
            [[s if j in kept else 0 for j, s in enumerate(row)] for row, kept in zip(signs, largest)]
        )
    omega = np.array([[(signs[k] * signs[m]).mean() for m in range(n)] for k in range(n)])
    rho = [max(0.0, np.mean([np.sign(omega[k, m]) for m in range(n)])) for k in range(n)]
    elected = [np.sign(round(sum(rho[k] * signs[k, j] for k in range(n)), 9)) for j in range(d)]
    norms = [np.sqrt((row**2).sum()) for row in rows]
    clipped = np.array([row * min(1, np.median(norms) / norm) for row, norm in zip(rows, norms)])
    step = np.zeros(d)
    for j in range(d):
        cut = np.median(np.abs(clipped[:, j]))
        values = [
            np.sign(clipped[k, j]) * min(abs(clipped[k, j]), cut)
            for k in range(n)
            if j in largest[k] and signs[k, j] == elected[j] and signs[k, j] != 0
        ]
        step[j] = np.mean(values) if values else 0
    return step


@pytest.mark.parametrize("vote", ["sparse", "all"])
@pytest.mark.parametrize("keep", [0.1, 0.5, 1.0])
@pytest.mark.parametrize("seed", range(4))
def test_against_a_slow_reference(seed, keep, vote):
    rng = np.random.default_rng(seed)
    rows = (rng.standard_normal((7 + seed % 2, 300)) + 0.3).astype(np.float32)
    rows[:2] *= -3
    rows[:, :5] = 0
    found = fedseca(torch.from_numpy(rows), keep=keep, vote=vote)
    np.testing.assert_allclose(found.numpy(), slow(rows.astype(float), keep, vote), rtol=1e-5, atol=1e-7)


def test_several_blocks_of_columns():
    rows = torch.randn(4, 200_000, generator=torch.Generator().manual_seed(0))
    parts = torch.cat([rows, rows], 1)
    whole = fedseca(parts, keep=1.0)
    assert torch.equal(whole[:200_000], whole[200_000:])
    assert concordance(parts).tolist() == concordance(rows).tolist()


def test_a_minority_has_no_vote(aggregate):
    rng = np.random.default_rng(1)
    rows = torch.from_numpy(rng.standard_normal((10, 400)) + 1).float()
    rows[:4] *= -5
    outcome = aggregate("fedseca", rows)
    assert outcome.scores[:4].tolist() == [1] * 4
    assert (outcome.aggregate >= 0).float().mean() > 0.95


def test_huge_and_zero_rows():
    rows = torch.ones(5, 20)
    rows[0] = -1e30
    assert fedseca(rows, keep=1.0).tolist() == pytest.approx([1] * 20)
    assert not fedseca(torch.zeros(3, 20)).any()
    # Of a single client the largest tenth counts.
    row = torch.linspace(1, 20, 20)[None]
    assert fedseca(row).tolist() == [0] * 18 + [19, 20]
