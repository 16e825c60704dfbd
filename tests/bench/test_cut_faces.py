"""Scores of genuine faces that the picture's border cuts, on the development data: `make bench`."""

from __future__ import annotations

import sys
from dataclasses import dataclass

import numpy as np
import pytest

from deepfakestream.faces.boxes import shorter_side
from deepfakestream.faces.crop import crop_face, is_cut_off
from deepfakestream.media.reader import sample_frames
from deepfakestream.model.aggregation import aggregate
from deepfakestream.model.packaged import PACKAGED_VERSION, packaged_model_dir
from deepfakestream.scanning.engine import open_engine

NUM_PORTRAITS = 120
SHARES = (1.0, 0.95, 0.9, 0.85, 0.8, 0.7, 0.6, 0.5)


@dataclass(frozen=True)
class Cut:
    share: float
    p_fake: float
    p_fake_whole: float
    is_cut_off: bool


def sure_faces(picture, engine):
    (faces,) = engine.detector.detect([picture])
    spec = engine.scorer.spec.extraction
    return [f for f in faces if f.score >= spec.min_score and shorter_side(f.box_xyxy) >= spec.min_face_px]


def score(picture, face, engine):
    spec = engine.scorer.spec.extraction
    crop = crop_face(
        picture, face.box_xyxy, scale=spec.crop_scale, size_px=spec.crop_size_px, shift_y=spec.crop_shift_y
    )
    return aggregate(engine.scorer.logits(crop[None]), np.zeros(1, dtype=int), engine.scorer.spec).p_fake


def parts(picture, box_xyxy, share):
    """Return the picture cut from each side so that this share of the box stays in it."""
    left, top, right, bottom = box_xyxy
    across, down = share * (right - left), share * (bottom - top)
    height, width = picture.shape[:2]
    edges = [round(right - across), round(left + across), round(bottom - down), round(top + down)]
    cut = [picture[:, edges[0] :], picture[:, : edges[1]], picture[edges[2] :], picture[: edges[3]]]
    is_inside = [edges[0] >= 0, edges[1] <= width, edges[2] >= 0, edges[3] <= height]
    return [np.ascontiguousarray(part) for part, inside in zip(cut, is_inside, strict=True) if inside]


def cuts(pictures, engine):
    for picture in pictures:
        faces = sure_faces(picture, engine)
        if not faces:
            continue
        whole = score(picture, faces[0], engine)
        for share in SHARES:
            for part in parts(picture, faces[0].box_xyxy, share):
                for face in sure_faces(part, engine)[:1]:
                    yield Cut(share, score(part, face, engine), whole, is_cut_off(face, part.shape[:2]))


@pytest.mark.bench
@pytest.mark.devdata
@pytest.mark.timeout(7200)
def test_cut_faces_are_left_out_before_they_are_called_fake(devdata, budget, pictures_of):
    engine = open_engine(packaged_model_dir(), PACKAGED_VERSION, operating_point="balanced", device="cpu")
    sets = {
        "portraits": pictures_of(devdata / "portraits" / "ffhq-256.tar", count=NUM_PORTRAITS),
        "frames of real clips": [
            frame.rgb
            for path in sorted((devdata / "videos" / "real").glob("*.mp4"))
            for frame in sample_frames(path, num_frames=2, budget=budget).frames
        ],
    }
    threshold = engine.threshold.threshold
    for name, pictures in sets.items():
        found = list(cuts(pictures, engine))
        for share in SHARES:
            at = [cut for cut in found if cut.share == share]
            kept = [cut for cut in at if not cut.is_cut_off]
            rates = [
                f"{sum(cut.p_fake >= threshold for cut in some)}/{len(some)} called fake "
                f"({sum(cut.p_fake_whole >= threshold for cut in some)} when whole)"
                for some in (at, kept)
            ]
            sys.stdout.write(f"{name}, {share:.0%} of the box: all {rates[0]}, kept {rates[1]}\n")
            assert sum(c.p_fake >= threshold for c in kept) <= 1 + sum(
                c.p_fake_whole >= threshold for c in kept
            )
