from __future__ import annotations

import signal
import threading

import pytest

from deepfakestream.host.signals import signals_held, stopped_by_signals


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_block_quietly_and_handlers_come_back(number):
    before = signal.getsignal(number)
    done = []
    with stopped_by_signals():
        done.append("first")
        signal.raise_signal(number)
        done.append("never")
    assert done == ["first"]
    assert signal.getsignal(number) is before


def test_a_second_signal_does_not_disturb_the_stopping():
    stopped = []
    with stopped_by_signals():
        try:
            signal.raise_signal(signal.SIGINT)
        finally:
            signal.raise_signal(signal.SIGINT)
            stopped.append(True)
    assert stopped == [True]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_held_signal_waits_for_the_end_of_the_block(number):
    done = []
    with stopped_by_signals():
        with signals_held():
            signal.raise_signal(number)
            done.append("started and noted")
        done.append("never")
    assert done == ["started and noted"]


def test_an_error_in_a_held_block_is_raised_and_handlers_come_back():
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(ValueError, match="mine"), signals_held():
        raise ValueError("mine")
    assert signal.getsignal(signal.SIGINT) is before


def test_other_threads_hold_nothing():
    done = []

    def run() -> None:
        with signals_held():
            done.append(True)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert done == [True]
