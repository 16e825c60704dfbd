"""Where things lie on a chart of the score over time; the formats draw it each in their own way."""

from __future__ import annotations

from dataclasses import dataclass

from deepfakestream.scanning.result import ScanResult


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """A chart in units of 1: x from the start to the end of the video, y from score 0 (bottom) to 1 (top)."""

    duration_s: float
    threshold: float
    inconclusive_from: float
    points: tuple[tuple[float, float], ...]
    """x and y of every scored face."""
    gaps: tuple[tuple[float, float], ...]
    """x from and to of every range without a score."""


def timeline(result: ScanResult) -> Timeline | None:
    """Return the chart of a video's scores, or None for an image or a file without a score."""
    media = result.media
    if media is None or not media.duration_s or not result.tracks:
        return None
    faces = [face for track in result.tracks for face in track.faces]
    duration_s = max(media.duration_s, *(face.time_s for face in faces))
    missing = result.coverage.not_scored if result.coverage else ()
    return Timeline(
        duration_s=duration_s,
        threshold=result.threshold.threshold,
        inconclusive_from=result.threshold.inconclusive_from,
        points=tuple((face.time_s / duration_s, face.p_fake) for face in faces),
        gaps=tuple((each.start_s / duration_s, min(1.0, each.end_s / duration_s)) for each in missing),
    )
