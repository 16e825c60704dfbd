"""From which share of changed traffic on the drift check notices it: real faces, picture columns alone."""

from __future__ import annotations

import random
import sys
import tarfile
from collections.abc import Callable

import cv2
import numpy as np
import pandas as pd
import pytest

from deepfakestream.faces.quality import luma, sharpness
from deepfakestream.media.types import RGBImage
from deepfakestream.monitoring.drift import judge
from deepfakestream.monitoring.drift_psi import noise_threshold, psi
from deepfakestream.monitoring.drift_report import ColumnDrift
from deepfakestream.monitoring.embedding_drift import EmbeddingDrift
from deepfakestream.monitoring.params import DriftParams

PARAMS = DriftParams()
NUM_REFERENCE, NUM_DRAWS = 400, 20
SHARES = (0.0, 0.25, 0.5, 1.0)
QUALITY = 90
NUM_OTHER_COLUMNS = 9
"""Columns of a check besides the three here; they do not drift."""


def blurred(bgr: RGBImage) -> RGBImage:
    return cv2.GaussianBlur(bgr, (0, 0), 1.0)


def darkened(bgr: RGBImage) -> RGBImage:
    return (bgr * 0.6).astype(np.uint8)


CHANGES: dict[str, tuple[Callable[[RGBImage], RGBImage], int]] = {
    "JPEG 30": (lambda bgr: bgr, 30),
    "JPEG 50": (lambda bgr: bgr, 50),
    "blur of 1 px": (blurred, QUALITY),
    "luma x 0.6": (darkened, QUALITY),
}


def features(bgr: RGBImage, quality: int) -> dict[str, float]:
    """Return what the check knows of a picture that a client sends with this JPEG quality."""
    content = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    rgb = cv2.cvtColor(cv2.imdecode(content, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    bits = 8.0 * len(content) / (rgb.shape[0] * rgb.shape[1])
    return {"sharpness": sharpness(rgb), "luma": luma(rgb), "coded_bits_per_px": bits}


def status(window: pd.DataFrame, reference: pd.DataFrame) -> str:
    columns = []
    for name in reference:
        threshold = max(
            PARAMS.num_threshold, noise_threshold(window[name], reference[name], kind="numerical", seed=0)
        )
        value = psi(window[name], reference[name], kind="numerical")
        columns.append(
            ColumnDrift(
                name=name, kind="numerical", value=value, threshold=threshold, drifted=value >= threshold
            )
        )
    columns += [ColumnDrift(name="other", kind="numerical", value=0.0, drifted=False)] * NUM_OTHER_COLUMNS
    return judge(tuple(columns), EmbeddingDrift(), PARAMS)[0]


@pytest.mark.bench
@pytest.mark.devdata
def test_changes_by_their_share_of_traffic(devdata) -> None:
    pictures = []
    with tarfile.open(sorted((devdata / "dfdc-faces").glob("train-*.tar"))[0]) as archive:
        for member in archive:
            if member.name.endswith(".jpg") and len(pictures) < 1200:
                data = np.frombuffer(archive.extractfile(member).read(), np.uint8)
                pictures.append(cv2.imdecode(data, cv2.IMREAD_COLOR))
    random.Random(7).shuffle(pictures)
    plain = pd.DataFrame([features(picture, QUALITY) for picture in pictures])
    reference, pool = plain[:NUM_REFERENCE], plain[NUM_REFERENCE:].reset_index(drop=True)
    found: dict[tuple[str, float], float] = {}
    for name, (change, quality) in CHANGES.items():
        changed = pd.DataFrame([features(change(each), quality) for each in pictures[NUM_REFERENCE:]])
        for share in SHARES:
            rng = np.random.default_rng(1)
            drifted = []
            for _ in range(NUM_DRAWS):
                rows = rng.permutation(len(pool))[: PARAMS.window_size]
                num_changed = round(share * len(rows))
                window = pd.concat([changed.loc[rows[:num_changed]], pool.loc[rows[num_changed:]]])
                drifted.append(status(window, reference) == "drift")
            found[name, share] = float(np.mean(drifted))
            sys.stdout.write(f"{name}, {share:.0%} of traffic: found in {found[name, share]:.0%}\n")
    assert max(rate for (_, share), rate in found.items() if share == 0.0) <= 0.05
    assert min(rate for (name, share), rate in found.items() if share == 1.0) >= 0.95
