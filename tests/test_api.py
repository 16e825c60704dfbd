"""The Python API, as a program uses it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import deepfakestream
from deepfakestream import Model, ScanResult, open_model, scan
from deepfakestream.errors import ParamsError, Reason


@pytest.fixture(scope="module")
def model() -> Model:
    return open_model(detector="fast", device="cpu")


def test_a_verdict_is_an_object_with_the_model_and_threshold_it_rests_on(
    model: Model, astronaut_jpg: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))  # no tower was fetched: the fast detector answers
    result = model.scan(astronaut_jpg)
    assert isinstance(result, ScanResult)
    assert result.p_fake is not None
    assert result.model == model.info
    assert result.threshold == model.threshold
    assert scan(str(astronaut_jpg)).p_fake == pytest.approx(result.p_fake)


def test_progress_of_a_video_counts_its_searched_frames(model: Model, face_clip: Path) -> None:
    seen: list[tuple[int, int]] = []
    result = model.scan(face_clip, on_progress=lambda done, total: seen.append((done, total)))
    assert result.media is not None
    assert [done for done, _ in seen] == sorted({done for done, _ in seen})
    assert seen[-1][0] == result.media.frames_searched
    assert all(done <= total for done, total in seen)


def test_files_are_answered_in_order_and_an_unreadable_one_ends_nothing(
    model: Model, astronaut_jpg: Path, tmp_path: Path
) -> None:
    missing = tmp_path / "missing.jpg"
    seen: list[tuple[int, int]] = []
    results = list(
        model.scan_many([missing, astronaut_jpg], on_progress=lambda done, total: seen.append((done, total)))
    )
    assert [result.verdict == "not_applicable" for result in results] == [True, False]
    assert results[0].reasons == (Reason.NOT_FOUND,)
    assert seen == [(1, 2), (2, 2)]


@pytest.mark.slow
def test_the_operating_point_and_the_limit_on_pixels_are_the_callers(astronaut_jpg: Path) -> None:
    strict = open_model(operating_point="low_fpr", detector="fast", device="cpu", max_pixels=1000)
    assert strict.threshold.threshold > open_model(detector="fast", device="cpu").threshold.threshold
    assert strict.scan(astronaut_jpg).reasons == (Reason.TOO_MANY_PIXELS,)
    with pytest.raises(ParamsError):
        open_model(operating_point="unknown")
    with pytest.raises(ParamsError):
        open_model("no/such/folder")


def test_the_package_has_no_other_names() -> None:
    with pytest.raises(AttributeError):
        _ = deepfakestream.no_such_name


def test_importing_the_package_loads_no_library() -> None:
    code = (
        "import sys, deepfakestream; print(*({'numpy', 'cv2', 'onnxruntime', 'torch'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
