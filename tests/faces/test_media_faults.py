"""The 24 files of the optional development data's media-faults: each as a viewer sees it."""

from __future__ import annotations

import pytest

from deepfakestream.errors import Reason
from deepfakestream.model.packaged import PACKAGED_VERSION, packaged_model_dir
from deepfakestream.scanning.engine import ScanEngine, open_engine

CONTROL = {
    "control_fake.mp4": (0.998, "likely_fake"),
    "control_real.mp4": (0.089, "likely_real"),
    "F0_control_real.jpg": (0.056, "likely_real"),
    "B1_sar_64_45_fake_control_square.mp4": (0.926, "likely_fake"),
    "C1_pq_real_control_sdr.mp4": (0.091, "likely_real"),
    "G1_profile_prophoto_fake_control_srgb.png": (0.768, "likely_fake"),
}
FAKES_OF_16_FRAMES = [
    "A1_matrix_mirrors_left_right_fake.mp4",
    "A3_matrix_mirrors_and_turns_fake.mp4",
    "B1_sar_64_45_fake.mp4",
    "D1_time_starts_anew_real_then_fake.ts",
    "D3_time_leaps_10_minutes_real_then_fake.ts",
    "D5_all_frames_at_one_time_fake.mp4",
    "E1_still_of_one_frame_first_fake.mp4",
]
NEAR_CONTROL = {
    "A1_matrix_mirrors_left_right_fake.mp4": "control_fake.mp4",
    "A3_matrix_mirrors_and_turns_fake.mp4": "control_fake.mp4",
    "B1_sar_64_45_fake.mp4": "B1_sar_64_45_fake_control_square.mp4",
    "D5_all_frames_at_one_time_fake.mp4": "control_fake.mp4",
    "E1_still_of_one_frame_first_fake.mp4": "control_fake.mp4",
    "E3_unknown_codec_first_fake.mov": "control_fake.mp4",
    "F3_progressive_cut_at_78_percent_real.jpg": "F0_control_real.jpg",
    "F4_arithmetic_coding_whole_real.jpg": "F0_control_real.jpg",
    "G1_profile_prophoto_fake.png": "G1_profile_prophoto_fake_control_srgb.png",
    "G3_png_text_2_MB_fake.png": "G1_profile_prophoto_fake_control_srgb.png",
}

pytestmark = [pytest.mark.devdata, pytest.mark.slow]


@pytest.fixture(scope="module")
def engine() -> ScanEngine:
    return open_engine(packaged_model_dir(), PACKAGED_VERSION, operating_point="balanced", device="cpu")


@pytest.fixture(scope="module")
def scan(devdata, engine):
    return lambda name: engine.scan(devdata / "media-faults" / name)


@pytest.mark.parametrize("name", CONTROL)
def test_controls_keep_their_scores(scan, name):
    result = scan(name)
    expected, verdict = CONTROL[name]
    assert (result.p_fake, result.verdict) == (pytest.approx(expected, abs=0.01), verdict)
    assert result.reasons == ()


@pytest.mark.parametrize("name", NEAR_CONTROL)
def test_what_is_shown_alike_is_scored_alike(scan, name):
    result = scan(name)
    expected, verdict = CONTROL[NEAR_CONTROL[name]]
    assert result.verdict == verdict
    assert result.p_fake == pytest.approx(expected, abs=0.05)
    assert set(result.reasons) == ({Reason.TRUNCATED} if name.startswith("F3") else set())


@pytest.mark.parametrize("name", FAKES_OF_16_FRAMES)
def test_a_face_is_found_in_all_frames(scan, name):
    result = scan(name)
    assert result.verdict == "likely_fake"
    assert sum(len(track.faces) for track in result.tracks) == 16
    assert result.reasons == ()


@pytest.mark.parametrize("name", [each for each in FAKES_OF_16_FRAMES if each.startswith(("D1", "D3"))])
def test_both_halves_of_a_joined_recording_are_searched(scan, name):
    result = scan(name)
    assert result.media.duration_s == pytest.approx(4.0, abs=0.1)
    times = [face.time_s for track in result.tracks for face in track.faces]
    assert sum(time < 2 for time in times) == sum(time > 2 for time in times) == 8


def test_sizes_are_those_of_the_viewer(scan):
    singular = scan("A4_matrix_all_zero_real_480x270.mp4")
    assert (singular.media.width_px, singular.media.height_px) == (480, 270)
    boxes = [face.box_xyxy for track in singular.tracks for face in track.faces]
    assert all(-20 < x0 < x1 < 500 and -20 < y0 < y1 < 290 for x0, y0, x1, y1 in boxes)
    squeezed = scan("B1_sar_64_45_fake.mp4")
    assert (squeezed.media.width_px, squeezed.media.height_px) == (321, 320)


def test_hdr_is_converted_and_told(scan):
    assert scan("C1_pq_real.mp4").reasons == (Reason.HDR_CONVERTED,)


@pytest.mark.parametrize(
    ("name", "reasons"),
    [
        ("F1_baseline_cut_at_54_percent_real.jpg", {Reason.NO_FACE, Reason.TRUNCATED}),
        ("H1_encrypted_cenc.mp4", {Reason.UNSUPPORTED_FORMAT}),
        ("K1_lower_half_of_face_outside_real.png", {Reason.FACE_CUT_OFF}),
    ],
)
def test_what_cannot_be_judged_has_a_reason(scan, name, reasons):
    result = scan(name)
    assert result.verdict == "not_applicable"
    assert set(result.reasons) == reasons


def test_an_encrypted_film_is_called_so(scan):
    assert "encrypted" in scan("H1_encrypted_cenc.mp4").message


def test_a_bmp_whose_alpha_was_never_written_shows_a_face(scan):
    assert len(scan("G5_bmp_alpha_never_written_fake.bmp").tracks) == 1
