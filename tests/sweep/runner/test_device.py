"""Where cells are computed."""

from __future__ import annotations

import pytest
import torch

from robustbench_fl.core.errors import UsageError
from robustbench_fl.engine.timers import Timers
from robustbench_fl.sweep.runner import recording
from robustbench_fl.sweep.runner.environment import chosen_device


def test_auto_takes_a_gpu_only_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    for there, device in ((True, "cuda"), (False, "cpu")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda there=there: there)
        assert chosen_device("auto") == device
        assert chosen_device("cpu") == "cpu"


def test_a_gpu_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UsageError, match="finds no GPU"):
        chosen_device("cuda")


def test_a_phase_waits_for_what_it_began_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[str] = []
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: waits.append("waited"))
    with Timers("cpu").of("train"):
        pass
    assert not waits
    timers = Timers("cuda")
    with timers.of("aggregate"):
        assert len(waits) == 1, "what training began is not the server's time"
    assert len(waits) == 2
    assert timers.seconds["aggregate"] >= 0


def test_the_card_is_named_once_it_has_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Some card")
    for used, name in ((True, "Some card"), (False, None)):
        monkeypatch.setattr(torch.cuda, "is_initialized", lambda used=used: used)
        assert recording._name_of_gpu() == name
