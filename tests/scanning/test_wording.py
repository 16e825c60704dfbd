from __future__ import annotations

import pytest

from deepfakestream.errors import Reason
from deepfakestream.host.terminal import one_line, terminal_safe
from deepfakestream.media.types import NoteCode
from deepfakestream.model.scorer import ModelInfo
from deepfakestream.model.spec import KindRate, OperatingPoint
from deepfakestream.scanning.command import to_text
from deepfakestream.scanning.engine import verdict_of
from deepfakestream.scanning.result import Coverage, MediaFacts, Note, NotScored, ScanResult
from deepfakestream.scanning.wording import limits_of, message_for, rates_of

POINT = OperatingPoint(threshold=0.7, inconclusive_from=0.4, fpr=0.05, tpr=0.8, measured_on="val, 40 files")


def result(*, file: str = "a.mp4", p_fake: float = 0.1, **changes: object) -> ScanResult:
    values = {
        "file": file,
        "verdict": verdict_of(p_fake, POINT),
        "p_fake": p_fake,
        "interval": None,
        "reasons": (),
        "tracks": (),
        "model": ModelInfo(name="m", version="3", weights_sha256="0"),
        "operating_point": "balanced",
        "threshold": POINT,
        "media": MediaFacts(
            sha256="cd", kind="video", codec="h264", width_px=8, height_px=8, size_bytes=9,
            duration_s=1.0, fps=25.0, frames_searched=1,
        ),
        "features": {},
    }  # fmt: skip
    return ScanResult.model_validate(values | changes)


def test_all_notes_on_a_reason_are_shown() -> None:
    texts = ["a second file follows the first", "picture stream 2 was not searched"]
    notes = tuple(
        Note(code=code, text=text, reason=Reason.PART_NOT_SEARCHED)
        for code, text in zip((NoteCode.PART_SKIPPED, NoteCode.STREAM_SKIPPED), texts, strict=True)
    )
    media = result().media
    assert media is not None
    found = result(reasons=(Reason.PART_NOT_SEARCHED,), media=media.model_copy(update={"notes": notes}))
    for text in (message_for(found), to_text(found, colour=False), limits_of(found)[0].lower()):
        assert all(each in text for each in texts)


@pytest.mark.parametrize(
    ("p_fake", "score", "meaning"),
    [
        (0.1, "Likely real: the score is 0.10", "and this model calls a file likely real below 0.40."),
        (0.1234, "Likely real: the score is 0.12", "and this model calls a file likely real below 0.40."),
        (0.0001, "Likely real: the score is below 0.01", "likely real below 0.40."),
        (0.398, "Likely real: the score is 0.398", "likely real below 0.400."),
        (0.4, "Inconclusive: the score is 0.40", "likely fake from 0.70 on, and likely real below 0.40."),
        (0.69999, "Inconclusive: the score is 0.69999", "likely fake from 0.70000 on, and likely"),
        (0.7, "Likely fake: the score is 0.70", "and this model calls a file likely fake from 0.70 on."),
        (0.9999, "Likely fake: the score is above 0.99", "likely fake from 0.70 on."),
    ],
)
def test_the_score_is_said_with_what_it_means_and_no_more_digits_than_that_needs(
    p_fake: float, score: str, meaning: str
) -> None:
    message = message_for(result(p_fake=p_fake))
    assert message.startswith(f"{score} on a scale from 0 (real) to 1 (fake)")
    assert meaning in message
    assert ". " not in message  # one sentence


def test_a_limit_of_the_verdict_is_in_its_sentences() -> None:
    message = message_for(result(reasons=(Reason.TRUNCATED, Reason.FACE_TOO_SMALL)))
    assert message.removeprefix(message_for(result())) == (
        " But the file ends early or is damaged, the rest was not searched; faces smaller than the limit "
        "were not scored."
    )


@pytest.mark.parametrize(
    ("interval", "bounds"),
    [((0.65, 0.84), "0.70"), ((0.3, 0.9), "0.40 and 0.70"), ((0.71, 0.9), ""), ((0.1, 0.39), "")],
)
def test_frames_that_do_not_agree_are_said(interval: tuple[float, float], bounds: str) -> None:
    found = result(p_fake=0.75, interval=interval)
    sentence = f"on both sides of {bounds}." if bounds else ""
    assert message_for(found).endswith(sentence or "from 0.70 on.")
    assert [text.endswith(sentence) for text in limits_of(found)] == ([True] if bounds else [])


def test_limits_say_what_was_left_out_and_not_looked_at() -> None:
    note = Note(code="faces_skipped", text="not scored: 1 of 3 faces, too small", reason="face_too_small")
    media = result().media.model_copy(update={"notes": (note,)})  # type: ignore[union-attr]
    coverage = Coverage(
        frames_searched=4, frames_scored=3, seconds_between_frames=2.5, scored_s=7.5, not_scored_s=2.5,
        not_scored=(NotScored(start_s=7.5, end_s=10.0, reason=Reason.NO_FACE),),
    )  # fmt: skip
    assert limits_of(result(media=media, reasons=(Reason.FACE_TOO_SMALL,), coverage=coverage)) == [
        "Not scored: 1 of 3 faces, too small.",
        "4 frames searched, one each 2.5 s; what lies between them was not looked at.",
        "7.5 to 10.0 s has no score: no face was found.",
    ]


@pytest.mark.parametrize(
    ("fpr", "tpr", "said"),
    [
        (0.038, 0.708, "about 4 of 100 genuine and about 71 of 100 fake samples"),
        (0.0066, 1.0, "about 7 of 1,000 genuine and about 100 of 100 fake samples"),
        (0.0, 0.5, "fewer than 1 of 1,000 genuine and"),
        (None, None, "was not measured (val, 40 files)"),
    ],
)
def test_rates_are_said_in_whole_numbers(fpr: float | None, tpr: float | None, said: str) -> None:
    assert said in rates_of(POINT.model_copy(update={"fpr": fpr, "tpr": tpr}))


class TestKindsOfForgery:
    """Rates by kind are said with the threshold, and what is mostly missed with verdicts that it limits."""

    POINT = POINT.model_copy(
        update={
            "by_kind": {
                "swap": KindRate(clips=17, reached=13),
                "lip-sync": KindRate(clips=6, reached=1),
                "re-enactment": KindRate(clips=4, reached=2),
            }
        }
    )

    def test_rates(self) -> None:
        assert rates_of(self.POINT).startswith(rates_of(POINT))
        assert rates_of(self.POINT).endswith("13 of 17 (swap), 1 of 6 (lip-sync), 2 of 4 (re-enactment).")

    @pytest.mark.parametrize(("p_fake", "is_said"), [(0.1, True), (0.5, True), (0.9, False)])
    def test_limits(self, p_fake: float, is_said: bool) -> None:
        found = limits_of(result(p_fake=p_fake, threshold=self.POINT))
        assert [text.rpartition(": ")[2] for text in found] == (["lip-sync."] if is_said else [])

    def test_nothing_missed_mostly(self) -> None:
        by_kind = {"swap": KindRate(clips=17, reached=13)}
        assert limits_of(result(threshold=POINT.model_copy(update={"by_kind": by_kind}))) == []


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
