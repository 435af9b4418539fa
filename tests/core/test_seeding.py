"""Labelled streams: frozen numbers, no global generator."""

import numpy as np
import pytest
import torch

from robustbench_fl.core.seeding import seed_sequence, stream, torch_generator


def test_numbers_are_frozen():
    # Computed once from SHA-256 of '["batches", 0, 3, 7]'; a change makes no cell reproducible.
    assert stream("batches", 0, 3, 7).integers(10**6, size=4).tolist() == [193902, 712054, 798443, 78486]


def test_entropy_is_the_digest_of_the_labels():
    import hashlib

    digest = hashlib.sha256(b'["split", 0]').digest()
    words = [int.from_bytes(digest[i : i + 4], "little") for i in range(0, 32, 4)]
    assert seed_sequence("split", 0).entropy.tolist() == words
    state = np.random.SeedSequence(words).generate_state(8)
    assert seed_sequence("split", 0).generate_state(8).tolist() == state.tolist()


def test_labels_do_not_run_together():
    labels = [
        ("a", 1),
        ("a", "1"),
        ("a1",),
        ("a", 1.0),
        (1, "a"),
        ("a", None),
        ("a", 1, None),
        ("a, 1",),
        ("a", 11),
    ]
    draws = {int(stream(*label).integers(2**62)) for label in labels}
    assert len(draws) == len(labels)


def test_streams_do_not_depend_on_each_other():
    first = stream("x").random(3)
    stream("y").random(100)
    np.testing.assert_array_equal(stream("x").random(3), first)


def test_no_global_generator_is_touched():
    numpy_before, torch_before = np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002
    torch.randn(3, generator=torch_generator(stream("x")))
    np.testing.assert_array_equal(np.random.get_state()[1], numpy_before)  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), torch_before)


def test_torch_generator_takes_one_draw():
    rng = stream("noise", 1)
    a = torch.randn(5, generator=torch_generator(rng))
    b = torch.randn(5, generator=torch_generator(rng))
    assert not torch.equal(a, b)
    again = stream("noise", 1)
    again.integers(2**63 - 1)
    assert torch.equal(torch.randn(5, generator=torch_generator(again)), b)


def test_a_label_that_is_no_plain_value_is_refused():
    with pytest.raises(TypeError):
        stream("x", np.int64(3))
