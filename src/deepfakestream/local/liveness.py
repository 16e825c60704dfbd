"""Whether a server still answers, asked from a thread of its own: one that hangs delays nobody else."""

from __future__ import annotations

import http.client
import threading
import time
import urllib.request

PERIOD_S = 30.0
"""From one question to the next."""
TIMEOUT_S = 30.0
"""Longest time for an answer: a busy server is slow, and works."""
MAX_UNANSWERED = 6
"""Questions in a row without an answer, three minutes of them, after which a server counts as hung."""
MAX_UNANSWERED_AT_START = 20
"""The same for one that has never answered: loading a model takes its time."""


class Liveness:
    """Asks one server again and again, until it is stopped."""

    def __init__(self, url: str, *, period_s: float = PERIOD_S, timeout_s: float = TIMEOUT_S) -> None:
        """Begin to ask.

        Args:
            url: answers 200 while the server works.
            period_s: from one question to the next.
            timeout_s: longest time for an answer.
        """
        self._url = url
        self._period_s = period_s
        self._timeout_s = timeout_s
        self._has_answered = False
        self._num_unanswered = 0
        self._is_over = threading.Event()
        threading.Thread(target=self._ask, name=f"liveness-{url}", daemon=True).start()

    @property
    def is_hung(self) -> bool:
        """Whether it has not answered for so long that it should be started again."""
        most = MAX_UNANSWERED if self._has_answered else MAX_UNANSWERED_AT_START
        return self._num_unanswered >= most

    @property
    def is_well(self) -> bool:
        """Whether it gave the last answer that it was asked for."""
        return self._has_answered and not self._num_unanswered

    def stop(self) -> None:
        """Ask no more."""
        self._is_over.set()

    def _ask(self) -> None:
        wait_s = 0.0
        while not self._is_over.wait(wait_s):
            began_at = time.monotonic()
            if answers(self._url, self._timeout_s):
                self._has_answered, self._num_unanswered = True, 0
            else:
                self._num_unanswered += 1
            wait_s = max(0.0, self._period_s - (time.monotonic() - began_at))


def answers(url: str, timeout_s: float) -> bool:
    """Return whether a page answers 200.

    Args:
        url: of the page.
        timeout_s: longest time for the answer.
    """
    try:
        with urllib.request.urlopen(url, timeout=timeout_s) as reply:  # noqa: S310
            return bool(reply.status == 200)
    except (OSError, http.client.HTTPException):
        return False
