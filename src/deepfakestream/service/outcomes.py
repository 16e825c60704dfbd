"""Scan results as the job store keeps them: a verdict, or a failure in the words of a problem document."""

from __future__ import annotations

from collections.abc import Mapping

from deepfakestream.jobs.types import Failure, Verdict
from deepfakestream.scanning.result import ScanResult
from deepfakestream.service import problems
from deepfakestream.service.problems import Problem


def verdict_of(result: ScanResult, timings_ms: Mapping[str, float], *, pictures: bool = False) -> Verdict:
    """Return the verdict of a file that was scanned.

    Args:
        result: a result with facts about the file.
        timings_ms: milliseconds by stage.
        pictures: whether pictures of it are stored.
    """
    assert result.media is not None
    return Verdict(
        result=ScanResult(**{name: getattr(result, name) for name in ScanResult.model_fields}).as_stored(),
        timings_ms=dict(timings_ms),
        kind=result.media.kind,
        verdict=result.verdict,
        p_fake=result.p_fake,
        model_version=result.model.version,
        media_s=result.media.duration_s or 0.0,
        pictures=pictures,
    )


def outcome_of(
    result: ScanResult, timings_ms: Mapping[str, float], *, pictures: bool = False
) -> Verdict | Failure:
    """Return what a scan came to: a failure where the file cannot be scanned.

    Args:
        result: of the scan.
        timings_ms: stage to its milliseconds.
        pictures: whether pictures were kept.
    """
    if result.media is None:
        return to_failure(problems.unusable_media(result.reasons[0], result.message))
    return verdict_of(result, timings_ms, pictures=pictures)


def to_failure(problem: Problem) -> Failure:
    """Return a problem as the job store keeps it."""
    return Failure(
        type=problem.type,
        status=problem.status,
        title=problem.title,
        detail=problem.detail,
        reason=problem.extensions.get("reason"),
    )


def to_problem(failure: Failure) -> Problem:
    """Return the problem of an analysis that failed."""
    extensions = {} if failure.reason is None else {"reason": failure.reason}
    return Problem(
        type=failure.type,
        status=failure.status,
        title=failure.title,
        detail=failure.detail,
        extensions=extensions,
    )
