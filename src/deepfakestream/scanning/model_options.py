"""The model that a command works with, and how it runs."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from deepfakestream.errors import ParamsError
from deepfakestream.media.types import MediaBudget
from deepfakestream.model.fused import DetectorChoice, tower_to_use
from deepfakestream.model.packaged import PACKAGED_VERSION, packaged_model_dir
from deepfakestream.scanning.engine import ScanEngine, open_engine

CUSTOM_VERSION = "unregistered"
"""Version that a model folder given by hand has in results."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelOptions:
    """Options of the commands that score files."""

    detector: DetectorChoice = "fast"
    """`accurate` needs the tower; `auto` is `accurate` where the tower was fetched, else `fast`."""
    cache_dir: Path | None = None
    """Folder that the tower was fetched to; None: the user's cache folder."""
    model_dir: Path | None = None
    """Model folder; None: the model inside the package."""
    operating_point: str = "balanced"
    """Name of the threshold, one of those that the model knows."""
    device: str = "auto"
    """auto, cpu or cuda."""
    detector_weights: Path | None = None
    """Checkpoint of RetinaFace ResNet-50, where the model asks for that detector."""
    budget: MediaBudget = field(default_factory=MediaBudget)
    """How much of a file is read at most."""

    def open(self) -> tuple[Path, ScanEngine]:
        """Return the folder of the model and an engine for it.

        Raises:
            ParamsError: there is no such folder, or the operating point is unknown.
            WeightsError: the model folder is incomplete or damaged.
        """
        if self.model_dir is None:
            directory, version = packaged_model_dir(), PACKAGED_VERSION
        elif self.model_dir.is_dir():
            directory, version = self.model_dir, CUSTOM_VERSION
        else:
            raise ParamsError(
                f"--model {self.model_dir}: no such folder; name a folder with model.safetensors and "
                "spec.json"
            )
        engine = open_engine(
            directory,
            version,
            operating_point=self.operating_point,
            device=self.device,
            detector_weights=self.detector_weights,
            budget=self.budget,
            tower=tower_to_use(directory, self.detector, self.cache_dir),
        )
        return directory, engine
