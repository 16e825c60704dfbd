"""Sentences for people: what a verdict says and what it does not."""

from __future__ import annotations

from deepfakestream.errors import Reason
from deepfakestream.model.spec import OperatingPoint
from deepfakestream.scan.result import ScanResult, Verdict

VERDICT_WORDS: dict[Verdict, str] = {
    "likely_fake": "likely fake",
    "inconclusive": "inconclusive",
    "likely_real": "likely real",
    "not_applicable": "not applicable",
}

REASON_WORDS: dict[Reason, str] = {
    Reason.NOT_FOUND: "the file does not exist",
    Reason.EMPTY_FILE: "the file is empty",
    Reason.UNREADABLE: "the file cannot be read as a picture or video",
    Reason.UNSUPPORTED_FORMAT: "the format is not supported",
    Reason.NO_VIDEO_STREAM: "the file has no pictures in it",
    Reason.TOO_MANY_PIXELS: "the picture is larger than the limit",
    Reason.TOO_LONG: "the video is longer than the limit",
    Reason.TIME_BUDGET: "decoding took longer than allowed, the rest was not searched",
    Reason.TRUNCATED: "the file ends early or is damaged, the rest was not searched",
    Reason.PART_NOT_SEARCHED: "a part of the file was not searched",
    Reason.HDR_CONVERTED: "it is HDR and was converted, and the model was not measured on such media",
    Reason.NO_FACE: "no face was found",
    Reason.FACE_TOO_SMALL: "faces smaller than the limit were not scored",
    Reason.FACE_CUT_OFF: "faces that the picture's border cuts off were not scored",
    Reason.TOO_MANY_FACES: "more faces than the limit, the smallest were not scored",
    Reason.DECODER_CRASHED: "reading the file ended the program that read it",
    Reason.PICTURE_OF_FACE: "a face that never moves, such as a poster or a drawing, was not scored",
}


def reason_words(reason: Reason) -> str:
    """Return a reason code as a phrase."""
    return REASON_WORDS.get(reason, str(reason).replace("_", " "))


def explain_reason(result: ScanResult, reason: Reason) -> str:
    """Return what a reason means for this file: the note that goes with it, else the code as a phrase."""
    notes = result.media.notes if result.media else ()
    return next((note.text for note in notes if note.reason == reason), reason_words(reason))


def message_for(result: ScanResult) -> str:
    """Return a sentence that says what the verdict rests on, and another on what was not looked at."""
    limits = "; ".join(explain_reason(result, reason) for reason in result.reasons)
    if result.p_fake is None:
        frames = result.media.frames_searched if result.media else 0
        return f"There is no score: {limits} (searched {frames} frame{'' if frames == 1 else 's'})."
    return f"{_judged(result, result.p_fake)} But {limits}." if limits else _judged(result, result.p_fake)


def _judged(result: ScanResult, p_fake: float) -> str:
    """Return the verdict, the score, and what the score means at the threshold in force, in one sentence."""
    point, name = result.threshold, result.operating_point
    score = f"the score is {p_fake:.3f} on a scale from 0 (real) to 1 (fake)"
    fake = f"from {point.threshold:.3f} on it counts as likely fake"
    real = f"below {point.inconclusive_from:.3f} as likely real"
    return (
        f"{VERDICT_WORDS[result.verdict].capitalize()}: {score}; {fake}, {real} (operating point '{name}')."
    )


def describe_point(name: str, point: OperatingPoint) -> str:
    """Return an operating point with its measured rates, or that they were not measured."""
    head = f"threshold {point.threshold:.3f} ({name}"
    if point.fpr is None or point.tpr is None:
        return f"{head}; rates {point.measured_on})"
    return f"{head}: {point.fpr:.1%} of reals and {point.tpr:.1%} of fakes reach it; {point.measured_on})"
