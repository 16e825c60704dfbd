"""The same film in other clothes keeps its score, or carries a reason that says what was not the same.

The film is wrapped, timed, turned, mirrored, framed, squeezed, converted in colour space and joined with
another, as hypothesis draws it, without losing more than rounding: so the tolerance is small.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from deepfakestream.media.reader import sample_frames
from deepfakestream.media.types import MediaBudget, RGBImage
from deepfakestream.model.packaged import PACKAGED_VERSION, packaged_model_dir
from deepfakestream.scanning.engine import ScanEngine, open_engine

TOLERANCE = 0.1
"""Largest change of `p_fake`: a tenth of its range, where the verdicts' bounds lie 0.57 apart."""
NUM_FRAMES = 24
NUM_EXAMPLES = 40
ONE, FULL = 1 << 16, 1 << 30
WAYS = {
    (0, False): (ONE, 0, 0, ONE),
    (1, False): (0, -ONE, ONE, 0),
    (2, False): (-ONE, 0, 0, -ONE),
    (3, False): (0, ONE, -ONE, 0),
    (0, True): (-ONE, 0, 0, ONE),
    (1, True): (0, ONE, ONE, 0),
    (2, True): (ONE, 0, 0, -ONE),
    (3, True): (0, -ONE, -ONE, 0),
}
"""Display matrices that turn against the clock after mirroring."""


@dataclass(frozen=True, kw_only=True)
class Clothes:
    """What is done to the film."""

    suffix: str = "mp4"
    way: tuple[int, bool] = (0, False)
    aspect: Fraction = Fraction(1)
    bars_px: tuple[int, int] = (0, 0)
    colours: str = "as it is"
    timing: str = "even"
    joined: str = "alone"


def dressings() -> st.SearchStrategy[Clothes]:
    """Every kind of container, with those changes that it can hold."""
    return st.builds(
        Clothes,
        suffix=st.sampled_from(["mp4", "mov", "mkv", "ts", "avi"]),
        way=st.sampled_from(sorted(WAYS)),
        aspect=st.sampled_from([Fraction(1), Fraction(4, 3), Fraction(3, 4)]),
        bars_px=st.tuples(st.sampled_from([0, 32, 90]), st.sampled_from([0, 32, 90])),
        colours=st.sampled_from(["as it is", "bt709", "full range", "bt2020", "pq", "hlg"]),
        timing=st.sampled_from(["even", "late", "uneven", "leap", "at one time"]),
        joined=st.sampled_from(["alone", "with itself", "after a test card", "before a test card"]),
    ).map(_possible)


def _possible(clothes: Clothes) -> Clothes:
    holds_matrix = clothes.suffix in ("mp4", "mov")
    return replace(
        clothes,
        way=clothes.way if holds_matrix else (0, False),
        joined=clothes.joined if clothes.suffix == "ts" else "alone",
        timing=clothes.timing if holds_matrix or clothes.timing != "at one time" else "even",
    )


@pytest.fixture(scope="module")
def engine() -> ScanEngine:
    return open_engine(packaged_model_dir(), PACKAGED_VERSION, operating_point="balanced", device="cpu")


@pytest.fixture(scope="module")
def views(sample_media: Path) -> list[RGBImage]:
    """24 frames of a genuine clip, 320 x 320 pixels around the face."""
    sample = sample_frames(sample_media / "single_face.mp4", num_frames=NUM_FRAMES, budget=MediaBudget())
    return [frame.rgb[20:340, 150:470] for frame in sample.frames]


@pytest.fixture(scope="module")
def expected(engine: ScanEngine, views: list[RGBImage], tmp_path_factory: pytest.TempPathFactory) -> float:
    path = write(tmp_path_factory.mktemp("plain") / "plain.mp4", views, Clothes())
    result = engine.scan(path)
    assert result.reasons == ()
    assert result.p_fake is not None
    return result.p_fake


@pytest.mark.slow
@settings(
    max_examples=NUM_EXAMPLES,
    deadline=None,
    derandomize=True,
    phases=[Phase.generate],  # each example scans a film: making a failing one smaller takes minutes
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(clothes=dressings())
def test_the_same_film_keeps_its_score(
    tmp_path: Path, engine: ScanEngine, views: list[RGBImage], expected: float, clothes: Clothes
) -> None:
    result = engine.scan(write(tmp_path / f"film.{clothes.suffix}", views, clothes))
    if not result.reasons:
        assert result.p_fake == pytest.approx(expected, abs=TOLERANCE)
        assert result.media is not None
        assert result.media.frames_searched == 16
    else:
        assert clothes.colours in ("pq", "hlg")
        assert {str(reason) for reason in result.reasons} == {"hdr_converted"}


def write(path: Path, views: list[RGBImage], clothes: Clothes) -> Path:
    """Write the film as it is dressed."""
    stored = [_stored(view, clothes) for view in views]
    times = {
        "uneven": [k + k * k // 20 for k in range(len(stored))],
        "leap": [k + (3000 if k >= len(stored) // 2 else 0) for k in range(len(stored))],
        "late": [k + 9000 for k in range(len(stored))],
    }.get(clothes.timing, list(range(len(stored))))
    _encode(path, stored, times, clothes)
    if clothes.timing == "at one time":
        _without_times(path)
    if clothes.joined != "alone":
        other = path.with_name(f"other{path.suffix}")
        card = [np.full_like(stored[0], 30 + 4 * k) for k in range(NUM_FRAMES // 2)]
        _encode(other, stored if clothes.joined == "with itself" else card, list(range(len(card))), clothes)
        parts = [other, path] if clothes.joined == "after a test card" else [path, other]
        path.write_bytes(b"".join([part.read_bytes() for part in parts]))
    return path


def _stored(view: RGBImage, clothes: Clothes) -> RGBImage:
    """Return the pixels that give the view once a player has done what the file says."""
    across, down = clothes.bars_px
    framed = np.pad(view, ((down, down), (across, across), (0, 0)))
    turns, is_mirrored = clothes.way
    turned = np.rot90(framed, -turns)
    flipped = turned[:, ::-1] if is_mirrored else turned
    height, width = flipped.shape[:2]
    if clothes.aspect > 1:
        width = round(width / clothes.aspect / 2) * 2
    if clothes.aspect < 1:
        height = round(height * clothes.aspect / 2) * 2
    if (height, width) != flipped.shape[:2]:
        flipped = cv2.resize(np.ascontiguousarray(flipped), (width, height), interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(flipped)


COLOURS: dict[str, tuple[tuple[int, int, int], int, str]] = {
    "bt709": ((1, 1, 1), 1, "yuv444p"),
    "full range": ((1, 1, 1), 2, "yuvj444p"),
    "bt2020": ((9, 14, 9), 1, "yuv444p10le"),
    "pq": ((9, 16, 9), 1, "yuv444p10le"),
    "hlg": ((9, 18, 9), 1, "yuv444p10le"),
}
"""Primaries, transfer and matrix, range, and pixel format."""


def _encode(path: Path, frames: list[RGBImage], times: list[int], clothes: Clothes) -> None:
    colours, colour_range, pix_fmt = COLOURS.get(clothes.colours, ((2, 2, 2), 0, "yuv444p"))
    with av.open(str(path), "w") as container:
        options = {"qp": "4", "bf": "0" if path.suffix == ".avi" else "2"}
        stream = container.add_stream("libx264", rate=25, options=options)
        context = stream.codec_context
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = pix_fmt
        context.gop_size = 8
        context.color_primaries, context.color_trc, context.colorspace = colours
        context.color_range = colour_range
        if clothes.aspect != 1:
            context.sample_aspect_ratio = clothes.aspect
        a, b, c, d = WAYS[clothes.way]
        if clothes.way != (0, False):
            stream.set_display_matrix([a, b, 0, c, d, 0, 0, 0, FULL])
        for rgb, time in zip(frames, times, strict=False):
            pixels = _signal(rgb, clothes.colours)
            name = "rgb48le" if pixels.dtype == np.uint16 else "rgb24"
            picture = av.VideoFrame.from_ndarray(pixels, format=name)
            picture = picture.reformat(
                format=pix_fmt,
                dst_colorspace=colours[2] if colours[2] != 2 else 5,
                dst_color_range=2 if colour_range == 2 else 1,
            )
            picture.color_primaries, picture.color_trc, picture.colorspace = colours
            picture.pts = time
            container.mux(stream.encode(picture))
        container.mux(stream.encode())


TO_BT2020 = np.array([[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]])


def _signal(rgb: RGBImage, colours: str) -> np.ndarray:
    if colours not in ("bt2020", "pq", "hlg"):
        return rgb
    light = (rgb / 255.0) ** 2.4 @ TO_BT2020.T
    signal: Callable[[np.ndarray], np.ndarray] = {
        "bt2020": lambda x: np.clip(x, 0, 1) ** (1 / 2.4),
        "pq": _pq,
        "hlg": _hlg,
    }[colours]
    return np.round(65535 * np.clip(signal(light), 0, 1)).astype(np.uint16)


def _pq(light: np.ndarray) -> np.ndarray:
    powered = (np.clip(light, 0, None) * 203 / 10_000) ** 0.1593017578125
    return ((0.8359375 + 18.8515625 * powered) / (1 + 18.6875 * powered)) ** 78.84375


def _hlg(light: np.ndarray) -> np.ndarray:
    display = np.clip(light, 0, None) * 203 / 1000
    luminance = np.maximum(display @ [0.2627, 0.6780, 0.0593], 1e-9)
    scene = display * luminance[..., None] ** (1 / 1.2 - 1)
    upper = 0.17883277 * np.log(np.maximum(12 * scene - 0.28466892, 1e-9)) + 0.55991073
    return np.where(scene <= 1 / 12, np.sqrt(3 * scene), upper)


def _without_times(path: Path) -> None:
    """Give every sample of an MP4 the duration zero."""
    data = bytearray(path.read_bytes())
    at = data.index(b"stts") + 8
    for k in range(struct.unpack_from(">I", data, at)[0]):
        struct.pack_into(">I", data, at + 8 + 8 * k, 0)
    path.write_bytes(data)
