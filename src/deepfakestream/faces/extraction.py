"""From a media file to face crops: decode, detect, choose, crop, track."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import groupby
from pathlib import Path

import numpy as np

from deepfakestream.errors import Reason
from deepfakestream.faces.boxes import longer_side, shorter_side
from deepfakestream.faces.crop import crop_face, is_cut_off, resize_square
from deepfakestream.faces.pose import HeadPose, head_pose
from deepfakestream.faces.quality import luma, sharpness
from deepfakestream.faces.subjects import pictures_of_faces
from deepfakestream.faces.tracking import assign_tracks
from deepfakestream.faces.types import (
    Detection,
    ExtractedFaces,
    ExtractionSpec,
    FaceCrop,
    FaceDetector,
    SearchedFrame,
)
from deepfakestream.faces.upright import found_when_turned, seen_upright
from deepfakestream.host.counted import counted
from deepfakestream.media.isolated import OpenMedia
from deepfakestream.media.reader import Media, open_media
from deepfakestream.media.types import Frame, MediaBudget, MediaNote, NoteCode, RGBImage

FRAMES_AT_ONCE = 4
"""Full frames held in memory together: enough for a batch."""
PIXELS_AT_ONCE = 36_000_000
"""The same in pixels: four frames in 4K, one in 8K."""


def extract_faces(
    path: Path,
    detector: FaceDetector,
    spec: ExtractionSpec,
    budget: MediaBudget,
    *,
    wide_scale: float | None = None,
    on_frame: Callable[[Frame], None] | None = None,
    opens: OpenMedia = open_media,
) -> ExtractedFaces:
    """Return the face crops of a media file: see `faces_of`.

    Args:
        path: image or video.
        detector: finds the faces.
        spec: how frames are chosen and faces are cut.
        budget: how much of the file is read at most.
        wide_scale: side of a second, wider crop over the longer side of the box; None: none is cut.
        on_frame: called with each searched frame.
        opens: opens media, in this process or in others.

    Raises:
        MediaError: the file cannot be read at all or is over the budget.
    """
    with opens(path, budget) as media:
        return faces_of(media, detector, spec, wide_scale=wide_scale, on_frame=on_frame)


def faces_of(
    media: Media,
    detector: FaceDetector,
    spec: ExtractionSpec,
    *,
    on_searched: Callable[[int], None] | None = None,
    on_frame: Callable[[Frame], None] | None = None,
    wide_scale: float | None = None,
) -> ExtractedFaces:
    """Return the face crops of an opened file, stream by stream in order of time, a frame's largest first.

    Track ids count the people from 0 in order of first appearance. `notes` says why there is no crop
    (`NO_FACE`, `FACE_TOO_SMALL`, `FACE_CUT_OFF`), which faces were left out (those, `TOO_MANY_FACES`,
    `PICTURE_OF_FACE`) and what was not searched (`TRUNCATED`, `TIME_BUDGET`, `PART_NOT_SEARCHED`).

    Args:
        media: the opened file.
        detector: finds the faces.
        spec: how frames are chosen and faces are cut.
        on_searched: called with the number of frames that were searched so far.
        on_frame: called with each searched frame.
        wide_scale: side of a second, wider crop over the longer side of the box; None: none is cut.

    Raises:
        MediaError: not a single frame can be decoded, or one is over the budget.
    """
    frames_seen: list[tuple[tuple[int, int], list[Detection]]] = []
    crops: list[list[FaceCrop]] = []
    frames: list[SearchedFrame] = []
    left_out = _LeftOut()
    found_any = False
    usual_turns = 0
    for chunk in _chunks(media.frames(spec.num_frames)):
        for frame, faces in zip(chunk, detector.detect([frame.rgb for frame in chunk]), strict=True):
            confident = [face for face in faces if face.score >= spec.min_score]
            if not confident:
                unsure = [face for face in faces if shorter_side(face.box_xyxy) >= spec.min_face_px]
                confident = found_when_turned(
                    frame.rgb, unsure, detector, min_score=spec.min_score, also=usual_turns
                )
            found_any = found_any or bool(confident)
            chosen = left_out.choose(confident, spec)
            seen = left_out.whole(seen_upright(frame.rgb, chosen, detector), frame.rgb.shape[:2])
            usual_turns = next((turns for _, turns in seen), usual_turns)
            seen.sort(key=lambda each: -longer_side(each[0].box_xyxy))
            frames.append(SearchedFrame(time_s=frame.time_s, stream=frame.stream))
            if on_frame is not None:
                on_frame(frame)
            frames_seen.append(((frame.stream, frame.part), [face for face, _ in seen]))
            crops.append([_cut(frame, face, spec, turns, wide_scale) for face, turns in seen])
        if on_searched is not None:
            on_searched(len(crops))
    if not found_any:
        left_out.reasons.add(Reason.NO_FACE)
    people = _people(_with_tracks(crops, _tracks(frames_seen)), left_out)
    return ExtractedFaces(
        info=media.info,
        num_frames=len(crops),
        crops=people,
        notes=tuple(sorted({*left_out.reasons, *media.reasons})),
        media_notes=(*media.notes, *left_out.notes(num_frames=len(crops))),
        frames=tuple(frames),
    )


def whole_image_as_face(path: Path, spec: ExtractionSpec, budget: MediaBudget) -> ExtractedFaces:
    """Return the whole picture as the one face crop: for files that are face crops already.

    No detector runs: the box is the picture, the landmarks are unknown (NaN) and the score is 1. A picture
    that is not square is squeezed; of a clip, the middle frame is taken.

    Args:
        path: the file.
        spec: its `crop_size_px` is the side of the crop.
        budget: how much of the file is read at most.

    Raises:
        MediaError: the file cannot be read at all or is over the budget.
    """
    with open_media(path, budget) as media:
        frame = next(media.frames(1))
    height_px, width_px = frame.rgb.shape[:2]
    face = Detection(
        box_xyxy=(0.0, 0.0, float(width_px), float(height_px)),
        landmarks_xy=np.full((5, 2), np.nan, dtype=np.float32),
        score=1.0,
    )
    crop = _describe(frame, face, resize_square(frame.rgb, spec.crop_size_px), pose=None)
    return ExtractedFaces(
        info=media.info,
        num_frames=1,
        crops=(crop,),
        notes=media.reasons,
        frames=(SearchedFrame(time_s=frame.time_s, stream=frame.stream),),
        media_notes=media.notes,
    )


class _LeftOut:
    """Counts the faces that are found and not scored."""

    def __init__(self) -> None:
        self.reasons: set[Reason] = set()
        self._most: Counter[Reason] = Counter()
        self._most_found = 0

    def choose(self, faces: Sequence[Detection], spec: ExtractionSpec) -> list[Detection]:
        """Return the faces of a frame that are scored, the largest first."""
        large = [face for face in faces if shorter_side(face.box_xyxy) >= spec.min_face_px]
        chosen = large[: spec.max_faces_per_frame]
        self._most_found = max(self._most_found, len(faces))
        self._count(Reason.FACE_TOO_SMALL, len(faces) - len(large))
        self._count(Reason.TOO_MANY_FACES, len(large) - len(chosen))
        return chosen

    def whole(
        self, seen: list[tuple[Detection, int]], picture_hw: tuple[int, int]
    ) -> list[tuple[Detection, int]]:
        """Return the faces, with their turns, that the picture's border does not cut off."""
        whole = [each for each in seen if not is_cut_off(each[0], picture_hw)]
        self._count(Reason.FACE_CUT_OFF, len(seen) - len(whole))
        return whole

    def pictures(self, num_tracks: int) -> None:
        """Note that tracks show pictures of faces."""
        self._count(Reason.PICTURE_OF_FACE, num_tracks)

    def notes(self, *, num_frames: int) -> list[MediaNote]:
        """Return a sentence for each kind of face that was left out; of a video, the most in one frame."""
        found = counted(self._most_found, "face")
        notes = []
        for reason, count in sorted(self._most.items()):
            number = f"{count} of {found}" if num_frames == 1 else f"up to {count} of {found} in a frame"
            if reason == Reason.PICTURE_OF_FACE:
                number = counted(count, "face")
            text = f"not scored: {number}, {_LEFT_OUT_WORDS[reason]}"
            notes.append(MediaNote(code=NoteCode.FACES_SKIPPED, text=text, reason=reason))
        return notes

    def _count(self, reason: Reason, count: int) -> None:
        if count:
            self.reasons.add(reason)
            self._most[reason] = max(self._most[reason], count)


_LEFT_OUT_WORDS = {
    Reason.FACE_TOO_SMALL: "too small",
    Reason.FACE_CUT_OFF: "cut off by the picture's border",
    Reason.TOO_MANY_FACES: "the smallest, beyond the limit",
    Reason.PICTURE_OF_FACE: "which never move, as a poster or a drawing",
}


def _tracks(frames: Sequence[tuple[tuple[int, int], list[Detection]]]) -> list[list[int]]:
    """Return the track of every face of every frame; none goes on in another stream or joined recording."""
    result: list[list[int]] = []
    for _, members in groupby(frames, key=lambda each: each[0]):
        first = max((track_id for frame in result for track_id in frame), default=-1) + 1
        assigned = assign_tracks([faces for _, faces in members])
        result += [[first + track_id for track_id in frame] for frame in assigned]
    return result


def _cut(
    frame: Frame, face: Detection, spec: ExtractionSpec, quarter_turns: int, wide_scale: float | None
) -> FaceCrop:
    cut = partial(
        crop_face,
        frame.rgb,
        face.box_xyxy,
        size_px=spec.crop_size_px,
        shift_y=spec.crop_shift_y,
        quarter_turns=quarter_turns,
    )
    crop = _describe(frame, face, cut(scale=spec.crop_scale), head_pose(face.landmarks_xy))
    return crop if wide_scale is None else replace(crop, wide_rgb=cut(scale=wide_scale))


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
        stream=frame.stream,
    )


def _with_tracks(
    crops: Sequence[Sequence[FaceCrop]], track_ids: Sequence[Sequence[int]]
) -> tuple[FaceCrop, ...]:
    return tuple(
        replace(crop, track_id=track_id)
        for frame_crops, frame_ids in zip(crops, track_ids, strict=True)
        for crop, track_id in zip(frame_crops, frame_ids, strict=True)
    )


def _people(crops: tuple[FaceCrop, ...], left_out: _LeftOut) -> tuple[FaceCrop, ...]:
    """Return the crops without those of pictures of faces; tracks are counted again."""
    pictures = pictures_of_faces(crops)
    if not pictures:
        return crops
    left_out.pictures(len(pictures))
    people = [crop for crop in crops if crop.track_id not in pictures]
    numbers = {track_id: number for number, track_id in enumerate(sorted({c.track_id for c in people}))}
    return tuple(replace(crop, track_id=numbers[crop.track_id]) for crop in people)


def _chunks(frames: Iterable[Frame]) -> Iterator[list[Frame]]:
    chunk: list[Frame] = []
    for frame in frames:
        height_px, width_px = frame.rgb.shape[:2]
        chunk.append(frame)
        if len(chunk) == FRAMES_AT_ONCE or (len(chunk) + 1) * height_px * width_px > PIXELS_AT_ONCE:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
