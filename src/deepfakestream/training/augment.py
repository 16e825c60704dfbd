"""Augmentations that a real and its fake share: framing, colour, the wear of cameras, encoders and uploads.

Both pictures of a pair pass through the same draws, so that nothing here tells the classes apart; the reals
need the compression and resizing of the world as much as the fakes do. The list and its reasons are in
`docs/AUGMENTATIONS.md`.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Literal

import albumentations as A  # noqa: N812  (the library's own convention)
import cv2
import numpy as np

from deepfakestream.forge.degrade import video_world
from deepfakestream.media.types import RGBImage

Strength = Literal["mixed", "full", "medium", "light", "none"]
StepGroup = Literal["framing", "colour", "detail", "coding", "hidden"]
PARTNER = "partner"
MIXED_SHARES = {"light": 0.3, "medium": 0.4, "full": 0.3}
"""How much of `mixed` each strength is: full wear alone hides what clean material shows, light wear alone
does not prepare for the world."""


class VideoWorld(A.ImageOnlyTransform):  # type: ignore[misc]
    """Resize and re-encode with H.264, the same way for both pictures of a pair."""

    def get_params(self) -> dict[str, Any]:
        """Draw the seed that both pictures share."""
        return {"seed": int(self.py_random.randint(0, 2**31 - 1))}

    def apply(self, img: RGBImage, seed: int, **_: Any) -> RGBImage:
        """Return the picture as it comes out of a video, in the same size.

        Args:
            img: square face crop `(S, S, 3)`, RGB, 0-255.
            seed: of quality, size and shift.
        """
        return video_world(img, np.random.default_rng(seed))


class Smooth(A.ImageOnlyTransform):  # type: ignore[misc]
    """Flatten skin and keep edges, as noise reduction in cameras, encoders and beauty filters does."""

    def get_params(self) -> dict[str, Any]:
        """Draw the bilateral filter that both pictures share."""
        return {
            "sigma_colour": self.py_random.uniform(10, 45),
            "sigma_space_px": self.py_random.uniform(1.5, 5),
        }

    def apply(self, img: RGBImage, sigma_colour: float, sigma_space_px: float, **_: Any) -> RGBImage:
        """Return the smoothed picture, in the same size.

        Args:
            img: square face crop `(S, S, 3)`, RGB, 0-255.
            sigma_colour: how far grey levels may differ and still be averaged (standard deviation).
            sigma_space_px: how far pixels may lie apart (standard deviation).
        """
        smooth = cv2.bilateralFilter(img, d=7, sigmaColor=sigma_colour, sigmaSpace=sigma_space_px)
        return np.asarray(smooth, dtype=np.uint8)


def pair_augmentation(
    strength: Strength, *, size_px: int, seed: int, without: Collection[StepGroup] = ()
) -> A.Compose:
    """Return a transform that is called with `image` and `partner` and treats both alike.

    Args:
        strength: `full`, `medium` (the same kinds of wear, rarer and milder), `light` (flip, brightness,
            JPEG), `none`, or `mixed`: one of the first three for each pair, with odds of `MIXED_SHARES`, and
            often only a part of the face, or out of focus.
        size_px: side of the pictures that come out.
        seed: of draws that are not seeded again.
        without: groups of steps that `full` leaves out, also where it is a part of `mixed`.
    """
    if strength == "mixed":
        parts = [
            A.Sequential(_steps(part, size_px, without), p=share) for part, share in MIXED_SHARES.items()
        ]
        steps = [
            A.OneOf(parts, p=1.0),
            *_part_of_face(size_px),
            A.GaussianBlur(blur_limit=0, sigma_limit=(1.0, 5.0), p=0.25),
        ]
    else:
        steps = _steps(strength, size_px, without)
    return A.Compose(steps, additional_targets={PARTNER: "image"}, seed=seed)


def _steps(strength: str, size_px: int, without: Collection[StepGroup]) -> list[Any]:
    if strength == "full":
        return _full(size_px, without)
    return {"medium": _medium, "light": _light, "none": _none}[strength](size_px)


def _none(size_px: int) -> list[Any]:
    return [A.Resize(size_px, size_px, interpolation=cv2.INTER_AREA)]


def _light(size_px: int) -> list[Any]:
    return [
        A.HorizontalFlip(p=0.5),
        A.RandomBrightnessContrast(0.15, 0.15, p=0.4),
        A.ImageCompression(quality_range=(50, 100), p=0.4),
        *_none(size_px),
    ]


def _medium(size_px: int) -> list[Any]:
    return [
        A.HorizontalFlip(p=0.5),
        _turn(6, shift=0.03, scale=(0.95, 1.05), p=0.25),
        _window(size_px, share=(0.8, 1.0), ratio=(0.95, 1.05), p=0.4),
        A.Resize(size_px, size_px, interpolation=cv2.INTER_LINEAR),
        A.OneOf(
            [
                A.RandomBrightnessContrast(0.2, 0.2),
                A.ColorJitter(0.15, 0.15, 0.15, 0.04),
                A.HueSaturationValue(8, 25, 15),
            ],
            p=0.5,
        ),
        A.OneOf(
            [
                A.GaussianBlur(blur_limit=(3, 5)),
                Smooth(),
                A.Downscale(
                    scale_range=(0.45, 0.9),
                    interpolation_pair={"downscale": cv2.INTER_AREA, "upscale": cv2.INTER_LINEAR},
                ),
                A.Sharpen(alpha=(0.1, 0.3), lightness=(0.9, 1.1)),
            ],
            p=0.25,
        ),
        A.GaussNoise(std_range=(0.005, 0.03), p=0.08),
        VideoWorld(p=0.25),
        A.ImageCompression(quality_range=(45, 98), p=0.35),
    ]


def _full(size_px: int, without: Collection[StepGroup]) -> list[Any]:
    groups: dict[StepGroup, list[Any]] = {
        "framing": _framing(size_px),
        "colour": _colour(),
        "detail": _detail(),
        "coding": [
            VideoWorld(p=0.4),
            A.ImageCompression(quality_range=(35, 98), p=0.4),
        ],
        "hidden": [_holes((size_px // 6, size_px // 3), p=0.12)],
    }
    kept = [step for name, steps in groups.items() if name not in without for step in steps]
    return [A.HorizontalFlip(p=0.5), *kept]


def _framing(size_px: int) -> list[Any]:
    """Boxes of other detectors: another margin, another centre, a slight turn, a slight squeeze."""
    return [
        _turn(8, shift=0.04, scale=(0.94, 1.06), p=0.4),
        _window(size_px, share=(0.72, 1.0), ratio=(0.93, 1.07), p=0.7),
        A.Resize(size_px, size_px, interpolation=cv2.INTER_LINEAR),
    ]


def _turn(degrees: float, *, shift: float, scale: tuple[float, float], p: float) -> A.Affine:
    """Turn, shift (a share of the side) and scale each side by itself; the border is mirrored."""
    return A.Affine(
        rotate=(-degrees, degrees),
        translate_percent=(-shift, shift),
        scale=scale,
        keep_ratio=False,
        border_mode=cv2.BORDER_REFLECT_101,
        p=p,
    )


def _window(
    size_px: int, *, share: tuple[float, float], ratio: tuple[float, float], p: float
) -> A.RandomResizedCrop:
    """A part of the picture, this share of its area, at the size of the whole."""
    return A.RandomResizedCrop(
        (size_px, size_px), scale=share, ratio=ratio, interpolation=cv2.INTER_LINEAR, p=p
    )


def _colour() -> list[Any]:
    return [
        A.OneOf(
            [
                A.RandomBrightnessContrast(0.25, 0.25),
                A.ColorJitter(0.2, 0.2, 0.2, 0.05),
                A.FancyPCA(alpha=0.1),
                A.RandomGamma((70, 140)),
                A.HueSaturationValue(8, 25, 15),
            ],
            p=0.6,
        ),
        A.ToGray(p=0.04),
    ]


def _detail() -> list[Any]:
    return [
        A.OneOf(
            [
                A.GaussianBlur(blur_limit=(3, 7)),
                A.MotionBlur(blur_limit=(3, 7)),
                Smooth(),
                A.Downscale(
                    scale_range=(0.3, 0.85),
                    interpolation_pair={"downscale": cv2.INTER_AREA, "upscale": cv2.INTER_LINEAR},
                ),
                A.Sharpen(alpha=(0.1, 0.35), lightness=(0.9, 1.1)),
            ],
            p=0.4,
        ),
        A.OneOf([A.GaussNoise(std_range=(0.005, 0.04)), A.ISONoise((0.01, 0.04), (0.05, 0.3))], p=0.2),
    ]


def _holes(side_px: tuple[int, int], *, p: float) -> A.CoarseDropout:
    """One or two boxes of one random colour each, with sides in this range."""
    return A.CoarseDropout(
        num_holes_range=(1, 2),
        hole_height_range=side_px,
        hole_width_range=side_px,
        fill="random_uniform",
        p=p,
    )


def _part_of_face(size_px: int) -> list[Any]:
    """A window of the face at another size, or holes: whole pictures, seen often, are learnt by heart."""
    return [
        A.OneOf(
            [
                _window(size_px, share=(0.45, 1.0), ratio=(0.87, 1.15), p=1.0),
                _turn(12, shift=0.08, scale=(0.85, 1.2), p=0.5),
            ],
            p=0.6,
        ),
        _holes((size_px // 6, round(size_px * 0.36)), p=0.2),
    ]
