"""How the service and its workers open a model: budgets and operating point from `params.yaml`."""

from __future__ import annotations

import sys
from pathlib import Path

from deepfakestream.media.isolated import IsolatedDecoding
from deepfakestream.media.reader import open_media
from deepfakestream.media.types import MediaBudget
from deepfakestream.model.fused import tower_to_use
from deepfakestream.scanning.engine import ScanEngine, open_engine
from deepfakestream.service.models import EngineFactory
from deepfakestream.service.params import ServeParams
from deepfakestream.settings import Settings

IMAGE_DECODE_S = 20.0
"""Longest time that decoding an image may take: it holds a thread of the service, for which others wait."""
VIDEO_DECODE_S = 60.0


def media_budget(params: ServeParams, decode_s: float) -> MediaBudget:
    """Return what decoding one file may cost.

    Args:
        params: section `serve`.
        decode_s: longest time.
    """
    return MediaBudget(
        max_pixels=params.max_pixels, max_duration_s=params.max_duration_s, max_wall_s=decode_s
    )


def decoding_of(settings: Settings) -> IsolatedDecoding | None:
    """Return what reads media in processes of their own; None where settings or system do without."""
    if settings.decoding == "inline" or sys.platform != "linux":
        return None
    return IsolatedDecoding(memory_mb=settings.decoder_memory_mb)


def engine_factory(
    settings: Settings, budget: MediaBudget, operating_point: str, decoding: IsolatedDecoding | None
) -> EngineFactory:
    """Return what opens the engine of a model folder and version.

    Args:
        settings: of the workspace.
        budget: what decoding one file may cost.
        operating_point: name of the thresholds.
        decoding: reads media; None: the process itself does.
    """

    def open_one(directory: Path, version: str) -> ScanEngine:
        return open_engine(
            directory,
            version,
            operating_point=operating_point,
            device=settings.device,
            detector_weights=settings.retinaface_r50_weights,
            budget=budget,
            opens=open_media if decoding is None else decoding.open,
            tower=tower_to_use(directory, settings.detector, settings.cache_dir),
        )

    return open_one
