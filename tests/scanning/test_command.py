"""What `deepfakestream scan` prints and returns, with the packaged model on real pictures."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import skimage

from deepfakestream.errors import DataError, ParamsError, WeightsError
from deepfakestream.scanning.command import scan_paths, to_json_line, to_text
from deepfakestream.scanning.engine import ScanEngine
from deepfakestream.scanning.model_options import ModelOptions

RED, BLUE = (255, 0, 0), (0, 0, 255)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A face, a picture without one, and a file that is no media."""
    directory = tmp_path / "media"
    directory.mkdir()
    cv2.imwrite(str(directory / "b-face.png"), skimage.data.astronaut()[:256, 100:356, ::-1])
    cv2.imwrite(str(directory / "c-nothing.png"), np.full((200, 200, 3), 90, np.uint8))
    (directory / "notes.txt").write_text("not for scanning")
    return directory


def scan(
    *paths: Path, as_json: bool = True, operating_point: str = "balanced", model: Path | None = None
) -> int:
    return scan_paths(paths, ModelOptions(model_dir=model, operating_point=operating_point), as_json=as_json)


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_a_folder_gives_a_line_a_file_in_order(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert scan(folder) == 0
    face, nothing = lines(capsys)
    assert [Path(line["file"]).name for line in (face, nothing)] == ["b-face.png", "c-nothing.png"]
    assert list(face)[:3] == ["file", "verdict", "p_fake"]
    assert {"file", "verdict", "p_fake", "reasons", "tracks", "model"} <= set(face)
    assert 0.0 < face["p_fake"] < 1.0
    assert len(face["tracks"]) == 1
    assert face["model"]["version"] == "0"
    assert (nothing["verdict"], nothing["p_fake"], nothing["reasons"]) == (
        "not_applicable",
        None,
        ["no_face"],
    )


def test_bad_files_get_their_lines_and_the_others_are_still_scanned(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "a-text.jpg").write_text("only text")
    (folder / "d-empty.png").touch()
    missing = folder / "missing.mp4"
    assert scan(missing, folder) == 1
    found = {Path(line["file"]).name: (line["verdict"], line["reasons"]) for line in lines(capsys)}
    assert list(found) == ["missing.mp4", "a-text.jpg", "b-face.png", "c-nothing.png", "d-empty.png"]
    assert found["missing.mp4"] == ("not_applicable", ["not_found"])
    assert found["d-empty.png"] == ("not_applicable", ["empty_file"])
    assert found["a-text.jpg"][0] == "not_applicable"
    assert found["b-face.png"][0] != "not_applicable"


def test_a_folder_without_media_is_an_error_before_anything_is_scanned(
    tmp_path: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(DataError, match="empty: "):
        scan(folder, empty)
    assert capsys.readouterr().out == ""


def test_an_unknown_operating_point_is_refused_with_the_known_ones(folder: Path) -> None:
    with pytest.raises(ParamsError, match=r"'best' .*balanced, high_recall"):
        scan(folder, operating_point="best")


def test_a_model_folder_that_is_none_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match="nowhere: "):
        scan(folder, model=tmp_path / "nowhere")
    with pytest.raises(WeightsError, match=r"spec\.json: missing"):
        scan(folder, model=folder)


def test_text_of_a_verdict(
    make_engine: Callable[..., ScanEngine], write_picture: Callable[..., Path]
) -> None:
    result = make_engine().scan(write_picture("two.png", BLUE, RED), name="two.png")
    assert to_text(result, colour=False).splitlines() == [
        "two.png: LIKELY FAKE, p_fake 0.993",
        "  track 1   p_fake 0.993, 1 frame, face 40 px",
        "  track 0   p_fake 0.007, 1 frame, face 40 px",
        "  model     fast detector, version 7",
        "  why       threshold 0.700 (balanced: 5.0% of reals and 80.0% of fakes reach it; val, 40 files)",
    ]


def test_text_without_a_score(
    make_engine: Callable[..., ScanEngine], write_picture: Callable[..., Path]
) -> None:
    result = make_engine().scan(write_picture("none.png"), name="none.png")
    assert to_text(result, colour=False).splitlines() == [
        "none.png: NOT APPLICABLE",
        "  why       There is no score: no face was found (searched 1 frame). [no_face]",
    ]


def test_colour_adds_to_the_words_and_replaces_none(
    make_engine: Callable[..., ScanEngine], write_picture: Callable[..., Path]
) -> None:
    result = make_engine().scan(write_picture("one.png", RED), name="one.png")
    assert "\033[31mLIKELY FAKE\033[0m" in to_text(result, colour=True)
    assert "\033" not in to_text(result, colour=False)


def test_json_is_one_line_whatever_the_name(make_engine: Callable[..., ScanEngine], tmp_path: Path) -> None:
    line = to_json_line(make_engine().scan(tmp_path / "new\nline\u2028ü.jpg"))
    assert len(line.split("\n")) == 1
    assert json.loads(line)["file"].endswith("new\nline\u2028ü.jpg")
