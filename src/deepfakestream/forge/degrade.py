"""Lossy coding as files carry it: a picture goes through a real encoder, JPEG or H.264, and comes back."""

from __future__ import annotations

import io

import av
import cv2
import numpy as np

from deepfakestream.media.types import RGBImage


def jpeg(rgb: RGBImage, *, quality: int) -> RGBImage:
    """Return the picture after JPEG compression with 4:2:0 chroma; `quality` 1-100.

    Args:
        rgb: picture `(S, S, 3)`, RGB, 0-255.
        quality: 1-100.
    """
    settings = [cv2.IMWRITE_JPEG_QUALITY, quality]
    _, coded = cv2.imencode(".jpg", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), settings)
    decoded = cv2.imdecode(coded, cv2.IMREAD_COLOR)
    assert decoded is not None, "what OpenCV wrote it can read"
    return np.asarray(cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB), dtype=np.uint8)


def h264(rgb: RGBImage, *, crf: int, shift_px: tuple[int, int] = (0, 0)) -> RGBImage:
    """Return the picture as the second frame of an H.264 clip of constant rate factor `crf`.

    Args:
        rgb: picture; of an odd width or height, the last column or row is doubled for the encoder.
        crf: 0 (lossless) to 51.
        shift_px: how far the first frame lies to the right and below, so that the second is predicted from
            it; `(0, 0)` returns the first, intra-coded frame.
    """
    height, width = rgb.shape[:2]
    doubled = cv2.copyMakeBorder(rgb, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE)
    even = np.asarray(doubled, dtype=np.uint8)
    frames = [even] if shift_px == (0, 0) else [np.roll(even, shift_px[::-1], axis=(0, 1)), even]
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        options = {"crf": str(crf), "preset": "veryfast", "tune": "zerolatency", "threads": "1"}
        stream = container.add_stream("libx264", rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = even.shape[1], even.shape[0], "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))
    buffer.seek(0)
    with av.open(buffer, "r") as container:
        decoded = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    return np.asarray(decoded[-1][:height, :width], dtype=np.uint8)


def video_world(rgb: RGBImage, rng: np.random.Generator) -> RGBImage:
    """Return the picture as a face that stood at another size in a compressed video.

    Args:
        rgb: picture `(S, S, 3)`, RGB, 0-255.
        rng: random numbers; the same state gives the same result.
    """
    size = rgb.shape[0]
    small = int(rng.integers(80, 241)) // 2 * 2
    resized = cv2.resize(
        rgb, (small, small), interpolation=cv2.INTER_AREA if small < size else cv2.INTER_CUBIC
    )
    shift = (int(rng.integers(-2, 3)), int(rng.integers(-2, 3)))
    coded = h264(np.asarray(resized, dtype=np.uint8), crf=int(rng.integers(16, 36)), shift_px=shift)
    interpolation = cv2.INTER_AREA if small > size else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(coded, (size, size), interpolation=interpolation), dtype=np.uint8)
