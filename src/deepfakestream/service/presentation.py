"""Analyses of the job store as the API shows them: in short, by person, by frame."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel

from deepfakestream.jobs import types as jobs
from deepfakestream.jobs.queue import QueueState
from deepfakestream.model.spec import OperatingPoint
from deepfakestream.scanning.engine import verdict_of
from deepfakestream.scanning.result import Coverage, ScanResult
from deepfakestream.scanning.wording import limits_of, rates_of
from deepfakestream.service.problems import TYPE_PREFIX
from deepfakestream.service.schemas import (
    Analysis,
    AnalysisFailure,
    AnalysisResult,
    CoverageSummary,
    EvidenceLevel,
    FrameFace,
    HeatMapFace,
    HeatMapList,
    HeatMapOfStream,
    Links,
    MediaSummary,
    NotScoredRange,
    Priority,
    Progress,
    Track,
    TrackList,
    WorstTrack,
)

MAX_RANGES = 4
"""Ranges without a score in a summary."""
_PRIORITY_NAMES: dict[int, Priority] = {jobs.PRIORITIES["live"]: "live", jobs.PRIORITIES["batch"]: "batch"}


def analysis_path(analysis_id: str) -> str:
    """Return the path of an analysis on the service."""
    return f"/v1/analyses/{analysis_id}"


def links(analysis_id: str) -> Links:
    """Return the paths of an analysis's parts."""
    path = analysis_path(analysis_id)
    return Links(
        analysis=path,
        result=f"{path}/result",
        tracks=f"{path}/tracks",
        frames=f"{path}/frames",
        events=f"{path}/events",
        heatmap=f"{path}/heatmaps/1.png",
        heatmaps=f"{path}/heatmaps",
        report_html=f"{path}/report.html",
        report_json=f"{path}/report.json",
        report_pdf=f"{path}/report.pdf",
    )


def scan_result(analysis: jobs.Analysis) -> ScanResult:
    """Return the whole result of an analysis that has one."""
    return ScanResult.model_validate(analysis.result)


def show(
    analysis: jobs.Analysis,
    *,
    queue: QueueState | None = None,
    position: int | None = None,
    with_result: bool = True,
) -> Analysis:
    """Return an analysis as the API shows it.

    Args:
        analysis: the analysis.
        queue: the state of the queue, for the estimate; None leaves it out.
        position: its place in the queue, where it waits.
        with_result: whether the verdict in short is part of it.
    """
    has_result = with_result and analysis.result is not None
    return Analysis(
        id=analysis.id,
        kind=analysis.kind,
        status=analysis.status,
        priority=_PRIORITY_NAMES.get(analysis.priority, "batch"),
        created_at=moment(analysis.created_at),
        started_at=_moment(analysis.started_at),
        finished_at=_moment(analysis.finished_at),
        media_kept_until=_moment(analysis.media_until) if analysis.has_media else None,
        result_kept_until=_moment(analysis.result_until),
        media_sha256=analysis.media_sha256,
        request_id=analysis.request_id,
        verdict=analysis.verdict,
        p_fake=analysis.p_fake,
        heatmaps=analysis.heatmaps,
        num_heatmaps=len(analysis.explanation),
        pictures=analysis.has_pictures,
        progress=None if analysis.is_final else _progress(analysis, queue, position),
        result=summary(analysis) if has_result else None,
        error=_error(analysis.failure),
        links=links(analysis.id),
    )


def retry_after(shown: Analysis, *, at_most_s: int) -> str:
    """Return in how many seconds to ask again: by the estimate, or the longest time where no worker runs.

    Args:
        shown: an analysis that has not ended.
        at_most_s: longest time.
    """
    progress = shown.progress
    if progress is not None and progress.workers == 0:
        return str(at_most_s)
    eta_s = progress.eta_s if progress and progress.eta_s else 1.0
    return str(max(1, min(at_most_s, round(eta_s))))


def summary(analysis: jobs.Analysis) -> AnalysisResult:
    """Return the verdict of an analysis in short."""
    result = scan_result(analysis)
    assert result.media is not None
    worst = result.tracks[0] if result.tracks else None
    return AnalysisResult(
        id=analysis.id,
        kind=analysis.kind,
        verdict=result.verdict,
        message=result.message,
        p_fake=result.p_fake,
        evidence_level=evidence_level(result.p_fake, result.threshold),
        interval=result.interval,
        reasons=result.reasons,
        operating_point=result.operating_point,
        threshold=result.threshold,
        model=result.model,
        media=MediaSummary(**{name: getattr(result.media, name) for name in MediaSummary.model_fields}),
        num_tracks=len(result.tracks),
        worst_track=worst
        and WorstTrack(
            track_id=worst.track_id, p_fake=worst.p_fake, start_s=worst.start_s, end_s=worst.end_s
        ),
        coverage=_coverage(result.coverage),
        timings_ms=analysis.timings_ms,
    )


def evidence_level(p_fake: float | None, point: OperatingPoint) -> EvidenceLevel:
    """Return how far a score lies above the threshold in force, as a word.

    Args:
        p_fake: calibrated score; None: there is none.
        point: thresholds in force.
    """
    if p_fake is None:
        return "none"
    if p_fake < point.inconclusive_from:
        return "weak"
    if p_fake < point.threshold:
        return "moderate"
    return "strong" if p_fake < (1.0 + point.threshold) / 2 else "very_strong"


def track_list(analysis: jobs.Analysis) -> TrackList:
    """Return every person of an analysis, the most suspicious first."""
    result = scan_result(analysis)
    return TrackList(
        id=analysis.id,
        threshold=result.threshold,
        tracks=[
            Track(
                track_id=track.track_id,
                start_s=track.start_s,
                end_s=track.end_s,
                p_fake=track.p_fake,
                verdict=verdict_of(track.p_fake, result.threshold),
                num_frames=track.num_frames,
                median_face_px=track.median_face_px,
            )
            for track in result.tracks
        ],
        coverage=result.coverage,
        media_notes=list(result.media.notes) if result.media else [],
        limits=limits_of(result),
        rates=rates_of(result.threshold),
    )


def frame_faces(analysis: jobs.Analysis) -> list[FrameFace]:
    """Return every scored face of an analysis, in order of time."""
    faces = [
        FrameFace(track_id=track.track_id, **dict(face))
        for track in scan_result(analysis).tracks
        for face in track.faces
    ]
    return sorted(faces, key=lambda face: (face.time_s, face.track_id))


def heatmap_list(analysis: jobs.Analysis) -> HeatMapList:
    """Return the faces that have heat maps, with the tests of each map."""
    path = links(analysis.id).heatmaps
    return HeatMapList(
        id=analysis.id,
        heatmaps=analysis.heatmaps,
        faces=[
            HeatMapFace(
                number=number,
                frame=face["frame_index"],
                picture=f"{path}/{number}.png",
                maps=[
                    HeatMapOfStream(picture=f"{path}/{number}/{place}.png", **_fields(HeatMapOfStream, each))
                    for place, each in enumerate(face["maps"], 1)
                ],
                **_fields(HeatMapFace, face),
            )
            for number, face in enumerate(analysis.explanation, 1)
        ],
    )


def moment(seconds: float) -> datetime:
    """Return a time of the store as a date."""
    return datetime.fromtimestamp(seconds, UTC)


def _fields(model: type[BaseModel], record: dict[str, Any]) -> dict[str, Any]:
    """Return the members of a record that are plain fields of a model."""
    made_here = ("picture", "maps")
    return {name: record[name] for name in model.model_fields if name in record and name not in made_here}


def _moment(seconds: float | None) -> datetime | None:
    return None if seconds is None else moment(seconds)


def _progress(analysis: jobs.Analysis, queue: QueueState | None, position: int | None) -> Progress:
    eta_s = None
    if queue is not None and queue.num_workers:
        eta_s = round(queue.seconds_each if position is None else queue.eta_s(position), 1)
    return Progress(
        stage=analysis.stage,
        frames_done=analysis.frames_done,
        frames_total=analysis.frames_total,
        queue_position=position,
        eta_s=eta_s,
        workers=queue and queue.num_workers,
    )


def _error(failure: jobs.Failure | None) -> AnalysisFailure | None:
    if failure is None:
        return None
    return AnalysisFailure(
        type=TYPE_PREFIX + failure.type,
        title=failure.title,
        status=failure.status,
        detail=failure.detail,
        reason=failure.reason,
    )


def _coverage(coverage: Coverage | None) -> CoverageSummary | None:
    if coverage is None:
        return None
    longest = sorted(coverage.not_scored, key=lambda each: each.start_s - each.end_s)[:MAX_RANGES]
    return CoverageSummary(
        frames_searched=coverage.frames_searched,
        frames_scored=coverage.frames_scored,
        seconds_between_frames=coverage.seconds_between_frames,
        scored_s=coverage.scored_s,
        not_scored_s=coverage.not_scored_s,
        not_scored=[
            NotScoredRange(start_s=each.start_s, end_s=each.end_s, reason=each.reason)
            for each in sorted(longest, key=lambda each: each.start_s)
        ],
        num_not_scored=len(coverage.not_scored),
    )
