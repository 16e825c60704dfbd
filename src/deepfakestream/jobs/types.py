"""What the job store keeps and hands out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

MediaKind = Literal["image", "video"]
Status = Literal["queued", "running", "succeeded", "failed", "canceled", "expired"]
Task = Literal["scan", "explain"]
HeatMaps = Literal["none", "queued", "ready", "failed"]
"""Whether the heat maps of an analysis are drawn: not asked for, asked for, there, or not to be had."""
Pictures = Literal["none", "wanted", "kept"]
"""Whether there are pictures of the searched frames and faces; they go with the media."""
FaceKey = tuple[int, int]
"""A face of an analysis: number of the searched frame, number of the person."""

PRIORITIES: dict[str, int] = {"live": 0, "batch": 10}
"""Order of the queue: a person waits for `live`, nobody for `batch`. Lower is taken first."""
HEATMAP_PRIORITY = 5
"""Of heat maps, which a worker draws next to its scans, in the order in which they were asked for."""
FINAL: tuple[Status, ...] = ("succeeded", "failed", "canceled", "expired")
LOCAL_OWNER = "local"
"""Owner of everything where the service asks for no key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewAnalysis:
    """An upload that was taken."""

    id: str
    owner: str
    kind: MediaKind
    request_id: str
    media_sha256: str
    media_bytes: int
    priority: int = PRIORITIES["live"]
    webhook_url: str | None = None
    heatmaps: bool = False
    """Whether heat maps are drawn without being asked for again."""
    pictures: bool = False
    """Whether pictures of the searched frames and faces are kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why an analysis has no result, as the client sees it: members of a problem document."""

    type: str
    status: int
    title: str
    detail: str
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The outcome of a scan."""

    result: dict[str, Any]
    """The whole scan result as JSON."""
    timings_ms: dict[str, float]
    kind: MediaKind
    verdict: str
    p_fake: float | None
    model_version: str
    media_s: float
    """Seconds of video that were analysed; 0 for an image."""
    pictures: bool = False
    """Whether pictures of the searched frames and faces lie in the media store."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Heat maps that were drawn: their records, in the order of their files."""

    faces: tuple[dict[str, Any], ...]
    pictures: bool = False
    """As for a verdict."""


Outcome = Verdict | Explanation | Failure


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """How long things are kept after an analysis has ended."""

    media_h: float
    result_h: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Analysis:
    """An analysis as it is now."""

    id: str
    owner: str
    kind: MediaKind
    status: Status
    priority: int
    request_id: str
    created_at: float
    started_at: float | None
    finished_at: float | None
    media_until: float | None
    result_until: float | None
    media_sha256: str
    media_bytes: int
    has_media: bool
    stage: str | None
    frames_done: int
    frames_total: int | None
    verdict: str | None
    p_fake: float | None
    model_version: str | None
    result: dict[str, Any] | None
    timings_ms: dict[str, float]
    failure: Failure | None
    heatmaps: HeatMaps
    explanation: tuple[dict[str, Any], ...]
    pictures: Pictures

    @property
    def has_pictures(self) -> bool:
        """Whether pictures of the searched frames and faces can be had."""
        return self.pictures == "kept" and self.has_media

    @property
    def is_final(self) -> bool:
        """Whether its status will not change any more, but for its expiry."""
        return self.status in FINAL


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """Work that a worker holds a lease on."""

    id: str
    analysis_id: str
    task: Task
    kind: MediaKind
    attempts: int
    """Times that it was taken, this time included."""
    lease: str
    """Proof that the holder is the last who took it."""
    pictures: bool = False
    """Whether pictures of the searched frames and faces are to be kept."""
    face: FaceKey | None = None
    """The one face to explain; None for the most suspicious."""
    num_explained: int = 0
    """Faces that were explained before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened to an analysis; numbered from 1."""

    seq: int
    kind: Literal["status", "progress", "heatmaps"]
    data: dict[str, Any]
    created_at: float
