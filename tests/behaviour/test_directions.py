"""What must change a score, and in which direction: forging raises it, compression makes nobody a fake."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from scipy.stats import binomtest

from deepfakestream.forge.degrade import h264

MAX_P_VALUE = 0.05
MAX_SHARE_TURNED_FAKE = 0.10
"""At `balanced`, compressed or not: the share of real faces that may be called fake."""


def jpeg_50(rgb):
    _, coded = cv2.imencode(".jpg", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 50])
    return cv2.cvtColor(cv2.imdecode(coded, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


def h264_crf28(rgb):
    return h264(rgb, crf=28, shift_px=(1, 1))


COMPRESSIONS = {"JPEG 50": jpeg_50, "H.264 crf 28": h264_crf28}


@pytest.mark.parametrize("kind", ["self_blend", "swap"])
def test_a_forgery_raises_the_score(kind, people, forged, judge):
    """Sign test over people: each person's mean over the seeds against the same picture unforged."""
    raised = []
    for name, rgb in people.items():
        face = judge.find(rgb)
        fakes = [judge.crop(type(face)(fake, face.box_xyxy)) for fake in forged[kind][name]]
        logits = judge.logits([judge.crop(face), *fakes])
        raised.append(float(logits[1:].mean() - logits[0]))
    num_raised = sum(change > 0 for change in raised)
    assert np.mean(raised) > 0
    assert binomtest(num_raised, len(raised), alternative="greater").pvalue < MAX_P_VALUE, sorted(raised)


@pytest.mark.parametrize("name", COMPRESSIONS)
def test_compression_does_not_turn_real_into_fake(name, real_faces, judge):
    threshold = judge.engine.threshold.threshold
    before = judge.p_fake([judge.crop(face) for face in real_faces])
    after = judge.p_fake([judge.crop(face, COMPRESSIONS[name]) for face in real_faces])
    turned = (after >= threshold) & (before < threshold)
    assert turned.mean() <= MAX_SHARE_TURNED_FAKE, list(np.round(after, 2))


def test_real_faces_are_not_called_fake(real_faces, judge):
    p_fake = judge.p_fake([judge.crop(face) for face in real_faces])
    share = (p_fake >= judge.engine.threshold.threshold).mean()
    assert share <= MAX_SHARE_TURNED_FAKE, list(np.round(p_fake, 2))


@pytest.mark.parametrize("name", COMPRESSIONS)
def test_compressed_forgeries_still_score_above_compressed_reals(name, people, forged, judge):
    """The compression may weaken the evidence; it must not be what is recognised."""
    higher = []
    for person, rgb in people.items():
        face = judge.find(rgb)
        fakes = [type(face)(fake, face.box_xyxy) for kind in forged for fake in forged[kind][person]]
        logits = judge.logits([judge.crop(each, COMPRESSIONS[name]) for each in [face, *fakes]])
        higher.append(logits[1:].mean() > logits[0])
    assert binomtest(sum(higher), len(higher), alternative="greater").pvalue < MAX_P_VALUE, higher
