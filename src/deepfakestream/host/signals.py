"""Ctrl-C and TERM: they end a block quietly, and wait while something that must not be torn apart is done."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

_STOPPING = (signal.SIGINT, signal.SIGTERM)


def interrupt_once(_number: int, _frame: FrameType | None) -> None:
    """Raise KeyboardInterrupt, and let nothing disturb the cleaning up: a handler of Ctrl-C and TERM.

    PyTorch raises an error where a worker of its loaders is ended by a signal, as it then should be.
    """
    for number in _STOPPING:
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    raise KeyboardInterrupt


def interrupted_by_signals() -> None:
    """Let Ctrl-C and TERM interrupt the whole process, once."""
    for number in _STOPPING:
        signal.signal(number, interrupt_once)


@contextmanager
def stopped_by_signals() -> Iterator[None]:
    """Leave the block quietly on Ctrl-C or TERM; a second signal does not disturb the stopping."""
    try:
        with _handled_by(interrupt_once):
            yield
    except KeyboardInterrupt:
        pass


@contextmanager
def signals_held() -> Iterator[None]:
    """Let Ctrl-C and TERM wait until the block is left; outside the main thread, which gets none, do nothing.

    Between the start of a process and the note that it runs an interrupt would leave it to nobody.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    held: list[int] = []
    try:
        with _handled_by(lambda number, _frame: held.append(number)):
            yield
    finally:
        if held:
            signal.raise_signal(held[0])


@contextmanager
def _handled_by(handler: Any) -> Iterator[None]:
    before = {number: signal.signal(number, handler) for number in _STOPPING}
    try:
        yield
    finally:
        for number, former in before.items():
            signal.signal(number, former)
