"""Section `validate` of params.yaml."""

from __future__ import annotations

from deepfakestream.sections import Positive, Section, Share


class Quantiles(Section):
    """Least and greatest value that the 5 %, 50 % and 95 % quantile of a column may have."""

    p05: tuple[float, float]
    p50: tuple[float, float]
    p95: tuple[float, float]


class ValidateParams(Section):
    """Bounds that a dataset must keep before a model is trained on it."""

    min_items: Positive = 6
    min_groups_per_split: Positive = 1
    max_share_without_face: Share = 0.3
    fake_share: tuple[Share, Share] = (0.05, 0.95)
    method_items: tuple[Positive, Positive] = (2, 10_000_000)
    min_face_px: Positive = 24
    luma: tuple[float, float] = (8.0, 247.0)
    min_sharpness: float = 1.0
    face_px_quantiles: Quantiles = Quantiles(p05=(24, 4000), p50=(40, 4000), p95=(40, 8000))
    luma_quantiles: Quantiles = Quantiles(p05=(15, 200), p50=(40, 220), p95=(60, 245))
    sharpness_quantiles: Quantiles = Quantiles(p05=(2, 2000), p50=(5, 4000), p95=(8, 20000))
    max_duplicate_share: Share = 0.05
    near_duplicate_similarity: Share = 0.85
    max_near_duplicate_share: Share = 0.05
    shortcut_auc: tuple[Share, Share] = (0.7, 0.9)
