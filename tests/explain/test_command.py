from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from deepfakestream.cli import app
from deepfakestream.errors import DataError, MediaError, ParamsError, Reason
from deepfakestream.explain.command import explain_file, most_suspicious
from deepfakestream.explain.figure import overlay
from deepfakestream.model.aggregation import MediaScore
from deepfakestream.model.files import save_model
from deepfakestream.model.network import STREAMS, create_network
from deepfakestream.model.packaged import packaged_model_dir
from deepfakestream.model.spec import DetectorSpec, read_spec
from deepfakestream.scanning.engine import open_engine
from deepfakestream.scanning.model_options import ModelOptions


def explain(path, out, **changes):
    wanted = {"num_faces": 1, "compare": False, **changes}
    model = {name: wanted.pop(name) for name in ("model_dir", "operating_point") if name in wanted}
    return explain_file(path, ModelOptions(**model), out_dir=out, **wanted)


@pytest.fixture(scope="module")
def two_people(astronaut, tmp_path_factory):
    path = tmp_path_factory.mktemp("two") / "two.png"
    both = np.hstack([astronaut[:, :, ::-1], cv2.convertScaleAbs(astronaut[:, ::-1, ::-1], alpha=0.8)])
    cv2.imwrite(str(path), both)
    return path


@pytest.fixture(scope="module")
def tiny_model(tmp_path_factory):
    spec = tiny_spec()
    torch.manual_seed(7)
    folder = tmp_path_factory.mktemp("tiny")
    save_model(create_network(spec.network), spec, folder)
    return folder


@pytest.fixture(scope="module", params=["tiny", pytest.param("packaged", marks=pytest.mark.slow)])
def model_dir(request):
    """The packaged model, and a small one like it that is explained in seconds."""
    if request.param == "packaged":
        return packaged_model_dir()
    return request.getfixturevalue("tiny_model")


def tiny_spec():
    """The packaged model's spec with a small backbone and small crops."""
    packaged = read_spec(packaged_model_dir()).model_dump()
    packaged["network"]["backbone"] = "test_efficientnet"
    packaged["extraction"]["crop_size_px"] = 64
    return DetectorSpec.model_validate(packaged)


@pytest.fixture(scope="module")
def written(two_people, model_dir, tmp_path_factory):
    chosen = None if model_dir == packaged_model_dir() else model_dir
    return explain(two_people, tmp_path_factory.mktemp("out") / "deep", num_faces=5, model_dir=chosen)


@pytest.mark.slow
def test_every_face_gets_a_picture_and_its_numbers(written):
    faces = json.loads((written.directory / "explanation.json").read_text())["faces"]
    assert len(faces) == 2
    assert {face["track_id"] for face in faces} == {0, 1}
    for face in faces:
        picture = cv2.imread(str(written.directory / face["picture"]))
        assert min(picture.shape[:2]) > 600
        assert picture.std() > 20


@pytest.mark.slow
def test_a_folder_of_an_earlier_run_keeps_no_picture_of_it(two_people, tiny_model, tmp_path):
    """The page would not show them; a picture that no record names belongs to somebody else."""
    for name in ("face-01.png", "face-02.png", "face-07.png"):
        (tmp_path / name).write_bytes(b"earlier")
    earlier = {"faces": [{"picture": "face-01.png"}, {"picture": "face-02.png"}]}
    (tmp_path / "explanation.json").write_text(json.dumps(earlier))
    explain(two_people, tmp_path, num_faces=1, model_dir=tiny_model)
    assert {path.name for path in tmp_path.glob("*.png")} == {"face-01.png", "face-07.png"}


def test_the_score_is_the_one_of_scan(written, model_dir, two_people):
    scanned = open_engine(model_dir, "0", operating_point="balanced").scan(two_people)
    assert written.record["p_fake"] == pytest.approx(scanned.p_fake, abs=1e-5)
    assert written.record["verdict"] == scanned.verdict
    by_track = {track.track_id: track.faces[0].p_fake for track in scanned.tracks}
    for face in written.record["faces"]:
        assert face["p_fake"] == pytest.approx(by_track[face["track_id"]], abs=1e-5)


def test_the_numbers_are_complete_and_agree_with_each_other(written, model_dir):
    spec = read_spec(model_dir)
    streams = set(STREAMS[spec.network.variant])
    for face in written.record["faces"]:
        assert sum(face["logit_by_stream"].values()) == pytest.approx(face["logit"], abs=0.01)
        assert set(face["logit_by_stream"]) == {"bias", *streams}
        for each in face["maps"]:
            assert each["stream"] in streams
            assert each["faithful"] == (each["random_maps_beaten"] == each["random_maps"])
            assert each["faithful"] or any("not faithful" in text for text in each["warnings"])


def test_the_page_shows_the_pictures_and_says_the_warnings(written):
    page = (written.directory / "index.html").read_text()
    for face in written.record["faces"]:
        assert f'src="{face["picture"]}"' in page
    assert page.count("<li>") == sum(
        len(each["warnings"]) for face in written.record["faces"] for each in face["maps"]
    )


def test_the_command_says_where_everything_is(written):
    report = written.describe()
    for name in ("face-01.png", "face-02.png", "explanation.json", "index.html"):
        assert str(written.directory / name) in report


@pytest.mark.slow
def test_compare_adds_shap_and_lime(astronaut_jpg, tmp_path):
    runner = CliRunner()
    done = runner.invoke(app, ["explain", str(astronaut_jpg), "--out", str(tmp_path), "--compare"])
    assert done.exit_code == 0, done.output
    (face,) = json.loads((tmp_path / "explanation.json").read_text())["faces"]
    assert {"KernelSHAP", "LIME"} < {each["method"] for each in face["maps"]}


def blank(folder):
    path = folder / "blank.png"
    cv2.imwrite(str(path), np.full((200, 200, 3), 90, np.uint8))
    return path


def test_a_picture_without_a_face_is_an_error_that_says_so(tmp_path):
    with pytest.raises(MediaError, match="no face to explain") as caught:
        explain(blank(tmp_path), tmp_path / "out")
    assert caught.value.reason == Reason.NO_FACE
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("content", [b"", b"not a picture at all"])
def test_what_is_no_picture_is_refused(content, tmp_path):
    (tmp_path / "file.jpg").write_bytes(content)
    with pytest.raises(MediaError):
        explain(tmp_path / "file.jpg", tmp_path / "out")


def test_a_folder_that_cannot_be_made_is_named(astronaut_jpg, tmp_path):
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(DataError, match="--out"):
        explain(astronaut_jpg, tmp_path / "taken")


@pytest.mark.slow
def test_a_file_that_cannot_be_written_is_an_error_that_says_so(astronaut_jpg, tmp_path):
    (tmp_path / "out" / "explanation.json").mkdir(parents=True)
    with pytest.raises(DataError, match=r"--out .*out: cannot be written to \(Is a directory\)"):
        explain(astronaut_jpg, tmp_path / "out")


@pytest.mark.parametrize(
    ("change", "words"), [({"operating_point": "strict"}, "strict"), ({"model_dir": True}, "--model")]
)
def test_wrong_options_are_named(change, words, astronaut_jpg, tmp_path):
    if "model_dir" in change:
        change = {"model_dir": tmp_path / "nowhere"}
    with pytest.raises(ParamsError, match=words):
        explain(astronaut_jpg, tmp_path / "out", **change)


@pytest.mark.parametrize(
    ("tracks", "logits", "num_faces", "expected"),
    [
        ([0], [1.0], 3, [0]),
        ([0, 0, 0], [1.0, 3.0, 2.0], 2, [1, 2]),
        ([0, 1, 0, 1], [9.0, 5.0, -9.0, 4.0], 4, [1, 0, 3, 2]),
        ([0, 1, 1], [0.0, 1.0, 2.0], 1, [2]),
    ],
)
def test_every_person_comes_before_anybodys_second_face(tracks, logits, num_faces, expected):
    means = {
        track: float(np.mean([v for v, t in zip(logits, tracks, strict=True) if t == track]))
        for track in tracks
    }
    score = MediaScore(
        logit=0.0,
        p_fake=0.5,
        interval=None,
        deciding_track=0,
        track_p_fake=means,
        face_p_fake=np.array(logits),
    )
    assert most_suspicious(np.array(logits), np.array(tracks), score, num_faces) == expected


def test_an_overlay_is_red_for_a_fake_and_blue_for_a_real():
    grey = np.full((40, 40, 3), 128, np.uint8)
    shown = overlay(grey, np.array([[1.0, 0.0, -1.0]] * 3, np.float32)).astype(int)
    assert shown[20, 0, 0] > shown[20, 0, 2] + 30
    assert shown[20, -1, 2] > shown[20, -1, 0] + 30
    assert np.ptp(shown[20, 20]) < 15
