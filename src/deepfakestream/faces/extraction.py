"""From a media file to face crops: decode, detect, choose, crop, track."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TypeVar

import numpy as np

from deepfakestream.errors import Reason
from deepfakestream.faces.boxes import longer_side, shorter_side
from deepfakestream.faces.crop import crop_face, resize_square
from deepfakestream.faces.pose import HeadPose, head_pose
from deepfakestream.faces.quality import luma, sharpness
from deepfakestream.faces.subjects import pictures_of_faces
from deepfakestream.faces.tracking import assign_tracks
from deepfakestream.faces.types import Detection, ExtractedFaces, ExtractionSpec, FaceCrop, FaceDetector
from deepfakestream.faces.upright import seen_upright
from deepfakestream.media.sampling import sample_frames, stream_frames
from deepfakestream.media.types import Frame, MediaBudget, RGBImage
from deepfakestream.params import ExtractParams

FRAMES_AT_ONCE = 4
"""Full frames held in memory together; small enough for 8K, large enough for a batch."""

Item = TypeVar("Item")


def spec_from_params(params: ExtractParams) -> ExtractionSpec:
    """Return the part of the parameters that decides which pixels become a crop."""
    return ExtractionSpec(
        detector=params.detector,
        num_frames=params.num_frames,
        min_face_px=params.min_face_px,
        min_score=params.min_score,
        max_faces_per_frame=params.max_faces_per_frame,
        crop_scale=params.crop_scale,
        crop_shift_y=params.crop_shift_y,
        crop_size_px=params.crop_size_px,
    )


def extract_faces(
    path: Path, detector: FaceDetector, spec: ExtractionSpec, budget: MediaBudget
) -> ExtractedFaces:
    """Return the face crops of a media file in order of time, the largest face of a frame first.

    Track ids count the people from 0 in order of first appearance. `notes` says why there is no crop
    (`NO_FACE`, `FACE_TOO_SMALL`), which faces were left out (`FACE_TOO_SMALL`, `TOO_MANY_FACES`,
    `PICTURE_OF_FACE`) and what cut the reading short (`TRUNCATED`, `TIME_BUDGET`).

    Raises:
        MediaError: the file cannot be read at all or is over the budget.
    """
    stream = stream_frames(path, num_frames=spec.num_frames, budget=budget)
    kept: list[list[Detection]] = []
    crops: list[list[FaceCrop]] = []
    times: list[float] = []
    notes: set[Reason] = set()
    found_any = False
    for frames in _chunks(stream.frames, FRAMES_AT_ONCE):
        for frame, faces in zip(frames, detector.detect([frame.rgb for frame in frames]), strict=True):
            confident = [face for face in faces if face.score >= spec.min_score]
            found_any = found_any or bool(confident)
            seen = seen_upright(frame.rgb, _choose(confident, spec, notes), detector)
            seen.sort(key=lambda each: -longer_side(each[0].box_xyxy))
            times.append(frame.time_s)
            kept.append([face for face, _ in seen])
            crops.append([_cut(frame, face, spec, turns) for face, turns in seen])
    if not found_any:
        notes.add(Reason.NO_FACE)
    return ExtractedFaces(
        info=stream.info,
        num_frames=len(kept),
        crops=_people(_with_tracks(crops, assign_tracks(kept)), notes),
        notes=tuple(sorted({*notes, *stream.notes})),
        frame_times_s=tuple(times),
    )


def whole_image_as_face(path: Path, spec: ExtractionSpec, budget: MediaBudget) -> ExtractedFaces:
    """Return the whole picture as the one face crop: for files that are face crops already.

    No detector runs: the box is the picture, the landmarks are unknown (NaN) and the score is 1. A picture
    that is not square is squeezed; of a clip, the middle frame is taken.

    Raises:
        MediaError: the file cannot be read at all or is over the budget.
    """
    sample = sample_frames(path, num_frames=1, budget=budget)
    frame = sample.frames[0]
    height_px, width_px = frame.rgb.shape[:2]
    face = Detection(
        box_xyxy=(0.0, 0.0, float(width_px), float(height_px)),
        landmarks_xy=np.full((5, 2), np.nan, dtype=np.float32),
        score=1.0,
    )
    crop = _describe(frame, face, resize_square(frame.rgb, spec.crop_size_px), pose=None)
    return ExtractedFaces(info=sample.info, num_frames=1, crops=(crop,), notes=sample.notes)


def _choose(faces: Sequence[Detection], spec: ExtractionSpec, notes: set[Reason]) -> list[Detection]:
    large = [face for face in faces if shorter_side(face.box_xyxy) >= spec.min_face_px]
    if len(large) < len(faces):
        notes.add(Reason.FACE_TOO_SMALL)
    if len(large) > spec.max_faces_per_frame:
        notes.add(Reason.TOO_MANY_FACES)
    return large[: spec.max_faces_per_frame]


def _cut(frame: Frame, face: Detection, spec: ExtractionSpec, quarter_turns: int) -> FaceCrop:
    rgb = crop_face(
        frame.rgb,
        face.box_xyxy,
        scale=spec.crop_scale,
        size_px=spec.crop_size_px,
        shift_y=spec.crop_shift_y,
        quarter_turns=quarter_turns,
    )
    return _describe(frame, face, rgb, head_pose(face.landmarks_xy))


def _describe(frame: Frame, face: Detection, rgb: RGBImage, pose: HeadPose | None) -> FaceCrop:
    """Return the crop with all that is known of it but its track, which is 0 until tracks are assigned."""
    return FaceCrop(
        rgb=rgb,
        frame_index=frame.index,
        time_s=frame.time_s,
        track_id=0,
        box_xyxy=face.box_xyxy,
        landmarks_xy=face.landmarks_xy,
        score=face.score,
        face_px=shorter_side(face.box_xyxy),
        sharpness=sharpness(rgb),
        luma=luma(rgb),
        pose=pose,
    )


def _with_tracks(
    crops: Sequence[Sequence[FaceCrop]], track_ids: Sequence[Sequence[int]]
) -> tuple[FaceCrop, ...]:
    return tuple(
        replace(crop, track_id=track_id)
        for frame_crops, frame_ids in zip(crops, track_ids, strict=True)
        for crop, track_id in zip(frame_crops, frame_ids, strict=True)
    )


def _people(crops: tuple[FaceCrop, ...], notes: set[Reason]) -> tuple[FaceCrop, ...]:
    """Return the crops without those of pictures of faces; tracks are counted anew."""
    pictures = pictures_of_faces(crops)
    if not pictures:
        return crops
    notes.add(Reason.PICTURE_OF_FACE)
    people = [crop for crop in crops if crop.track_id not in pictures]
    numbers = {track_id: number for number, track_id in enumerate(sorted({c.track_id for c in people}))}
    return tuple(replace(crop, track_id=numbers[crop.track_id]) for crop in people)


def _chunks(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    iterator = iter(items)
    while chunk := list(islice(iterator, size)):
        yield chunk
