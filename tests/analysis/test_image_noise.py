import numpy as np
import pytest
from scipy.stats import norm, t

from robustbench_fl.analysis.image_noise import with_images
from robustbench_fl.analysis.inference import mean_interval, pairwise, worst_difference, worst_interval
from robustbench_fl.core.errors import UsageError

# Two seeds, three images. By image 1, 0.5, 0; by seed 2/3 and 1/3.
CORRECT = np.array([[1.0, 1.0, 0.0], [1.0, 0.0, 0.0]])
ACCURACY = CORRECT.mean(axis=1)
T1 = 12.706204736
"""Student's t with one degree of freedom, 97.5 %."""


def of_one(correct):
    """Return values [1, 1, seeds] and correctness [1, 1, seeds, images]."""
    return correct.mean(axis=1)[None, None], correct[None, None]


def simulated(rng, rules, attacks, seeds, images, spread=1.0, shift=0.0):
    """Return whether images are classified correctly; some images are hard for all, in all seeds."""
    hard = rng.normal(0, 2, images) * spread
    score = 0.8 + shift - hard + rng.normal(0, 0.2, (rules, 1, attacks, seeds, 1))
    return (score + rng.normal(0, 1, (rules, 1, attacks, seeds, images)) > 0).astype(float)


def test_two_seeds_and_three_images_by_hand():
    # MS_seed = 3 · (1/6² + 1/6²) / 1 = 1/6; MS_image = 2 · (0.5² + 0 + 0.5²) / 2 = 1/2; what is left are
    # ±1/6 (four times) and ±1/3 (twice): MS_rest = (4/36 + 2/9) / 2 = 1/6.
    # V = (1/6 + 1/2 − 1/6) / 6 = 1/12; degrees of freedom (1/2)² / (1/36 / 1 + 1/4 / 2 + 1/36 / 2) = 1.5.
    assert with_images(1 / 36, 1, [(1.0, CORRECT)]) == pytest.approx((1 / 12, 1.5))


def test_the_variance_over_seeds_is_the_floor():
    # No image is harder than another: MS_image = 0.
    correct = np.array([[1.0, 0.0], [0.0, 1.0]])
    assert with_images(0.04, 1, [(1.0, correct)]) == (0.04, 1)


def test_intervals_become_wider_by_hand():
    values, correct = of_one(CORRECT)
    for interval in (mean_interval, worst_interval):
        middle, low, high = interval(values, level=0.5, image_correct=correct)
        assert high - middle == pytest.approx(middle - low)
        assert high - middle == pytest.approx(t.ppf(0.75, 1.5) / np.sqrt(12))
        assert interval(values, level=0.5)[2] - middle == pytest.approx(1 / 6)  # t is 1 there


def test_intervals_are_never_narrower_than_without_images():
    # At 95 % t with 1.5 degrees of freedom is 6.0, and 6.0 / √12 = 1.73. Over seeds alone 12.7 / 6 = 2.12.
    values, correct = of_one(CORRECT)
    assert mean_interval(values, image_correct=correct)[2] - 0.5 == pytest.approx(T1 / 6)
    assert worst_interval(values, image_correct=correct) == pytest.approx(worst_interval(values))


def test_pairs_are_told_apart_less_often_with_images_than_without():
    rng = np.random.default_rng(8)
    for _ in range(20):
        correct = simulated(rng, 4, 2, 2, 30, shift=rng.normal(0, 2, (4, 1, 1, 1, 1)))
        values = correct.mean(axis=-1)
        found = [pairwise(values, image_correct=images) for images in (None, correct)]
        assert (np.abs(found[1]) <= np.abs(found[0])).all()


def test_two_test_sets_are_two_samples():
    # The mean over two worlds of their own images: the image part of each counts by its share squared.
    twice = [(0.5, CORRECT), (0.5, CORRECT)]
    extra = (1 / 2 - 1 / 6) / 6
    assert with_images(1 / 36, 1, twice)[0] == pytest.approx(1 / 36 + 2 * extra / 4)


def test_worlds_that_share_images_are_averaged_first():
    # The second world is right where the first is wrong: no image is hard on the whole.
    worlds = np.stack([CORRECT, 1 - CORRECT])[:, None]
    values = worlds.mean(axis=-1)
    assert mean_interval(values, image_correct=worlds) == pytest.approx(mean_interval(values))
    apart = mean_interval(values, image_correct=worlds, test_sets=["a", "b"])
    assert apart[2] > mean_interval(values)[2]


def test_worlds_with_other_numbers_of_images_need_names():
    wide = np.concatenate([CORRECT, CORRECT], axis=1)
    values = np.stack([ACCURACY, ACCURACY])[:, None]
    nested = [[CORRECT], [wide]]
    with pytest.raises(UsageError, match="have 3 and 6 test images"):
        mean_interval(values, image_correct=nested)
    assert mean_interval(values, image_correct=nested, test_sets=[0, 1])[0] == pytest.approx(0.5)


def test_only_the_worst_attack_counts_in_the_worst_case():
    other = np.clip(CORRECT + 0.2, 0, 1)
    both = np.stack([CORRECT, other])[None]
    alone = worst_interval(ACCURACY[None, None], image_correct=CORRECT[None, None])
    assert worst_interval(both.mean(axis=-1), image_correct=both) == pytest.approx(alone)


def test_an_absent_attack_has_no_images():
    values = np.array([[ACCURACY, [np.nan, np.nan]]])
    nested = [[CORRECT, None]]
    expected = mean_interval(values[:, :1], image_correct=[[CORRECT]])
    assert mean_interval(values, image_correct=nested) == pytest.approx(expected)


def test_hard_images_that_both_rules_share_do_not_count_in_a_difference():
    rng = np.random.default_rng(0)
    hard = (rng.random(200) < 0.7).astype(float)
    first = np.repeat(hard[None], 4, axis=0)
    first[np.arange(4), np.arange(4)] = 1
    second = np.repeat(hard[None], 4, axis=0)
    second[:, 100:110] = 0
    correct = np.stack([first, second])[:, None, None]
    values = correct.mean(axis=-1)
    assert worst_difference(values, image_correct=correct)[1] > 0
    assert pairwise(values, image_correct=correct)[0, 1] == 1
    # Alone, either is known to no better than 0.065 from 200 images.
    assert np.diff(worst_interval(values[0], image_correct=correct[0])[1:]) > 0.12


def test_the_pair_test_agrees_with_the_interval_of_the_difference():
    rng = np.random.default_rng(3)
    for _ in range(5):
        correct = simulated(rng, 2, 3, 3, 60)
        values = correct.mean(axis=-1)
        _, low, high = worst_difference(values, image_correct=correct)
        assert pairwise(values, image_correct=correct)[0, 1] == (1 if low > 0 else -1 if high < 0 else 0)


def test_rules_that_differ_on_these_images_only_are_not_told_apart():
    # Over all images the rules are equal; each has images that are hard for it alone, in every seed.
    rng = np.random.default_rng(4)
    found = []
    for _ in range(100):
        score = 0.8 - rng.normal(0, 2, (4, 1, 1, 1, 150)) + rng.normal(0, 0.05, (4, 1, 1, 5, 1))
        correct = (score + rng.normal(0, 0.5, (4, 1, 1, 5, 150)) > 0).astype(float)
        values = correct.mean(axis=-1)
        found.append([(pairwise(values, image_correct=c) != 0).any() for c in (None, correct)])
    without, given = np.mean(found, axis=0)
    assert without > 0.3
    assert given <= 0.1


def test_coverage_over_seeds_and_images():
    rng = np.random.default_rng(5)
    # The share of images with 0.8 above N(0, 2² + 0.2² + 1).
    true = norm.cdf(0.8 / np.sqrt(5.04))
    hits = []
    for _ in range(400):
        correct = simulated(rng, 1, 1, 5, 150)[0]
        values = correct.mean(axis=-1)
        hits.append(
            [
                low <= true <= high
                for _, low, high in (mean_interval(values), mean_interval(values, image_correct=correct))
            ]
        )
    without, given = np.mean(hits, axis=0)
    assert without < 0.85
    assert 0.92 <= given <= 0.985


@pytest.mark.parametrize(
    ("correct", "message"),
    [
        (CORRECT[None, None, :, 0], r"must have the shape \[2 seeds, images\], got \(2,\)"),
        (CORRECT[None, None] * 5, r"for seed 0 its mean over images is 3\.333333, the accuracy 0\.666667"),
        (CORRECT[None, None] * np.nan, "does not belong to the values"),
        ([[ACCURACY[:, None]]], "needs at least 2 of them, got 1"),
    ],
)
def test_what_is_refused(correct, message):
    with pytest.raises(UsageError, match=message):
        mean_interval(ACCURACY[None, None], image_correct=correct)


def test_a_name_for_each_world():
    with pytest.raises(UsageError, match="one test set for each of 1 worlds, got 2"):
        mean_interval(ACCURACY[None, None], image_correct=CORRECT[None, None], test_sets=[0, 1])
