"""What the HTTP service answers. Every field is described: clients are generated from this."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from deepfakestream.access.keys import Scope
from deepfakestream.errors import Reason
from deepfakestream.frozen import Frozen
from deepfakestream.jobs.types import HeatMaps, MediaKind, Status
from deepfakestream.model.scorer import ModelInfo
from deepfakestream.model.spec import OperatingPoint
from deepfakestream.scanning.result import Coverage, Note, ScanResult, Verdict

EvidenceLevel = Literal["none", "weak", "moderate", "strong", "very_strong"]
Priority = Literal["live", "batch"]


class Links(Frozen):
    """Where the parts of an analysis are: paths on this service."""

    analysis: str = Field(description="state of the analysis")
    result: str = Field(description="verdict in short, at most 2 KB")
    tracks: str = Field(description="every person over time")
    frames: str = Field(description="score of every face in every searched frame")
    events: str = Field(description="progress as server-sent events")
    heatmap: str = Field(
        description="most suspicious face with the evidence drawn on it; drawn when asked for"
    )
    heatmaps: str = Field(description="faces with heat maps; POST has those of another face drawn")
    report_html: str = Field(description="report as a page without references to elsewhere")
    report_json: str = Field(description="everything that is known of the analysis")
    report_pdf: str = Field(description="report to print")


class Prediction(ScanResult):
    """The verdict on an image. `file` is always `upload`: the client's name is not used."""

    id: str = Field(description="id of the analysis: GET /v1/analyses/{id} gives it again")
    prediction_id: str = Field(description="id of this answer in the prediction log; the same as `id`")
    request_id: str = Field(description="the X-Request-Id of this request")
    timings_ms: dict[str, float] = Field(
        description="milliseconds by stage: queue, extract, hash, score, total"
    )


class CoverageSummary(Frozen):
    """What part of the file the verdict rests on, in short; `/tracks` has all ranges."""

    frames_searched: int = Field(description="frames that were searched for faces")
    frames_scored: int = Field(description="of these, frames with at least one scored face")
    seconds_between_frames: float | None = Field(
        description="mean distance of searched frames; what lies between was not looked at; null for an image"
    )
    scored_s: float = Field(description="seconds that frames with a scored face stand for")
    not_scored_s: float = Field(description="seconds without a score")
    not_scored: list[NotScoredRange] = Field(
        description="the longest ranges without a score, in order of time"
    )
    num_not_scored: int = Field(description="how many such ranges there are in all")


class NotScoredRange(Frozen):
    """A range of a video without a score."""

    start_s: float = Field(description="begin in seconds from the start of the video")
    end_s: float = Field(description="end in seconds")
    reason: Reason = Field(description="why there is no score")


class WorstTrack(Frozen):
    """The person whose score decided."""

    track_id: int = Field(description="number of the person in /tracks")
    p_fake: float = Field(description="score of the person, 0 to 1")
    start_s: float = Field(description="first scored time")
    end_s: float = Field(description="last scored time")


class MediaSummary(Frozen):
    """What was scanned; `/tracks` has the notes on how it was read."""

    sha256: str = Field(description="SHA-256 of the file")
    kind: MediaKind = Field(description="image or video, by the content")
    codec: str = Field(description="how the pictures are coded")
    width_px: int = Field(description="width of the upright picture")
    height_px: int = Field(description="height of the upright picture")
    size_bytes: int = Field(description="size of the file")
    duration_s: float | None = Field(description="length of a video in seconds; null for an image")
    fps: float | None = Field(description="frame rate of a video; null for an image")


class AnalysisResult(Frozen):
    """The verdict in short."""

    id: str = Field(description="id of the analysis")
    kind: MediaKind = Field(description="image or video")
    verdict: Verdict = Field(
        description="likely_fake: p_fake is at or above threshold.threshold; inconclusive: between "
        "threshold.inconclusive_from and it; likely_real: below; not_applicable: no score, reasons say why"
    )
    message: str = Field(description="the verdict in a sentence that says what the score means")
    p_fake: float | None = Field(
        description="calibrated score from 0 (real) to 1 (fake); null with not_applicable and only then"
    )
    evidence_level: EvidenceLevel = Field(
        description="the score against the threshold in force: none (no score), weak (below "
        "inconclusive_from), moderate (inconclusive), strong (at or above the threshold), very_strong (in "
        "the upper half of what lies above it)"
    )
    interval: tuple[float, float] | None = Field(
        description="where p_fake lies in 95 % of resamplings of the scored frames"
    )
    reasons: tuple[Reason, ...] = Field(description="what limits the verdict, or why there is none")
    operating_point: str = Field(description="name of the threshold in force")
    threshold: OperatingPoint = Field(description="the threshold in force, with its measured rates")
    model: ModelInfo = Field(description="which model spoke")
    media: MediaSummary = Field(description="what was scanned")
    num_tracks: int = Field(description="scored persons")
    worst_track: WorstTrack | None = Field(description="the person whose score decided; null without a score")
    coverage: CoverageSummary | None = Field(description="what part of the file the verdict rests on")
    timings_ms: dict[str, float] = Field(description="milliseconds by stage")


class Progress(Frozen):
    """How far an analysis is."""

    stage: str | None = Field(description="what is being done: load, extract, score; null while it waits")
    frames_done: int = Field(description="frames that were searched for faces")
    frames_total: int | None = Field(
        description="frames that will be searched at most; null before it begins"
    )
    queue_position: int | None = Field(description="place in the queue, from 1; null once it runs")
    eta_s: float | None = Field(
        description="estimated seconds to the verdict, by the queue and past videos; null without workers"
    )
    workers: int | None = Field(
        description="workers that take videos now; 0: none runs, and the video waits until one does"
    )


class AnalysisFailure(Frozen):
    """Why an analysis failed; the members of a problem document."""

    type: str = Field(description="stable type of the problem, urn:deepfakestream:problem:...")
    title: str = Field(description="the problem in a few words")
    status: int = Field(description="the HTTP status that stands for it")
    detail: str = Field(description="what is wrong and what to do")
    reason: Reason | None = Field(description="code of what is wrong with the file")


class Analysis(Frozen):
    """An analysis as it is now."""

    id: str = Field(description="id of the analysis")
    kind: MediaKind = Field(description="image or video")
    status: Status = Field(
        description="queued and running may change; succeeded, failed, canceled are final; expired: the "
        "result is no longer kept"
    )
    priority: Priority = Field(description="live goes before batch")
    created_at: datetime = Field(description="when the file was taken")
    started_at: datetime | None = Field(description="when a worker began last")
    finished_at: datetime | None = Field(description="when it ended")
    media_kept_until: datetime | None = Field(description="when the file is removed; null while it is needed")
    result_kept_until: datetime | None = Field(description="when everything else is removed")
    media_sha256: str = Field(description="digest of the file")
    request_id: str = Field(description="X-Request-Id of the request that sent the file")
    verdict: Verdict | None = Field(description="the verdict, once there is one")
    p_fake: float | None = Field(description="the score, once there is one")
    heatmaps: HeatMaps = Field(
        description="whether heat maps are drawn: none (not asked for), queued, ready, failed"
    )
    num_heatmaps: int = Field(description="heat maps that are ready")
    pictures: bool = Field(description="whether pictures of the searched frames and faces can be had")
    progress: Progress | None = Field(description="how far it is; null once it has ended")
    result: AnalysisResult | None = Field(
        description="the verdict in short; null before it is there, and in lists"
    )
    error: AnalysisFailure | None = Field(description="why it failed; null unless status is failed")
    links: Links = Field(description="where its parts are")


class AnalysisPage(Frozen):
    """A part of the list of analyses, the newest first."""

    items: list[Analysis] = Field(description="analyses without their results")
    next_cursor: str | None = Field(description="give it as `cursor` for the next part; null at the end")


class Track(Frozen):
    """One person over time."""

    track_id: int = Field(description="number of the person in this analysis")
    start_s: float = Field(description="first scored time in seconds; 0 for an image")
    end_s: float = Field(description="last scored time in seconds")
    p_fake: float = Field(description="score of the person, 0 to 1")
    verdict: Verdict = Field(description="what the score is at the threshold in force")
    num_frames: int = Field(description="frames in which the person was scored")
    median_face_px: float = Field(description="median of the shorter side of the face, in pixels")


class TrackList(Frozen):
    """Every person of a file, the most suspicious first, and what was not scored."""

    id: str = Field(description="id of the analysis")
    threshold: OperatingPoint = Field(description="the threshold in force")
    tracks: list[Track] = Field(description="the most suspicious person first")
    coverage: Coverage | None = Field(description="all ranges without a score")
    media_notes: list[Note] = Field(description="what of the file was searched, left out or converted")
    limits: list[str] = Field(description="sentences on what limits the verdict")
    rates: str = Field(description="a sentence on how often the threshold in force was right and wrong")


class FrameFace(Frozen):
    """One face in one searched frame."""

    track_id: int = Field(description="number of the person")
    frame: int = Field(description="number of the searched frame, from 0: its place in coverage.frames")
    time_s: float = Field(description="time of the frame in seconds; 0 for an image")
    p_fake: float = Field(description="score of this face alone, 0 to 1")
    box_xyxy: tuple[float, float, float, float] = Field(
        description="corners of the face (x_min, y_min, x_max, y_max) in pixels of the upright frame"
    )


class FramePage(Frozen):
    """A part of the faces of a file, in order of time."""

    items: list[FrameFace] = Field(description="faces in order of time, then of person")
    next_cursor: str | None = Field(description="give it as `cursor` for the next part; null at the end")


class HeatMapPending(Frozen):
    """The heat maps are being drawn."""

    heatmaps: HeatMaps = Field(description="queued")
    detail: str = Field(description="what to do")


class FaceIn(Frozen):
    """A face of an analysis, as /frames names it."""

    frame: int = Field(description="number of the searched frame", ge=0, le=10_000)
    track_id: int = Field(description="number of the person", ge=0, le=10_000)


class HeatMapOfStream(Frozen):
    """One map of the evidence in a face, with its tests."""

    method: str = Field(description="how it was made, e.g. Grad-CAM")
    stream: str = Field(description="stream of the network: rgb (colours), srm (noise) or stacked (both)")
    picture: str = Field(description="path of the map over the face, a PNG")
    faithful: bool = Field(description="whether its places move the score more than those of random maps")
    random_maps_beaten: int = Field(description="random maps that it did better than")
    random_maps: int = Field(description="random maps that it was compared to")
    energy_inside_face: float | None = Field(
        description="share of the evidence for a fake on the face itself; null where there is none"
    )
    jpeg_stability: float | None = Field(
        description="correlation with the map of the same face after JPEG; null where one is flat"
    )
    warnings: list[str] = Field(description="why not to rely on it; empty where it passed its tests")


class HeatMapFace(Frozen):
    """A face with heat maps."""

    number: int = Field(description="number in /heatmaps/{number}.png")
    frame: int = Field(description="number of the searched frame")
    track_id: int = Field(description="number of the person")
    time_s: float = Field(description="time of the frame in seconds")
    p_fake: float = Field(description="score of this face alone")
    model_version: str = Field(description="version of the model that it explains")
    picture: str = Field(description="path of the picture with all maps and the noise residual, a PNG")
    logit_by_stream: dict[str, float] = Field(
        description="what each stream, and the bias, adds to the logit; above 0 speaks for a fake"
    )
    maps: list[HeatMapOfStream] = Field(description="one a method and stream")


class HeatMapList(Frozen):
    """The heat maps of an analysis."""

    id: str = Field(description="id of the analysis")
    heatmaps: HeatMaps = Field(description="none (not asked for), queued, ready, failed")
    faces: list[HeatMapFace] = Field(description="faces with heat maps, in the order of their numbers")


class ModelDescription(Frozen):
    """A model of the service."""

    name: str = Field(description="name in the registry")
    version: str = Field(description="version in the registry; 0 is the model inside the package")
    weights_sha256: str = Field(description="digest of the weights")
    source: Literal["registry", "package"] = Field(
        description="registry: the champion; package: version 0, where no champion is registered"
    )
    operating_point: str = Field(description="the operating point that verdicts use")
    operating_points: dict[str, OperatingPoint] = Field(description="all thresholds of the model, by name")
    trained_on: str = Field(description="what the model was trained on")
    card: str | None = Field(description="the model card, Markdown; null where the model has none")


class ModelList(Frozen):
    """The models that answer."""

    items: list[ModelDescription] = Field(description="the model that answers now")


class UsageDay(Frozen):
    """What was used on a day. Answers without a score are not counted."""

    day: str = Field(description="day in UTC, e.g. 2026-11-30")
    kind: MediaKind = Field(description="image or video")
    items: int = Field(description="files with a score")
    media_s: float = Field(description="seconds of video with a score")


class Usage(Frozen):
    """What the caller used, and may use."""

    owner: str = Field(description="name of the API key; local where no keys are asked for")
    days: list[UsageDay] = Field(description="the last 31 days, the oldest first")
    images_per_day: int | None = Field(description="quota; null for no limit")
    video_minutes_per_day: int | None = Field(description="quota; null for no limit")
    requests_per_minute: int | None = Field(description="rate; null for no limit")
    scopes: list[Scope] | None = Field(description="what the key opens; null where no keys are asked for")
    max_image_bytes: int = Field(description="largest image that is taken")
    max_video_bytes: int = Field(description="largest video that is taken")
    max_video_s: float = Field(description="longest video that is scanned, in seconds")
    videos_waiting: int = Field(description="videos of the caller without a verdict yet")


class FeedbackIn(Frozen):
    """The true label of a prediction."""

    prediction_id: str = Field(description="id of the prediction or analysis", max_length=64)
    label: Literal["real", "fake"] = Field(description="what the file truly is")
    source: str = Field(
        "",
        description="who says so, e.g. an analyst; each labels a prediction once; default: the API key",
        max_length=64,
    )
    note: str = Field("", description="why, or how it is known", max_length=1000)


class FeedbackOut(Frozen):
    """A label as it is kept."""

    prediction_id: str = Field(description="id of the prediction")
    label: Literal["real", "fake"] = Field(description="what the file truly is")
    source: str = Field(description="who says so")
    note: str = Field(description="why, or how it is known")
    created_at: datetime = Field(description="when it was given")


class ProblemDocument(Frozen):
    """RFC 9457 problem details."""

    type: str = Field(description="stable name of the problem, urn:deepfakestream:problem:...")
    title: str = Field(description="the problem in a few words, for people")
    status: int = Field(description="the HTTP status")
    detail: str = Field(description="what is wrong and what to do, for people")
    instance: str = Field(description="the request, urn:deepfakestream:request:ID, as in the service's log")
    reason: str | None = Field(
        None, description="code of what is wrong with the file; only where one was read"
    )
    max_bytes: int | None = Field(None, description="the limit of a body; only with 413")
