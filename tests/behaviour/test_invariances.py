"""What must not change a score: mirroring, light, a slightly other crop."""

from __future__ import annotations

import functools
from collections.abc import Callable

import cv2
import numpy as np
import pytest

from deepfakestream.faces.boxes import longer_side
from deepfakestream.faces.crop import crop_face
from deepfakestream.scanning.engine import verdict_of

pytestmark = pytest.mark.slow  # the packaged model scores some hundred crops

MAX_MEAN_CHANGE = 0.10
"""In p_fake: what a person would call the same score."""
MAX_ROUNDING = 1e-4
MAX_SHARE_REVERSED = 0.05
"""Faces whose verdict turns from likely real to likely fake or back; the band between is there for them."""


def brightened(gain: float) -> Callable[[np.ndarray], np.ndarray]:
    return lambda rgb: cv2.convertScaleAbs(rgb, alpha=gain, beta=0)


def flipped(face, judge):
    return np.ascontiguousarray(judge.crop(face)[:, ::-1])


def brighter(face, judge):
    return judge.crop(face, brightened(1.2))


def darker(face, judge):
    return judge.crop(face, brightened(0.8))


def jittered(right: float, below: float, scale: float):
    """Cut with the box moved and grown by shares of its longer side, as another detector would place it."""

    def cut(face, judge):
        spec = judge.engine.scorer.spec.extraction
        left, top, wide, low = face.box_xyxy
        side = longer_side(face.box_xyxy)
        moved = (left + right * side, top + below * side, wide + right * side, low + below * side)
        return crop_face(
            face.rgb,
            moved,
            scale=spec.crop_scale * scale,
            size_px=spec.crop_size_px,
            shift_y=spec.crop_shift_y,
        )

    return cut


CHANGES = {
    "flip": flipped,
    "brighter by 20 %": brighter,
    "darker by 20 %": darker,
    "crop 3 % to the right": jittered(0.03, 0.0, 1.0),
    "crop 3 % lower": jittered(0.0, 0.03, 1.0),
    "crop 5 % larger": jittered(0.0, 0.0, 1.05),
    "crop 5 % smaller": jittered(0.0, 0.0, 0.95),
}


@pytest.fixture(scope="module")
def before(all_faces, judge):
    return judge.p_fake([judge.crop(face) for face in all_faces])


@pytest.fixture(scope="module")
def after(all_faces, judge):
    """Scores after a change, by its name; each is computed once."""
    return functools.cache(lambda name: judge.p_fake([CHANGES[name](face, judge) for face in all_faces]))


def max_mean_change(name, judge):
    """A network that looks at the mirror image too has no more to forgive than rounding."""
    mirrored = judge.engine.scorer.spec.network.flip_tta
    return MAX_ROUNDING if name == "flip" and mirrored else MAX_MEAN_CHANGE


@pytest.mark.parametrize("name", CHANGES)
def test_a_harmless_change_keeps_the_score(name, before, after, judge, record_property):
    mean_change = float(np.abs(after(name) - before).mean())
    record_property("mean_change", mean_change)
    assert mean_change <= max_mean_change(name, judge)


@pytest.mark.parametrize("name", [name for name in CHANGES if name != "flip"])
def test_a_harmless_change_does_not_reverse_verdicts(name, before, after, judge):
    point = judge.engine.threshold
    reversed_ = [
        {verdict_of(a, point), verdict_of(b, point)} == {"likely_fake", "likely_real"}
        for a, b in zip(before, after(name), strict=True)
    ]
    assert np.mean(reversed_) <= MAX_SHARE_REVERSED
