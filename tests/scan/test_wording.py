from __future__ import annotations

import pytest

from deepfakestream.errors import Reason
from deepfakestream.host.terminal import one_line, terminal_safe
from deepfakestream.model.scorer import ModelInfo
from deepfakestream.model.spec import OperatingPoint
from deepfakestream.scan.command import to_text
from deepfakestream.scan.result import MediaFacts, ScanResult
from deepfakestream.scan.wording import message_for

POINT = OperatingPoint(threshold=0.7, inconclusive_from=0.4, fpr=0.05, tpr=0.8, measured_on="val, 40 files")


def result(*, file: str = "a.mp4", reasons: tuple[Reason, ...] = ()) -> ScanResult:
    return ScanResult(
        file=file,
        verdict="likely_real",
        p_fake=0.1,
        interval=None,
        reasons=reasons,
        tracks=(),
        model=ModelInfo(name="m", version="3", weights_sha256="0"),
        operating_point="balanced",
        threshold=POINT,
        media=MediaFacts(
            sha256="cd", kind="video", codec="h264", width_px=8, height_px=8, size_bytes=9,
            duration_s=1.0, fps=25.0, frames_searched=1,
        ),
        features={},
    )  # fmt: skip


def test_a_limit_of_the_verdict_is_in_its_sentence() -> None:
    whole = (
        "Likely real: the score is 0.100 on a scale from 0 (real) to 1 (fake); from 0.700 on it counts as "
        "likely fake, below 0.400 as likely real (operating point 'balanced')."
    )
    assert message_for(result()) == whole
    assert message_for(result(reasons=(Reason.TRUNCATED, Reason.FACE_TOO_SMALL))) == (
        f"{whole} But the file ends early or is damaged, the rest was not searched; faces smaller than the "
        "limit were not scored."
    )


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("Grüße 日本 \u202f👍.mp4", "Grüße 日本 \u202f👍.mp4"),
        ("a\nb: LIKELY REAL, p_fake 0.010", "a\\nb: LIKELY REAL, p_fake 0.010"),
        ("\x1b[8mhidden\x9b0m", "\\x1b[8mhidden\\x9b0m"),
        ("gpj\u202e.exe", "gpj\\u202e.exe"),
        ("line\u2028break\u2029", "line\\u2028break\\u2029"),
    ],
)
def test_a_name_cannot_write_on_the_screen(name: str, shown: str) -> None:
    assert one_line(name) == shown
    assert terminal_safe(name) == shown.replace("\\n", "\n")
    first, *_ = to_text(result(file=name), colour=False).split("\n")
    assert first == f"{shown}: LIKELY REAL, p_fake 0.100"
