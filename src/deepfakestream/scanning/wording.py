"""Sentences for people: what a verdict says and what it does not."""

from __future__ import annotations

from collections.abc import Sequence

from deepfakestream.errors import Reason
from deepfakestream.host.counted import counted
from deepfakestream.model.spec import OperatingPoint
from deepfakestream.scanning.result import ScanResult, Verdict

MIN_DIGITS, MAX_DIGITS = 2, 6
"""Digits of a score in a sentence: what is measured supports two; more only tell it from a threshold."""

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
    Reason.NO_COLOUR: "its faces are black and white, and the model was not measured on such pictures",
    Reason.NO_FACE: "no face was found",
    Reason.FACE_TOO_SMALL: "faces smaller than the limit were not scored",
    Reason.FACE_CUT_OFF: "faces that the picture's border cuts off were not scored",
    Reason.TOO_MANY_FACES: "more faces than the limit, the smallest were not scored",
    Reason.MEMORY_BUDGET: "reading the file takes more memory than allowed",
    Reason.DECODER_CRASHED: "reading the file ended the program that read it",
    Reason.PICTURE_OF_FACE: "a face that never moves, such as a poster or a drawing, was not scored",
}


def reason_words(reason: Reason) -> str:
    """Return a reason code as a phrase."""
    return REASON_WORDS.get(reason, str(reason).replace("_", " "))


def explain_reason(result: ScanResult, reason: Reason) -> str:
    """Return what a reason means for this file: the notes that go with it, else the code as a phrase.

    Args:
        result: of one file.
        reason: one of its reasons.
    """
    notes = result.media.notes if result.media else ()
    return "; ".join(note.text for note in notes if note.reason == reason) or reason_words(reason)


def message_for(result: ScanResult) -> str:
    """Return a sentence that says the verdict and what its score means, and others on what limits it."""
    limits = "; ".join(explain_reason(result, reason) for reason in result.reasons)
    if result.p_fake is None:
        frames = result.media.frames_searched if result.media else 0
        return f"There is no score: {limits} (searched {counted(frames, 'frame')})."
    sentences = [_judged(result, result.p_fake), _disagreement(result), f"But {limits}." if limits else ""]
    return " ".join(filter(None, sentences))


def limits_of(result: ScanResult) -> list[str]:
    """Return sentences on what limits a verdict: what was left out, not looked at, or is not certain."""
    limits = [f"{explain_reason(result, reason)}." for reason in result.reasons]
    limits.append(_disagreement(result))
    if result.verdict in ("likely_real", "inconclusive"):
        rare = [kind for kind, rate in result.threshold.by_kind.items() if rate.reached < rate.clips / 2]
        limits.append(f"Kinds of forgery that this model mostly misses: {', '.join(rare)}." if rare else "")
    coverage = result.coverage
    if coverage is not None and coverage.seconds_between_frames is not None:
        limits.append(
            f"{counted(coverage.frames_searched, 'frame')} searched, one each "
            f"{coverage.seconds_between_frames:.1f} s; what lies between them was not looked at."
        )
        limits += [
            f"{each.start_s:.1f} to {each.end_s:.1f} s has no score: {reason_words(each.reason)}."
            for each in coverage.not_scored
        ]
    return [f"{text[0].upper()}{text[1:]}" for text in limits if text]


def rates_of(point: OperatingPoint) -> str:
    """Return a sentence on how often a threshold was right and wrong where the model was measured."""
    if point.fpr is None or point.tpr is None:
        return f"How often this threshold is wrong was not measured ({point.measured_on})."
    sentence = (
        f"Where the model was measured, {_of_many(point.fpr)} genuine and {_of_many(point.tpr)} fake samples "
        f"reached this threshold ({point.measured_on})."
    )
    kinds = [f"{rate.reached} of {rate.clips} ({kind})" for kind, rate in point.by_kind.items()]
    if not kinds:
        return sentence
    return f"{sentence} Of clips by forgery methods that it was not trained on, so did {', '.join(kinds)}."


def _judged(result: ScanResult, p_fake: float) -> str:
    """Return the verdict, the score, and what the score means at the threshold in force, in one sentence."""
    point = result.threshold
    digits = _digits(p_fake, (point.threshold, point.inconclusive_from))
    verdict = VERDICT_WORDS[result.verdict].capitalize()
    head = f"{verdict}: the score is {_score(p_fake, digits)} on a scale from 0 (real) to 1 (fake)"
    fake = f"likely fake from {point.threshold:.{digits}f} on"
    real = f"likely real below {point.inconclusive_from:.{digits}f}"
    if result.verdict == "inconclusive":
        return f"{head}; this model calls a file {fake}, and {real}."
    return f"{head}, and this model calls a file {fake if result.verdict == 'likely_fake' else real}."


def _disagreement(result: ScanResult) -> str:
    """Return a sentence where the frames do not agree on the verdict, else nothing."""
    if result.interval is None or result.p_fake is None:
        return ""
    low, high = result.interval
    bounds = (result.threshold.threshold, result.threshold.inconclusive_from)
    crossed = [bound for bound in bounds if low < bound <= high]
    if not crossed:
        return ""
    digits = max(_digits(low, crossed), _digits(high, crossed))
    between = " and ".join(f"{bound:.{digits}f}" for bound in sorted(crossed))
    return (
        "The frames do not agree: with others of them the score could be "
        f"{_score(low, digits)} to {_score(high, digits)}, on both sides of {between}."
    )


def _digits(value: float, bounds: Sequence[float]) -> int:
    """Return how many digits show on which side of the bounds a value lies: two, or a few more."""

    def tell(digits: int, bound: float) -> bool:
        shown = round(bound, digits)
        return 0 < shown < 1 and (value >= bound or round(value, digits) < shown)

    enough = (n for n in range(MIN_DIGITS, MAX_DIGITS) if all(tell(n, bound) for bound in bounds))
    return next(enough, MAX_DIGITS)


def _score(value: float, digits: int) -> str:
    """Return a score; never 0 or 1, which would claim certainty."""
    smallest = 10.0**-digits
    if round(value, digits) >= 1:
        return f"above {1 - smallest:.{digits}f}"
    if round(value, digits) <= 0:
        return f"below {smallest:.{digits}f}"
    return f"{value:.{digits}f}"


def _of_many(share: float) -> str:
    many = 1000 if share < 0.01 else 100
    count = round(share * many)
    return f"about {count} of {many:,}" if count else f"fewer than 1 of {many:,}"


def describe_point(name: str, point: OperatingPoint) -> str:
    """Return an operating point with its measured rates, or that they were not measured.

    Args:
        name: `balanced`, `low_fpr` or `high_recall`.
        point: threshold and measured rates.
    """
    head = f"threshold {point.threshold:.3f} ({name}"
    if point.fpr is None or point.tpr is None:
        return f"{head}; rates {point.measured_on})"
    return f"{head}: {point.fpr:.1%} of reals and {point.tpr:.1%} of fakes reach it; {point.measured_on})"
