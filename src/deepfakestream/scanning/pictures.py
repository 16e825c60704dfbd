"""Pictures of what a scan looked at: the searched frames, the faces as the network sees them, their noise."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from deepfakestream.faces.types import ExtractedFaces
from deepfakestream.media.types import Frame, RGBImage
from deepfakestream.model.noise import TRUNCATION, noise_residuals
from deepfakestream.model.spec import NetworkSpec, Variant

MAX_SIDE_PX = 960
"""Longer side of the picture of a frame."""
JPEG_QUALITY = 85
_WITHOUT_NOISE: tuple[Variant, ...] = ("rgb", "tower")


def frame_name(frame: int) -> str:
    """Return the file name of a searched frame, by its position in `coverage.frames`."""
    return f"picture-frame-{frame}.jpg"


def face_name(frame: int, track_id: int) -> str:
    """Return the file name of a person's face in a searched frame.

    Args:
        frame: position in `coverage.frames`.
        track_id: number of the person.
    """
    return f"picture-face-{frame}-{track_id}.png"


def noise_name(frame: int, track_id: int) -> str:
    """Return the file name of the noise residuals of a person's face in a searched frame.

    Args:
        frame: position in `coverage.frames`.
        track_id: number of the person.
    """
    return f"picture-noise-{frame}-{track_id}.png"


class Pictures:
    """Collects pictures while a file is scanned."""

    def __init__(self) -> None:
        self.content: dict[str, bytes] = {}
        """Encoded pictures by file name."""

    def add_frame(self, frame: Frame) -> None:
        """Add a searched frame, scaled down to `MAX_SIDE_PX`."""
        height_px, width_px = frame.rgb.shape[:2]
        scale = min(1.0, MAX_SIDE_PX / max(height_px, width_px))
        size = (max(1, round(width_px * scale)), max(1, round(height_px * scale)))
        shown = frame.rgb
        if scale < 1:
            shown = np.asarray(cv2.resize(shown, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
        options = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
        self.content[frame_name(frame.index)] = _encoded(".jpg", shown, options)

    def add_faces(self, faces: ExtractedFaces, network: NetworkSpec) -> None:
        """Add every face as the network sees it, and its noise where the network sees that.

        A model of an earlier release may have kernels that a training moved; the noise is that of the
        kernels of `model.noise` all the same.

        Args:
            faces: what extraction found.
            network: of the model; it says whether noise is seen.
        """
        sees_noise = network.variant not in _WITHOUT_NOISE
        for crop in faces.crops:
            self.content[face_name(crop.frame_index, crop.track_id)] = _encoded(".png", crop.rgb)
            if sees_noise:
                noise = noise_picture(crop.rgb)
                self.content[noise_name(crop.frame_index, crop.track_id)] = _encoded(".png", noise)


def noise_picture(rgb: RGBImage) -> RGBImage:
    """Return the noise residuals of a face next to each other, `(S, 3 S)` grey: 128 is as predicted."""
    planes = np.concatenate(list(noise_residuals(rgb)), axis=1)
    return np.asarray(np.round(128 + planes * (127 / TRUNCATION)), dtype=np.uint8)


def _encoded(suffix: str, rgb: RGBImage, options: Sequence[int] = ()) -> bytes:
    bgr = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR) if rgb.ndim == 3 else rgb
    return bytes(cv2.imencode(suffix, bgr, options)[1])
