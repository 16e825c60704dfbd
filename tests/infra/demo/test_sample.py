from __future__ import annotations

import csv
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from PIL import Image

from deepfakestream.errors import DataError
from deepfakestream.faces.types import FaceDetector
from deepfakestream.forge.mesh import FaceMesh
from deepfakestream.media.types import RGBImage
from deepfakestream.params import load_params
from infra.demo import people, sample
from infra.demo.media import STILLS_PER_LABEL, Made, Studio
from infra.demo.params import CHANGES, demo_params, write_demo_params
from infra.demo.people import PEOPLE, read_square
from infra.demo.views import CLIP_FRAMES, DRIFTED_SIZE_PX, GOOD, POOR, SIZE_PX, views


@pytest.fixture(scope="module")
def squares(sample_media: Path) -> dict[str, list[RGBImage]]:
    return {person.name: read_square(person, sample_media) for person in PEOPLE}


@pytest.fixture(scope="module")
def studio(squares: dict[str, list[RGBImage]], detector: FaceDetector) -> Studio:
    return Studio(squares=squares, detector=detector, mesh=FaceMesh())


@pytest.fixture(scope="module")
def made(studio: Studio, tmp_path_factory: pytest.TempPathFactory) -> list[Made]:
    return list(studio.make(PEOPLE[0], tmp_path_factory.mktemp("good"), GOOD, 1))


def test_twelve_people_and_nobody_twice():
    assert len({person.name for person in PEOPLE}) == len(PEOPLE) == 12
    assert len({(person.file, person.square) for person in PEOPLE}) == 12
    assert [sum(p.split == split for p in PEOPLE) for split in ("train", "val", "test")] == [7, 2, 3]


@pytest.mark.parametrize("person", PEOPLE, ids=lambda person: person.name)
def test_a_square_shows_exactly_one_face_and_views_keep_it(person, squares, detector):
    square = squares[person.name]
    assert all(frame.shape == (person.square[2], person.square[2], 3) for frame in square)
    for seed in range(3):
        (view,) = views(square, np.random.default_rng(seed), num_frames=1)
        (faces,) = detector.detect([view])
        assert [face.score >= 0.8 for face in faces] == [True]


def test_a_person_gets_as_many_reals_as_fakes_of_both_kinds(made):
    assert [each.label for each in made].count("real") == len(made) / 2 == STILLS_PER_LABEL + 1
    assert {each.manipulation for each in made} == {"none", "self_blend", "swap"}
    assert len({each.path.read_bytes() for each in made}) == len(made)


def test_clips_are_h264_and_stills_jpeg(made):
    for each in made:
        if each.path.suffix == ".mp4":
            with av.open(str(each.path)) as clip:
                stream = clip.streams.video[0]
                found = (stream.codec_context.name, stream.frames, stream.width, stream.height)
            assert found == ("h264", CLIP_FRAMES, SIZE_PX, SIZE_PX)
        else:
            with Image.open(each.path) as still:
                assert (still.format, still.size) == ("JPEG", (SIZE_PX, SIZE_PX))


@pytest.mark.slow
def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(studio, made, tmp_path):
    again = list(studio.make(PEOPLE[0], tmp_path, GOOD, 1))
    assert [each.path.read_bytes() for each in again] == [each.path.read_bytes() for each in made]
    other = list(studio.make(PEOPLE[0], tmp_path, GOOD, 2))
    assert not {each.path.read_bytes() for each in other} & {each.path.read_bytes() for each in made}


def test_the_poor_camera_is_dark_and_small(studio, made, tmp_path):
    poor = [each.path for each in studio.make(PEOPLE[0], tmp_path, POOR, 1) if each.path.suffix == ".jpg"]
    good = [each.path for each in made if each.path.suffix == ".jpg"]
    pictures = [[cv2.imread(str(path)) for path in paths] for paths in (poor, good)]
    assert {picture.shape for picture in pictures[0]} == {(DRIFTED_SIZE_PX, DRIFTED_SIZE_PX, 3)}
    brightness = [np.mean([picture.mean() for picture in part]) for part in pictures]
    assert brightness[0] < 0.5 * brightness[1]


def test_without_the_sample_media_the_remedy_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(people, "MEDIA_FOLDER", Path("not/installed"))
    with pytest.raises(DataError, match=r"not/installed: .*'make setup'"):
        sample.build(tmp_path / "sample")
    assert list(tmp_path.iterdir()) == []


def test_the_demo_params_are_valid_and_say_why(tmp_path):
    write_demo_params(tmp_path)
    params = load_params(tmp_path / "params.yaml")
    assert (params.extract.num_frames, params.retrain.windows) == (6, (1, 1))
    assert demo_params().count("# demo: ") == len(CHANGES)
    (tmp_path / "params.yaml").write_text("seed: 8\n")
    write_demo_params(tmp_path)
    assert (tmp_path / "params.yaml").read_text() == "seed: 8\n"


@pytest.mark.slow
def test_the_sample_is_made_once(tmp_path, sample_media):
    first = sample.build(tmp_path / "sample")
    assert not first.was_there
    files = sorted(path for path in tmp_path.rglob("*") if path.is_file())
    times = [path.stat().st_mtime_ns for path in files]
    second = sample.build(tmp_path / "sample")
    assert second.was_there
    assert (second.normal, second.drifted, second.held_out) == (first.normal, first.drifted, first.held_out)
    assert [path.stat().st_mtime_ns for path in files] == times
    with (first.directory / sample.MANIFEST).open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    by_name = {row["file"]: row for row in rows}
    asked = [by_name[path.name] for path in first.held_out]
    assert [row["label"] for row in asked] == list(first.held_out.values())
    assert len(asked) == 15
    assert {row["split"] for row in asked} == {"test"}
    assert {row["manipulation"] for row in asked} == {"", "self_blend", "swap"}
    assert len(rows) == first.num_labelled == 12 * 14 + 4
    assert {row["group_id"]: row["split"] for row in rows if row["identity"]} == {
        person.name: person.split for person in PEOPLE
    }
    assert all((first.directory / row["file"]).is_file() for row in rows)
    assert len(first.normal) == len(first.drifted) == 3 * 14
