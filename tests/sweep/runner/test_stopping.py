"""Signals end a run once, at once the second time, and not at all where they are ignored."""

from __future__ import annotations

import os
import signal
from multiprocessing.connection import wait

import pytest

from robustbench_fl.sweep.runner.stopping import Stop


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_asks_once_and_raises_the_second_time(
    number: signal.Signals, capfd: pytest.CaptureFixture[str]
) -> None:
    stop = Stop()
    before = signal.getsignal(number)
    with stop.on_signals():
        assert not wait([stop.fileno()], timeout=0)
        os.kill(os.getpid(), number)
        assert wait([stop.fileno()], timeout=5)
        assert (stop.reason, stop.signal) == (number.name, number)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)
    assert signal.getsignal(number) is before
    assert f"{number.name}: stopping" in capfd.readouterr().err


def test_what_is_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        stop = Stop()
        with stop.on_signals():
            os.kill(os.getpid(), signal.SIGHUP)
            assert not stop.requested
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_the_first_reason_is_kept() -> None:
    stop = Stop()
    stop.request("3 cells failed")
    stop.request("SIGTERM")
    assert stop.reason == "3 cells failed"
