"""Names of schedules, server optimisers and augmentations: spelling, refusals, a folder's way back."""

import pytest

from robustbench_fl.api.recipes import CHOICES, choice
from robustbench_fl.core.errors import UsageError
from robustbench_fl.sweep.config import make_sweep, to_toml, united

LEAST = {"aggregator": "mean", "attack": "none"}


def grid(**values):
    return make_sweep({**LEAST, **values}, {}, "sweep.toml").grids[0]


def test_texts_name_every_parameter():
    assert grid(server="fedadam, sgd").server == ["fedadam(beta1=0.9, beta2=0.99, tau=0.001)", "sgd"]
    assert grid(augment="crop_flip").augment == ["crop_flip(padding=4)"]
    assert grid(lr_schedule=["cosine", "step(every=5)"]).lr_schedule == [
        "cosine(end=0)",
        "step(every=5, factor=0.1)",
    ]


@pytest.mark.parametrize("setting", CHOICES)
def test_canonical_texts_read_back_to_themselves(setting):
    for name in CHOICES[setting]:
        (text,) = getattr(grid(**{setting: "step(every=3)" if name == "step" else name}), setting)
        assert getattr(grid(**{setting: text}), setting) == [text]
        assert isinstance(choice(setting, text), CHOICES[setting][name])


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (
            {"server": "fedadm"},
            "sweep.toml, server: unknown server 'fedadm'. Did you mean fedadam?\n"
            "There are: sgd, momentum, fedadam.",
        ),
        ({"server": "momentum(beta=1)"}, "momentum: parameter 'beta' must be a number in [0, 1), got 1."),
        ({"server": "momentum(bta=0.5)"}, "momentum has no parameter 'bta'. Did you mean beta?"),
        ({"server": "fedadam(tau=0)"}, "parameter 'tau' must be a number in (0, inf), got 0."),
        ({"lr_schedule": "step"}, "step needs the parameter 'every': a whole number in [1, inf)."),
        ({"lr_schedule": "cosine(end=2)"}, "parameter 'end' must be a number in [0, 1], got 2."),
        ({"lr_schedule": ["constant", "cosine > step"]}, "lr_schedule #2: '>' composes aggregators only"),
        ({"augment": "flip"}, "There are: none, crop_flip."),
        ({"augment": "crop_flip(padding=4.5)"}, "parameter 'padding' must be a whole number in [0, 64]"),
        ({"augment": 3}, "augment: a choice is given as text, such as 'none', got 3."),
        (
            {"proximal_mu": -1},
            "proximal_mu in sweep.toml: input should be greater than or equal to 0, got -1.",
        ),
    ],
)
def test_refusals(values, said):
    with pytest.raises(UsageError) as caught:
        grid(**values)
    assert said in str(caught.value)


def test_a_stored_sweep_without_the_newer_settings_means_the_defaults():
    new = make_sweep(LEAST, {"name": "old"})
    stored = {key: value for key, value in to_toml(new).items() if key not in (*CHOICES, "proximal_mu")}
    assert make_sweep(stored, {}) == new
    assert united(make_sweep(stored, {}), new) == new
    with pytest.raises(UsageError, match=r"server: sgd in the folder, \"momentum\(beta=0.9\)\" now"):
        united(make_sweep(stored, {}), make_sweep(LEAST, {"server": "momentum"}))


def test_the_newer_settings_come_back_from_toml():
    values = {
        "server": ["sgd", "fedadam"],
        "lr_schedule": "linear",
        "proximal_mu": [0, 0.1],
        "augment": "crop_flip",
    }
    sweep = make_sweep({**LEAST, **values}, {})
    assert make_sweep(to_toml(sweep), {}) == sweep
