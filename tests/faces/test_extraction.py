"""From files to crops: order, tracks, filters, notes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from deepfakestream.data.extraction.face_store import face_record
from deepfakestream.errors import MediaError, Reason
from deepfakestream.faces.boxes import shorter_side, turned
from deepfakestream.faces.crop import crop_face
from deepfakestream.faces.extraction import extract_faces, whole_image_as_face
from deepfakestream.faces.pose import FACE_MODEL_MM, head_pose
from deepfakestream.faces.quality import luma, sharpness
from deepfakestream.faces.types import Detection
from deepfakestream.params import load_params

REPOSITORY = Path(__file__).parents[2]


class ScriptedDetector:
    """Returns the same faces for every picture and remembers how many it was shown at once."""

    name, digest = "scripted", "0" * 64

    def __init__(self, *faces):
        self.faces = list(faces)
        self.calls = []

    def detect(self, images):
        self.calls.append(len(images))
        return [self.faces for _ in images]


def face(x, y, side, score=0.99):
    points = [(0.3, 0.4), (0.7, 0.4), (0.5, 0.6), (0.35, 0.8), (0.65, 0.8)]
    return Detection(
        box_xyxy=(x, y, x + side, y + side),
        landmarks_xy=np.array([(x + side * a, y + side * b) for a, b in points], dtype=np.float32),
        score=score,
    )


def test_image(detector, extraction_spec, budget, astronaut_jpg):
    faces = extract_faces(astronaut_jpg, detector, extraction_spec, budget)
    (crop,) = faces.crops
    assert (faces.num_frames, faces.notes) == (1, ())
    assert crop.rgb.shape == (224, 224, 3)
    assert (crop.frame_index, crop.time_s, crop.track_id) == (0, 0.0, 0)
    assert crop.face_px == pytest.approx(shorter_side(crop.box_xyxy))
    assert crop.sharpness == pytest.approx(sharpness(crop.rgb))
    assert crop.luma == pytest.approx(luma(crop.rgb))
    assert crop.pose is not None
    assert crop.pose == head_pose(crop.landmarks_xy)
    rgb = np.asarray(Image.open(astronaut_jpg))
    assert np.array_equal(crop.rgb, crop_face(rgb, crop.box_xyxy, scale=0.85, size_px=224, shift_y=0.04))


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
def test_a_picture_on_its_side_gives_the_very_same_crop(extraction_spec, budget, tmp_path, turns):
    """Quarter turns move pixels and change none: a clip filmed with a turned phone gets the same score."""
    upright = np.random.default_rng(5).integers(0, 256, (400, 600, 3), dtype=np.uint8)
    path = tmp_path / "turned.png"
    Image.fromarray(np.rot90(upright, -turns)).save(path)
    corners_xy = np.array([(200, 80), (320, 240)])
    points_xy = FACE_MODEL_MM[:, :2] + (260, 160)
    height_px, width_px = 400, 600
    for _ in range(turns):  # with the clock: x becomes y, and what was at the bottom is at the left
        corners_xy, points_xy = (
            np.stack([height_px - xy[:, 1], xy[:, 0]], axis=1) for xy in (corners_xy, points_xy)
        )
        height_px, width_px = width_px, height_px
    found = Detection(
        box_xyxy=(*map(float, corners_xy.min(axis=0)), *map(float, corners_xy.max(axis=0))),
        landmarks_xy=points_xy.astype(np.float32),
        score=0.99,
    )
    (crop,) = extract_faces(path, ScriptedDetector(found), extraction_spec, budget).crops
    expected = crop_face(upright, (200, 80, 320, 240), scale=0.85, size_px=224, shift_y=0.04)
    assert np.array_equal(crop.rgb, expected)
    assert crop.box_xyxy == found.box_xyxy


def test_clip_is_one_track_in_order_of_time(detector, extraction_spec, budget, face_clip):
    faces = extract_faces(face_clip, detector, extraction_spec, budget)
    assert faces.info.kind == "video"
    assert faces.num_frames == len(faces.crops) == 8
    assert [crop.frame_index for crop in faces.crops] == list(range(8))
    assert {crop.track_id for crop in faces.crops} == {0}
    assert sorted(crop.time_s for crop in faces.crops) == [crop.time_s for crop in faces.crops]


def test_twice_is_the_same(detector, extraction_spec, budget, face_clip):
    first, second = (extract_faces(face_clip, detector, extraction_spec, budget) for _ in range(2))
    assert all(np.array_equal(a.rgb, b.rgb) for a, b in zip(first.crops, second.crops, strict=True))


def test_several_people_are_several_tracks(detector, extraction_spec, budget, sample_media):
    faces = extract_faces(sample_media / "multi_face.jpg", detector, extraction_spec, budget)
    assert [crop.track_id for crop in faces.crops] == [0, 1, 2, 3, 4]


def test_clip_without_a_face(detector, extraction_spec, budget, sample_media):
    faces = extract_faces(sample_media / "no_face.mp4", detector, extraction_spec, budget)
    assert faces.crops == ()
    assert faces.notes == (Reason.NO_FACE,)
    assert faces.num_frames == 8


def test_a_face_in_a_part_of_the_clip(detector, extraction_spec, budget, sample_media):
    faces = extract_faces(sample_media / "noface_face.mov", detector, extraction_spec, budget)
    assert 0 < len(faces.crops) < faces.num_frames
    assert faces.crops[0].time_s > faces.info.duration_s / 3
    assert faces.notes == ()


@pytest.mark.parametrize(
    ("found", "changes", "kept", "notes"),
    [
        ([], {}, 0, (Reason.NO_FACE,)),
        ([face(0, 0, 90, score=0.5)], {}, 0, (Reason.NO_FACE,)),
        ([face(0, 0, 30)], {}, 0, (Reason.FACE_TOO_SMALL,)),
        ([face(0, 0, 90), face(200, 0, 30)], {}, 1, (Reason.FACE_TOO_SMALL,)),
        ([face(0, 0, 40)], {}, 1, ()),
        (
            [face(0, 0, 90), face(200, 0, 80), face(0, 200, 70)],
            {"max_faces_per_frame": 2},
            2,
            (Reason.TOO_MANY_FACES,),
        ),
    ],
    ids=["none", "not sure", "too small", "one too small", "just large enough", "too many"],
)
def test_filters_and_notes(extraction_spec, budget, astronaut_jpg, found, changes, kept, notes):
    faces = extract_faces(
        astronaut_jpg, ScriptedDetector(*found), replace(extraction_spec, **changes), budget
    )
    assert len(faces.crops) == kept
    assert faces.notes == notes


@pytest.mark.parametrize("side", ["left", "right", "top", "bottom"])
def test_a_face_that_the_border_cuts_off_is_not_scored(
    detector, extraction_spec, budget, astronaut, tmp_path, side
):
    """The astronaut's face lies at about (178, 58) to (273, 178)."""
    part = {
        "left": astronaut[:, 228:],
        "right": astronaut[:, :222],
        "top": astronaut[105:],
        "bottom": astronaut[:135],
    }[side]
    faces = extract_faces(_saved(tmp_path / "a.png", part), detector, extraction_spec, budget)
    assert faces.crops == ()
    assert set(faces.notes) <= {Reason.FACE_CUT_OFF, Reason.NO_FACE}
    assert len(faces.notes) == 1


def test_a_face_near_the_border_is_scored(detector, extraction_spec, budget, astronaut, tmp_path):
    near = astronaut[50:186, 170:280]
    faces = extract_faces(_saved(tmp_path / "a.png", near), detector, extraction_spec, budget)
    assert len(faces.crops) == 1
    assert faces.notes == ()


def test_faces_cut_off_in_some_frames_leave_the_others(
    detector, extraction_spec, budget, astronaut, tmp_path, encode_clip
):
    """A camera that turns away from the face."""
    views = [astronaut[:300, 8 * k : 8 * k + 240] for k in range(32)]
    path = encode_clip(tmp_path / "pan.mp4", views)
    faces = extract_faces(path, detector, extraction_spec, budget)
    assert 3 <= len(faces.crops) < 8
    assert faces.notes == (Reason.FACE_CUT_OFF,)
    assert faces.crops[-1].time_s < 1.0
    assert {crop.track_id for crop in faces.crops} == {0}


def test_how_many_faces_were_left_out_is_reported(extraction_spec, budget, astronaut_jpg):
    found = [face(0, 0, 90), face(200, 0, 80), face(0, 200, 70), face(300, 300, 20)]
    spec = replace(extraction_spec, max_faces_per_frame=2)
    faces = extract_faces(astronaut_jpg, ScriptedDetector(*found), spec, budget)
    texts = {note.reason: note.text for note in faces.media_notes}
    assert "1 of 4" in texts[Reason.TOO_MANY_FACES]
    assert "1 of 4" in texts[Reason.FACE_TOO_SMALL]


def write_streams(path, *streams):
    """Write several picture streams of RGB frames."""
    with av.open(str(path), "w") as container:
        made = []
        for frames in streams:
            stream = container.add_stream("libx264", rate=25)
            stream.height, stream.width = frames[0].shape[:2]
            stream.pix_fmt = "yuv420p"
            made.append((stream, frames))
        for stream, frames in made:
            for position, rgb in enumerate(frames):
                picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24")
                picture.pts = position
                container.mux(stream.encode(picture))
            container.mux(stream.encode())
    return path


def test_people_of_different_streams_are_different_tracks(
    detector, extraction_spec, budget, astronaut, tmp_path
):
    views = [astronaut[k : k + 400, k : k + 400] for k in range(20)]
    path = write_streams(tmp_path / "two.mkv", views, views)
    faces = extract_faces(path, detector, replace(extraction_spec, num_frames=4), budget)
    assert [(crop.stream, crop.track_id) for crop in faces.crops] == [(0, 0)] * 4 + [(1, 1)] * 4
    assert faces.num_frames == 8
    assert [frame.stream for frame in faces.frames] == [0] * 4 + [1] * 4
    assert [crop.frame_index for crop in faces.crops] == list(range(8))


def test_a_track_ends_where_recordings_were_joined(
    detector, extraction_spec, budget, astronaut, tmp_path, encode_clip
):
    views = [astronaut[k : k + 400, k : k + 400] for k in range(20)]
    part = encode_clip(tmp_path / "part.ts", views).read_bytes()
    (tmp_path / "joined.ts").write_bytes(part + part)
    faces = extract_faces(tmp_path / "joined.ts", detector, extraction_spec, budget)
    assert [crop.track_id for crop in faces.crops] == [0] * 4 + [1] * 4


class UprightOnlyDetector:
    """Is sure of faces in pictures whose top left corner is white, and unsure of the same face elsewhere."""

    name, digest = "upright only", "0" * 64

    def __init__(self, detector, quarter_turns):
        self._detector = detector
        self._turns = quarter_turns

    def detect(self, images):
        found = []
        for rgb in images:
            is_upright = rgb[0, 0].min() > 250
            upright = rgb if is_upright else np.ascontiguousarray(np.rot90(rgb, self._turns))
            (faces,) = self._detector.detect([upright])
            if is_upright:
                found.append(faces)
                continue
            hw = upright.shape[:2]
            found.append(
                [
                    Detection(
                        box_xyxy=turned(each.box_xyxy, -self._turns, hw),
                        landmarks_xy=each.landmarks_xy,
                        score=0.6,
                    )
                    for each in faces
                ]
            )
        return found


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_an_unsure_face_that_lies_is_looked_for_in_the_turned_picture(
    detector, extraction_spec, budget, astronaut, tmp_path, turns
):
    marked = astronaut.copy()
    marked[:4, :4] = 255
    path = tmp_path / "lying.png"
    Image.fromarray(np.rot90(marked, -turns)).save(path)
    faces = extract_faces(path, UprightOnlyDetector(detector, turns), extraction_spec, budget)
    (crop,) = faces.crops
    (expected,) = extract_faces(_saved(tmp_path / "a.png", marked), detector, extraction_spec, budget).crops
    assert np.abs(crop.rgb.astype(int) - expected.rgb).mean() < 1
    assert faces.notes == ()


def _saved(path, rgb):
    Image.fromarray(rgb).save(path)
    return path


def test_no_more_than_four_full_frames_are_held(extraction_spec, budget, face_clip):
    scripted = ScriptedDetector()
    extract_faces(face_clip, scripted, replace(extraction_spec, num_frames=10), budget)
    assert scripted.calls == [4, 4, 2]


@pytest.mark.slow
def test_fewer_large_frames_are_held(extraction_spec, budget, tmp_path):
    """Ten frames of 16 megapixels: two at a time."""
    frames = [Image.new("L", (4096, 4096), 20 * k) for k in range(10)]
    frames[0].save(tmp_path / "large.gif", save_all=True, append_images=frames[1:], duration=100)
    scripted = ScriptedDetector()
    extract_faces(tmp_path / "large.gif", scripted, replace(extraction_spec, num_frames=5), budget)
    assert scripted.calls == [2, 2, 1]


def test_damage_is_passed_on(detector, extraction_spec, budget, astronaut_jpg, tmp_path):
    cut = tmp_path / "cut.jpg"
    cut.write_bytes(astronaut_jpg.read_bytes()[:60_000])
    faces = extract_faces(cut, detector, extraction_spec, budget)
    assert faces.notes == (Reason.TRUNCATED,)
    assert len(faces.crops) == 1
    with pytest.raises(MediaError, match="no such file"):
        extract_faces(tmp_path / "none.mp4", detector, extraction_spec, budget)


@pytest.mark.parametrize(("width", "height"), [(224, 224), (300, 200), (1, 1)])
def test_whole_image_as_face(extraction_spec, budget, astronaut, tmp_path, width, height):
    path = tmp_path / "crop.png"
    Image.fromarray(astronaut[:height, :width]).save(path)
    faces = whole_image_as_face(path, extraction_spec, budget)
    (crop,) = faces.crops
    assert crop.rgb.shape == (224, 224, 3)
    assert crop.box_xyxy == (0, 0, width, height)
    assert np.isnan(crop.landmarks_xy).all()
    assert (crop.score, crop.track_id, crop.face_px) == (1.0, 0, min(width, height))
    assert crop.pose is None
    assert face_record(crop, b"")["yaw_deg"] is None
    if (width, height) == (224, 224):
        assert np.array_equal(crop.rgb, astronaut[:224, :224])


def test_spec_takes_every_parameter_that_decides_pixels():
    params = load_params(REPOSITORY / "params.yaml").extract
    spec = params.spec
    decides_no_pixels = {"shard_size"}
    for name in set(type(params).model_fields) - decides_no_pixels:
        assert getattr(spec, name) == getattr(params, name)
