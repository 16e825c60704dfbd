"""What must change a score, and in which direction: forging raises it, a worse picture does not."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from scipy.stats import binomtest

from deepfakestream.forge.degrade import h264

pytestmark = pytest.mark.slow  # the packaged model scores some hundred crops

MAX_P_VALUE = 0.05
MAX_SHARE_TURNED_FAKE = 0.10
"""At `balanced`, in a good picture or a bad one: the share of real faces that may be called fake."""


def jpeg_50(rgb):
    _, coded = cv2.imencode(".jpg", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 50])
    return cv2.cvtColor(cv2.imdecode(coded, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


def h264_crf28(rgb):
    return h264(rgb, crf=28, shift_px=(1, 1))


def half_size(rgb):
    """Every second pixel is lost: a model that takes softness for forgery calls these people fakes."""
    small = cv2.resize(rgb, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    return cv2.resize(small, rgb.shape[1::-1], interpolation=cv2.INTER_CUBIC)


WORSENINGS = {"JPEG 50": jpeg_50, "H.264 crf 28": h264_crf28, "half the size": half_size}


@pytest.mark.parametrize("kind", ["self_blend", "swap"])
def test_a_forgery_raises_the_score(kind, people, forged, real_faces, real_logits, judge):
    """Sign test over people: each person's mean over the seeds against the same picture unforged."""
    raised = []
    for name, face, real_logit in zip(people, real_faces, real_logits, strict=True):
        fakes = [judge.crop(type(face)(fake, face.box_xyxy)) for fake in forged[kind][name]]
        raised.append(float(judge.logits(fakes).mean() - real_logit))
    num_raised = sum(change > 0 for change in raised)
    assert np.mean(raised) > 0
    assert binomtest(num_raised, len(raised), alternative="greater").pvalue < MAX_P_VALUE, sorted(raised)


@pytest.mark.parametrize("name", WORSENINGS)
def test_a_worse_picture_does_not_turn_real_into_fake(name, real_faces, real_p_fake, judge):
    threshold = judge.engine.threshold.threshold
    after = judge.p_fake([judge.crop(face, WORSENINGS[name]) for face in real_faces])
    turned = (after >= threshold) & (real_p_fake < threshold)
    assert turned.mean() <= MAX_SHARE_TURNED_FAKE, list(np.round(after, 2))


@pytest.mark.parametrize("sigma_px", [2.0, 4.0])
def test_real_faces_out_of_focus_are_not_called_fake(sigma_px, real_faces, judge):
    """Blur of the crop, as strong for all; weights that never saw it called nine of twelve fake at 4 px."""
    crops = [judge.crop(face) for face in real_faces]
    p_fake = judge.p_fake([cv2.GaussianBlur(crop, (0, 0), sigma_px) for crop in crops])
    share = (p_fake >= judge.engine.threshold.threshold).mean()
    assert share <= MAX_SHARE_TURNED_FAKE, list(np.round(p_fake, 2))


def test_real_faces_are_not_called_fake(real_p_fake, judge):
    share = (real_p_fake >= judge.engine.threshold.threshold).mean()
    assert share <= MAX_SHARE_TURNED_FAKE, list(np.round(real_p_fake, 2))


@pytest.mark.parametrize("name", WORSENINGS)
def test_worsened_forgeries_still_score_above_worsened_reals(name, people, forged, real_faces, judge):
    """Compression and small size may weaken the evidence; they must not be what is recognised."""
    higher = []
    for person, face in zip(people, real_faces, strict=True):
        fakes = [type(face)(fake, face.box_xyxy) for kind in forged for fake in forged[kind][person]]
        logits = judge.logits([judge.crop(each, WORSENINGS[name]) for each in [face, *fakes]])
        higher.append(logits[1:].mean() > logits[0])
    assert binomtest(sum(higher), len(higher), alternative="greater").pvalue < MAX_P_VALUE, higher
