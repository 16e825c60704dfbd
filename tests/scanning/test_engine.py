"""The engine: one verdict a file, the reason where there is none, and never the one for the other."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import cv2
import numpy as np
import pytest
from PIL import Image

from deepfakestream.errors import ParamsError, Reason, WeightsError, WrongKindError
from deepfakestream.media.types import Frame, MediaKind
from deepfakestream.model.spec import OperatingPoint, Variant
from deepfakestream.scanning.command import to_json_line
from deepfakestream.scanning.engine import ScanEngine, verdict_of
from deepfakestream.scanning.pictures import Pictures, face_name, frame_name, noise_name
from deepfakestream.scanning.result import ScanResult

Engines = Callable[..., ScanEngine]
Images = Callable[..., Path]

RED, BLUE, PURPLE = (255, 0, 0), (0, 0, 255), (160, 0, 140)
POINT = OperatingPoint(threshold=0.7, inconclusive_from=0.4, fpr=None, tpr=None, measured_on="")


@pytest.mark.parametrize(
    ("p_fake", "verdict"),
    [
        (0.0, "likely_real"),
        (np.nextafter(0.4, 0), "likely_real"),
        (0.4, "inconclusive"),
        (np.nextafter(0.7, 0), "inconclusive"),
        (0.7, "likely_fake"),
        (1.0, "likely_fake"),
    ],
)
def test_verdict_table(p_fake: float, verdict: str) -> None:
    assert verdict_of(p_fake, POINT) == verdict


def test_a_point_without_middle_ground_is_never_inconclusive() -> None:
    point = POINT.model_copy(update={"inconclusive_from": 0.7})
    assert [verdict_of(p, point) for p in (0.69, 0.7)] == ["likely_real", "likely_fake"]


def test_an_unknown_operating_point_is_refused_with_the_known_ones(make_engine: Engines) -> None:
    with pytest.raises(ParamsError, match=r"'best' .*balanced, low_fpr"):
        make_engine(operating_point="best")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, Reason.NOT_FOUND),
        (b"", Reason.EMPTY_FILE),
    ],
)
def test_a_bad_file_is_a_status_not_an_exception(
    make_engine: Engines, tmp_path: Path, content: bytes | None, reason: Reason
) -> None:
    path = tmp_path / "bad.jpg"
    if content is not None:
        path.write_bytes(content)
    result = make_engine().scan(path)
    assert (result.verdict, result.p_fake, result.reasons) == ("not_applicable", None, (reason,))
    assert result.media is None
    assert result.features == {}
    assert "bad.jpg" in result.message


@pytest.mark.parametrize(
    "content", [b"\xff\xd8\xff\xe0", b"only text, but long enough to look like something"]
)
def test_a_file_that_is_no_picture_has_no_score(make_engine: Engines, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.jpg"
    path.write_bytes(content)
    result = make_engine().scan(path)
    assert result.p_fake is None
    assert result.media is None
    assert result.reasons


@pytest.mark.parametrize(
    ("faces", "is_grey"),
    [
        ([(200, 200, 200)], True),
        ([(200, 198, 201)], True),  # as JPEG and video leave a grey picture
        ([(200, 180, 170)], False),
        ([(200, 200, 200), RED], False),
    ],
)
def test_black_and_white_faces_limit_a_score(
    make_engine: Engines, write_picture: Images, faces: list[tuple[int, int, int]], is_grey: bool
) -> None:
    result = make_engine().scan(write_picture("some.png", *faces))
    assert result.p_fake is not None
    assert (Reason.NO_COLOUR in result.reasons) == is_grey
    assert ("black and white" in result.message) == is_grey


def test_without_a_face_there_is_no_score_but_the_file_was_read(
    make_engine: Engines, write_picture: Images
) -> None:
    result = make_engine().scan(write_picture("empty.png"))
    assert (result.verdict, result.p_fake, result.tracks) == ("not_applicable", None, ())
    assert result.reasons == (Reason.NO_FACE,)
    assert result.media is not None
    assert result.media.frames_searched == 1
    assert result.features["num_faces"] == 0.0
    assert result.message == "There is no score: no face was found (searched 1 frame)."


def test_every_face_is_reported_and_the_most_suspicious_decides(
    make_engine: Engines, write_picture: Images
) -> None:
    result = make_engine().scan(write_picture("two.png", BLUE, RED))
    assert result.verdict == "likely_fake"
    assert len(result.tracks) == 2
    assert [track.p_fake > 0.5 for track in result.tracks] == [True, False]
    assert result.p_fake == result.tracks[0].p_fake == result.tracks[0].faces[0].p_fake
    assert result.tracks[0].faces[0].box_xyxy == (130.0, 30.0, 170.0, 70.0)
    assert result.tracks[0].median_face_px == 40.0
    assert result.interval is None
    assert "from 0.70 on" in result.message


@pytest.mark.parametrize(
    ("colour", "verdict"), [(RED, "likely_fake"), (PURPLE, "inconclusive"), (BLUE, "likely_real")]
)
def test_one_face_in_each_verdict(
    make_engine: Engines, write_picture: Images, colour: tuple[int, int, int], verdict: str
) -> None:
    result = make_engine().scan(write_picture("one.png", colour))
    assert result.verdict == verdict
    assert result.message.lower().startswith(verdict.replace("_", " "))


def test_a_result_says_which_model_and_threshold_spoke(make_engine: Engines, write_picture: Images) -> None:
    path = write_picture("one.png", RED)
    result = make_engine(operating_point="low_fpr").scan(path, name="upload")
    assert result.file == "upload"
    assert (result.model.name, result.model.version, result.model.weights_sha256) == ("redness", "7", "ff")
    assert (result.operating_point, result.threshold.threshold) == ("low_fpr", 0.95)
    assert result.media is not None
    assert result.media.size_bytes == path.stat().st_size
    assert len(result.media.sha256) == 64


def test_a_bad_file_among_good_ones_fails_alone_and_changes_no_score(
    make_engine: Engines, write_picture: Images, tmp_path: Path
) -> None:
    good = write_picture("good.png", RED)
    engine = make_engine()
    alone = engine.scan(good)
    bad = tmp_path / "bad.png"
    bad.write_bytes(good.read_bytes()[:60])
    results = [engine.scan(path) for path in (good, bad, good)]
    assert results[0] == results[2] == alone
    assert results[1].p_fake is None


def test_our_path_is_not_told_to_a_caller_with_another_name(make_engine: Engines, tmp_path: Path) -> None:
    path = tmp_path / "upload-x1.bin"
    path.write_bytes(b"")
    result = make_engine().scan(path, name="upload")
    assert str(tmp_path) not in result.message
    assert "upload-x1" not in result.message


def test_only_our_own_name_of_a_file_is_replaced(make_engine: Engines, tmp_path: Path) -> None:
    (tmp_path / "e").touch()
    message = make_engine().scan(tmp_path / "e", name="upload").message
    assert message.startswith("upload: the file is empty")


def test_a_score_that_is_not_a_number_stops_the_scan(make_engine: Engines, write_picture: Images) -> None:
    with pytest.raises(WeightsError, match="version 7 gave a score that is not a number"):
        make_engine(broken=True).scan(write_picture("one.png", RED))


def test_a_budget_is_a_reason(make_engine: Engines, write_picture: Images) -> None:
    result = make_engine(max_pixels=100).scan(write_picture("one.png", RED))
    assert result.reasons == (Reason.TOO_MANY_PIXELS,)


def test_stages_are_timed(make_engine: Engines, write_picture: Images) -> None:
    times: dict[str, float] = {}
    make_engine().scan(write_picture("one.png", RED), times=times)
    assert set(times) == {"extract", "hash", "score"}
    assert all(seconds > 0 for seconds in times.values())


def test_a_name_that_is_no_unicode_is_escaped(make_engine: Engines, tmp_path: Path) -> None:
    result = make_engine().scan(tmp_path / os.fsdecode(b"\xe9t.jpg"))
    assert result.file.endswith("\\udce9t.jpg")
    assert result.reasons == (Reason.NOT_FOUND,)
    assert json.loads(to_json_line(result))["file"] == result.file


@pytest.mark.parametrize(
    ("is_animated", "taken", "found"), [(False, "video", "image"), (True, "image", "video")]
)
def test_a_file_of_the_other_kind_is_reported_before_it_is_searched(
    make_engine: Engines, tmp_path: Path, is_animated: bool, taken: MediaKind, found: str
) -> None:
    frames = [Image.new("RGB", (64, 64), (80 * k, 0, 0)) for k in range(3)]
    path = tmp_path / "a.gif"
    frames[0].save(path, save_all=is_animated, **({"append_images": frames[1:]} if is_animated else {}))
    engine = make_engine()
    with pytest.raises(WrongKindError) as caught:
        engine.scan(path, kind=taken)
    assert (caught.value.found, caught.value.expected) == (found, taken)
    assert engine.scan(path, kind="video" if is_animated else "image").media is not None


def test_what_was_searched_and_converted_is_in_the_result(make_engine: Engines, tmp_path: Path) -> None:
    frames = [Image.new("RGB", (64, 64), (80 * k, 0, 0)) for k in range(3)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:], duration=100)
    result = make_engine().scan(tmp_path / "a.gif")
    assert [(note.code, note.reason) for note in result.media.notes] == [("searched", None)]
    assert "3 of 3 frames" in result.media.notes[0].text
    cut = tmp_path / "cut.jpg"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)).save(cut)
    cut.write_bytes(cut.read_bytes()[:3000])
    result = make_engine().scan(cut)
    (note,) = [note for note in result.media.notes if note.reason is Reason.TRUNCATED]
    assert note.text in result.message
    assert Reason.TRUNCATED in result.reasons


def test_pictures_of_what_was_looked_at(make_engine: Engines, write_picture: Images) -> None:
    engine, pictures = make_engine(), Pictures()
    path = write_picture("two.png", RED, PURPLE)
    result = engine.scan(path, pictures=pictures)
    seen = cv2.imread(str(path))
    faces = [(track.faces[0].frame, track.track_id) for track in result.tracks]
    assert len(faces) == 2
    names = {name(*face) for face in faces for name in (face_name, noise_name)} | {frame_name(0)}
    assert set(pictures.content) == names
    assert np.abs(decoded(pictures, frame_name(0)).astype(int) - seen).mean() < 5
    for track in result.tracks:
        shown = decoded(pictures, face_name(0, track.track_id))
        assert shown.shape == (32, 32, 3)
        x0, y0, x1, y1 = (round(value) for value in track.faces[0].box_xyxy)
        assert np.abs(shown.mean(axis=(0, 1)) - seen[y0:y1, x0:x1].mean(axis=(0, 1))).max() < 1
        assert decoded(pictures, noise_name(0, track.track_id)).shape == (32, 96, 3)


@pytest.mark.parametrize("variant", get_args(Variant))
def test_noise_is_shown_where_the_model_looks_at_it(
    make_engine: Engines, write_picture: Images, variant: Variant
) -> None:
    engine, pictures = make_engine(), Pictures()
    spec = engine.scorer.spec
    network = spec.network.model_copy(update={"variant": variant})
    engine.scorer.spec = spec.model_copy(update={"network": network})
    engine.scan(write_picture("one.png", RED), pictures=pictures)
    assert face_name(0, 0) in pictures.content
    assert (noise_name(0, 0) in pictures.content) == (variant in ("srm", "stacked", "dual", "ensemble"))


def test_a_large_frame_is_scaled_down() -> None:
    pictures = Pictures()
    pictures.add_frame(Frame(index=3, time_s=0.0, rgb=np.zeros((1000, 3000, 3), np.uint8)))
    assert decoded(pictures, frame_name(3)).shape == (320, 960, 3)


def decoded(pictures: Pictures, name: str) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(pictures.content[name], np.uint8), cv2.IMREAD_COLOR)


def test_the_embedding_of_a_file_is_kept_for_the_log_and_shown_to_nobody(
    make_engine: Engines, write_picture: Images
) -> None:
    result = make_engine().scan(write_picture("two.png", RED, (0, 0, 200)))
    assert result.embedding is not None
    first, second = (
        make_engine().scan(write_picture(f"{n}.png", c)) for n, c in ((1, RED), (2, (0, 0, 200)))
    )
    both = np.array([first.embedding, second.embedding]).mean(axis=0)
    assert result.embedding == pytest.approx(both.tolist(), rel=0.05)
    assert "embedding" not in result.model_dump(mode="json")
    assert "embedding" not in result.model_json_schema(mode="serialization")["properties"]
    assert ScanResult.model_validate(result.as_stored()) == result
