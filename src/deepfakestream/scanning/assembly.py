"""Parts of a result, put together from extracted faces and their scores."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

import numpy as np
from numpy.typing import NDArray

from deepfakestream.errors import Reason
from deepfakestream.faces.types import ExtractedFaces, FaceCrop
from deepfakestream.scanning.features import media_features
from deepfakestream.scanning.result import FaceScore, MediaFacts, Note, TrackResult

MAX_GREY_SPREAD = 4.0
"""Faces whose colour channels lie closer together, in grey levels, are black and white."""
_WHY_NO_FACE = {Reason.NO_FACE, Reason.FACE_TOO_SMALL, Reason.FACE_CUT_OFF}


def media_facts(faces: ExtractedFaces, *, sha256: str) -> MediaFacts:
    """Return what a result says about the file itself.

    Args:
        faces: what extraction found in the file.
        sha256: of the file.
    """
    info = faces.info
    return MediaFacts(
        sha256=sha256,
        kind=info.kind,
        codec=info.codec,
        width_px=info.width_px,
        height_px=info.height_px,
        size_bytes=info.size_bytes,
        duration_s=info.duration_s,
        fps=info.fps,
        frames_searched=faces.num_frames,
        notes=tuple(Note(code=note.code, text=note.text, reason=note.reason) for note in faces.media_notes),
    )


def crop_features(faces: ExtractedFaces) -> dict[str, float]:
    """Return the file's numbers for the drift check."""
    crops, info = faces.crops, faces.info
    return media_features(
        face_px=[crop.face_px for crop in crops],
        sharpness=[crop.sharpness for crop in crops],
        luma=[crop.luma for crop in crops],
        score=[crop.score for crop in crops],
        track_ids=[crop.track_id for crop in crops],
        width_px=info.width_px,
        height_px=info.height_px,
        duration_s=info.duration_s,
        fps=info.fps,
        size_bytes=info.size_bytes,
    )


def reasons_of_scored(faces: ExtractedFaces) -> tuple[Reason, ...]:
    """Return what limits a score: the notes without repeats, and that most faces are black and white."""
    spreads = [float(np.ptp(crop.rgb, axis=2).mean()) for crop in faces.crops]
    is_grey = median(spreads) < MAX_GREY_SPREAD
    return tuple(dict.fromkeys((*faces.notes, *((Reason.NO_COLOUR,) if is_grey else ()))))


def reasons_without_face(notes: Sequence[Reason]) -> tuple[Reason, ...]:
    """Return the notes without repeats; they say why there is no face even where extraction did not."""
    missing = () if _WHY_NO_FACE & set(notes) else (Reason.NO_FACE,)
    return tuple(dict.fromkeys((*missing, *notes)))


def track_results(
    crops: Sequence[FaceCrop], track_p_fake: dict[int, float], face_p_fake: NDArray[np.float64]
) -> tuple[TrackResult, ...]:
    """Return one entry a track, the most suspicious first.

    Args:
        crops: all `N` crops of the file.
        track_p_fake: calibrated score by track id.
        face_p_fake: calibrated score of each crop, `(N,)`.
    """
    scored = list(zip(crops, face_p_fake.tolist(), strict=True))
    by_track = {
        track_id: [pair for pair in scored if pair[0].track_id == track_id]
        for track_id in sorted({crop.track_id for crop in crops})
    }
    results = (
        TrackResult(
            track_id=track_id,
            stream=members[0][0].stream,
            start_s=min(crop.time_s for crop, _ in members),
            end_s=max(crop.time_s for crop, _ in members),
            p_fake=track_p_fake[track_id],
            num_frames=len(members),
            median_face_px=median(crop.face_px for crop, _ in members),
            faces=tuple(
                FaceScore(time_s=crop.time_s, box_xyxy=crop.box_xyxy, p_fake=p, frame=crop.frame_index)
                for crop, p in members
            ),
        )
        for track_id, members in by_track.items()
    )
    return tuple(sorted(results, key=lambda track: (-track.p_fake, track.track_id)))
