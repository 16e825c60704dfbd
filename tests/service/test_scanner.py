"""The process that scans for a worker: what its end and its answers mean."""

from __future__ import annotations

import io
import sys
from typing import Any

import pytest

from deepfakestream.errors import MediaError, Reason, ServerError, WrongKindError
from deepfakestream.service.scan_process import answer
from deepfakestream.service.scanner import Scanner, ScannerLost, ScannerNotStarted


def run(code: str) -> dict[str, Any]:
    scanner = Scanner([sys.executable, "-c", code], tick_s=0.05)
    try:
        return scanner.run({"task": "scan"}, timeout_s=120, keep=lambda _progress: True)
    finally:
        scanner.stop()


def test_a_process_that_does_not_come_up_is_not_one_that_a_file_ended() -> None:
    with pytest.raises(ScannerNotStarted):
        run("")
    with pytest.raises(ScannerLost):
        run("""print('{"ready": true}', flush=True); input()""")


class FakeProcess:
    """Ends its one task in a given way."""

    def __init__(self, end: Exception | dict[str, Any]) -> None:
        self._end = end

    def refresh(self) -> None:
        pass

    def do(self, _task: dict[str, Any]) -> dict[str, Any]:
        if isinstance(self._end, Exception):
            raise self._end
        return self._end


@pytest.mark.parametrize(
    ("end", "said"),
    [
        ({"faces": []}, {"answer": {"faces": []}}),
        (WrongKindError(found="image", expected="video"), {"wrong_kind": "image"}),
        (
            MediaError(Reason.DECODER_CRASHED, "it broke"),
            {"media_error": "decoder_crashed", "detail": "it broke"},
        ),
        (ServerError("they ended"), {"not_now": "they ended", "counts": True}),
        (ValueError("a bug"), {"error": "ValueError: a bug"}),
    ],
)
def test_each_end_of_a_task_has_its_message(end: Exception | dict[str, Any], said: dict[str, Any]) -> None:
    messages: list[dict[str, Any]] = []
    answer(FakeProcess(end), io.StringIO("{}\n"), messages.append)  # type: ignore[arg-type]
    assert messages == [{"ready": True}, said]
