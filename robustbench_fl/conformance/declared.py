"""Where methods are known to break a check, and why; and which ones are too slow as they are.

A plug-in declares the same on its class: ``expected_failures``, a mapping from a check's name to
the reason, and ``checked_with``, a mapping of parameters.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

EXPECTED: Mapping[str, Mapping[str, str]] = {
    "bucketing": {"permutation": "its groups are drawn by row number, so that other clients meet"},
    "bulyan": {"permutation": "the last picks tie: one neighbour counts, and mutual neighbours score alike"},
    "deepsight": {
        "scale": "the models' answers to noise depend on it; the clusters of the scene happen not to change"
    },
    "fedseca": {"identical_updates": "only the largest tenth of each update counts"},
    "flame": {
        "identical_updates": "the noise is added to whatever is kept",
        "scale": "models are compared, parameters included; the majority of the scene happens not to change",
    },
    "fltrust": {"identical_updates": "every update takes the length of the server's own"},
    "foolsgold": {"identical_updates": "clients who agree in everything are taken for sybils"},
    "freqfed": {
        "translation": "models are compared, parameters included; the majority of the scene does not change"
    },
    "lasa": {"identical_updates": "the smallest 30 % of the weights are zeroed"},
    "monna": {"identical_updates": "the server's own update is averaged with them"},
    "multi_krum(iterative=true)": {
        "permutation": "with few rows left one neighbour counts; mutual neighbours tie, the first row wins"
    },
    "none": {"start_and_stop": "without an attack there is nothing to start; it takes neither"},
    "non_finite": {"finite": "NaN and Inf are what it is for"},
    "oracle_mean": {"shapes_documented": "its mathematics is the function `mean`, documented there"},
    "skymask": {
        "identical_updates": "one group is the server's own, the other all clients, who differ from it"
    },
    "rflbat": {"translation": "cosines depend on it; the cluster taken in the scene does not change"},
    "safefl": {
        "scale": "losses depend on it; the first rounds, which the check plays, look at clusters alone",
        "translation": "losses depend on it; the first rounds, which the check plays, look at clusters alone",
    },
    "sign_majority": {"identical_updates": "it steps equally far in every coordinate, by design"},
}
"""Method, or one variant of it → check → reason. What passes in spite of its entry is a failure."""

SMALL: Mapping[str, Mapping[str, Any]] = {
    "adaptive_fedredefense": {"steps": 3, "iterations": 8},
    "deepsight": {"samples": 100},
    # Few iterations, with a threshold at which some of the tiny clients pass and some do not.
    "fedredefense": {
        "first_budget": 6,
        "later_budget": 4,
        "unroll_steps": 3,
        "auto_step": 0.8,
        "lr_image": 2.0,
        "threshold": 0.95,
        "ban": 1,
    },
    "image_folder": {"path": "pictures"},
    "npz": {"path": "arrays.npz"},
    "hf": {"path": "saved"},
    # The scenes have four rounds; the first prediction is made in the third.
    "fldetector": {"start": 2, "window": 1},
    # After two rounds the data are made, in few steps.
    "safefl": {"trajectory": 2, "iterations": 3, "inner_steps": 2, "per_class": 1},
    # Every layer is there, with fewer channels.
    "resnet18": {"width": 4},
    "vgg11": {"width": 4},
    "torchvision": {"name": "mobilenet_v3_small"},
}
"""Parameters that make a method cheap to check, where its defaults are not, or possible at all."""

UNVARIED: Mapping[str, frozenset[str]] = {
    # Presets are sets of the rates and budgets above; of the rest the rule has tests of its own.
    "fedredefense": frozenset({"preset", "image_rate", "step", "early_stop", "nan_policy", "zero_update"}),
}
"""Parameters whose choices are not gone through, where that takes long."""


def expected_failures(cls: type, form: str) -> Mapping[str, str]:
    """Return the checks that are expected to fail on a form of the method `cls`, with the reasons.

    Parameters
    ----------
    cls : type
        The registered class.
    form : str
        The method's name, or a variant's, as ``"multi_krum(iterative=true)"``.
    """
    own: Mapping[str, str] = getattr(cls, "expected_failures", {}) if form == _name(cls) else {}
    return {**EXPECTED.get(form, {}), **own}


def small_parameters(cls: type) -> Mapping[str, Any]:
    """Return the parameters with which the method `cls` is checked."""
    own: Mapping[str, Any] = getattr(cls, "checked_with", {})
    return own or SMALL.get(_name(cls), {})


def unvaried_parameters(cls: type) -> frozenset[str]:
    """Return the parameters of the method `cls` that stay as they are."""
    return UNVARIED.get(_name(cls), frozenset())


def _name(cls: type) -> str:
    name: str = cls.registered.name  # type: ignore[attr-defined]
    return name
