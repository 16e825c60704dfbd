"""Section `serve` of params.yaml."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from deepfakestream.sections import Positive, Section


class ServeParams(Section):
    """Budgets of one request and the operating point of a verdict."""

    operating_point: Literal["balanced", "low_fpr", "high_recall"] = "balanced"
    max_image_bytes: Positive = 20_971_520
    max_video_bytes: Positive = 262_144_000
    max_duration_s: float = Field(600.0, gt=0.0)
    max_pixels: Positive = 40_000_000
    max_concurrency: Positive = 8
    max_uploads: Positive = 32
    max_uploads_per_client: Positive = 8
    min_upload_bytes_s: Positive = 16_384
    max_queued: Positive = 200
    max_queued_per_client: Positive = 50
    job_timeout_s: float = Field(900.0, gt=0.0)
    media_kept_h: float = Field(24.0, ge=0.0)
    result_kept_h: float = Field(720.0, gt=0.0)
    predictions_kept_d: float = Field(0.0, ge=0.0)
