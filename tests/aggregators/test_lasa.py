import numpy as np
import pytest
import torch

from robustbench_fl.aggregators.lasa import Lasa, lasa
from robustbench_fl.api import ServerView

SHAPES = (("a.weight", (2, 2)), ("a.bias", (2,)))
WIDE = (("conv.weight", (4, 2, 3, 3)), ("conv.bias", (4,)), ("layer.weight", (5, 8)), ("layer.bias", (5,)))


def sparsified(row, shapes, sparsity):
    """What is left of the update of a single client, who deviates from nobody and is not clipped."""
    return lasa(torch.tensor([row]), shapes, sparsity=sparsity).tolist()


def test_one_threshold_over_weights_biases_untouched():
    row = [1.0, -2.0, 3.0, -4.0, 0.1, 0.2]
    assert sparsified(row, SHAPES, 0.5) == pytest.approx([0, 0, 3, -4, 0.1, 0.2])
    assert sparsified(row, SHAPES, 0.3) == pytest.approx([0, -2, 3, -4, 0.1, 0.2])
    assert sparsified(row, SHAPES, 0.1) == pytest.approx(row)
    two = (("a.weight", (1, 2)), ("b.weight", (1, 2)), ("b.bias", (2,)))
    assert sparsified(row, two, 0.5) == pytest.approx([0, 0, 3, -4, 0.1, 0.2])
    assert sparsified([1.0] * 6, SHAPES, 0.5) == [1.0] * 6


def test_by_hand():
    # Norm 5 everywhere, so nobody is clipped. The weight tensor has norms 3, 3, 5 and balances of signs
    # 1, 1, −1; its third is more than one deviation off. The bias has norms 4, 4, 0: the same.
    shapes = (("a.weight", (1, 1)), ("a.bias", (1,)))
    rows = torch.tensor([[3.0, 4.0], [3.0, -4.0], [-5.0, 0.0]])
    # The bias' balances are 1, −1, 0: only the third's does not deviate, but its norm does. All three count.
    assert lasa(rows, shapes, sparsity=0).tolist() == pytest.approx([3, 0])


def slow(rows, shapes, sparsity, norm_limit, sign_limit, average):
    rows = rows.astype(float)
    norms = [np.sqrt((row**2).sum()) for row in rows]
    limit = np.median(norms)
    clipped = [row * min(1, limit / norm) for row, norm in zip(rows, norms)]
    cuts = np.cumsum([int(np.prod(shape)) for _, shape in shapes])[:-1]
    dense = [np.split(row, cuts) for row in clipped]
    sparse = []
    for parts in dense:
        weights = np.concatenate([p for p, (_, s) in zip(parts, shapes) if len(s) > 1])
        dropped = int(sparsity * len(weights))
        threshold = np.sort(np.abs(weights))[dropped]
        sparse.append(
            [np.where(np.abs(p) < threshold, 0, p) if len(s) > 1 else p for p, (_, s) in zip(parts, shapes)]
        )
    step = []
    for layer in range(len(shapes)):
        parts = [s[layer] for s in sparse]
        norms = np.array([np.sqrt((p**2).sum()) for p in parts])
        purity = np.array(
            [0.5 * (1 + (1 - sparsity) * np.sign(p).sum() / np.abs(np.sign(p)).sum()) for p in parts]
        )
        kept = []
        for i in range(len(rows)):
            far_norm = abs(norms[i] - np.median(norms)) / norms.std()
            far_sign = abs(purity[i] - np.median(purity)) / purity.std()
            if far_norm < norm_limit and far_sign < sign_limit:
                kept.append(i)
        kept = kept or list(range(len(rows)))
        chosen = sparse if average == "sparse" else dense
        step.append(np.mean([chosen[i][layer] for i in kept], axis=0))
    return np.concatenate(step)


@pytest.mark.parametrize("average", ["sparse", "dense"])
@pytest.mark.parametrize("limits", [(1.0, 1.0), (2.0, 0.3), (0.2, 0.2)])
@pytest.mark.parametrize("seed", range(3))
def test_against_a_slow_reference(seed, limits, average):
    rng = np.random.default_rng(seed)
    rows = (rng.standard_normal((9, 121)) * rng.uniform(0.5, 3, (9, 1)) + 0.2).astype(np.float32)
    expected = slow(rows, WIDE, 0.3, *limits, average)
    found = lasa(torch.from_numpy(rows), WIDE, norm_limit=limits[0], sign_limit=limits[1], average=average)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-4, atol=1e-6)


def asked(rule, rows, shapes=WIDE):
    view = ServerView(rule.needs, round=0, rng=np.random.default_rng(0), layer_shapes=shapes)
    return rule.aggregate(rows, view, None)[0]


def test_a_minority_of_other_signs_is_left_out_everywhere():
    rng = np.random.default_rng(0)
    rows = torch.from_numpy(rng.standard_normal((12, 121)) + 1.5).float()
    rows[:3] *= -1
    outcome = asked(Lasa(), rows)
    assert outcome.scores[:3].tolist() == pytest.approx([1] * 3)
    assert outcome.scores[3:].mean() < 0.5
    assert (outcome.aggregate > 0).float().mean() > 0.8
    assert outcome.rejected is None


@pytest.mark.parametrize("n", [1, 6])
def test_clients_who_agree_all_pass(n):
    row = torch.randn(121, generator=torch.Generator().manual_seed(0))
    outcome = asked(Lasa(average="dense"), row.repeat(n, 1))
    torch.testing.assert_close(outcome.aggregate, row)
    assert outcome.scores.tolist() == pytest.approx([0] * n, abs=1e-12)


def test_huge_rows_are_clipped():
    rows = torch.randn(7, 121, generator=torch.Generator().manual_seed(1))
    rows[0] = 1e30
    assert lasa(rows, WIDE).norm() < 20
    assert not lasa(torch.zeros(4, 121), WIDE).any()
