"""The Python API: `open_model` and `scan`, importable from `deepfakestream` itself.

```python
from deepfakestream import open_model, scan

result = scan("clip.mp4")
print(result.verdict, result.p_fake)

model = open_model(operating_point="low_fpr")
for result in model.scan_many(["a.jpg", "b.mp4"]):
    print(result.file, result.verdict, result.reasons)
```
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path

from deepfakestream.media.types import MediaBudget
from deepfakestream.model.fused import DetectorChoice
from deepfakestream.model.scorer import ModelInfo
from deepfakestream.model.spec import OperatingPoint
from deepfakestream.scanning.engine import ScanEngine
from deepfakestream.scanning.model_options import ModelOptions
from deepfakestream.scanning.result import ScanResult

__all__ = ["Model", "ScanResult", "open_model", "scan"]
FilePath = str | os.PathLike[str]
OnProgress = Callable[[int, int], None]
"""Is called with how much is done and how much there is in all."""


class Model:
    """A loaded detector. Several threads may use it at the same time."""

    def __init__(self, engine: ScanEngine) -> None:
        self._engine = engine

    @property
    def info(self) -> ModelInfo:
        """Name, version and SHA-256 of the model."""
        return self._engine.model

    @property
    def threshold(self) -> OperatingPoint:
        """The threshold in force, with the rates that were measured at it."""
        return self._engine.threshold

    def scan(self, path: FilePath, *, on_progress: OnProgress | None = None) -> ScanResult:
        """Return the verdict on one image or video.

        A file that cannot be read raises nothing: its verdict is `not_applicable`; `reasons` and `message`
        say why.

        Args:
            path: the file.
            on_progress: is called with the frames that were searched for faces, and how many are searched at
                most. An image is one frame; a short video has fewer frames than that.

        Raises:
            WeightsError: the model gave a score that is not a number.
        """
        if on_progress is None:
            return self._engine.scan(Path(path))
        total = self._engine.scorer.spec.extraction.num_frames
        return self._engine.scan(Path(path), on_searched=lambda done: on_progress(done, total))

    def scan_many(
        self, paths: Iterable[FilePath], *, on_progress: OnProgress | None = None
    ) -> Iterator[ScanResult]:
        """Yield the verdict on each file, in the given order, each as soon as it is there.

        Args:
            paths: the files.
            on_progress: is called after each file with the files that are done, and how many there are.

        Raises:
            WeightsError: the model gave a score that is not a number.
        """
        files = [Path(path) for path in paths]
        for done, path in enumerate(files, 1):
            yield self._engine.scan(path)
            if on_progress is not None:
                on_progress(done, len(files))


def open_model(
    model_dir: FilePath | None = None,
    *,
    operating_point: str = "balanced",
    detector: DetectorChoice = "auto",
    cache_dir: FilePath | None = None,
    device: str = "auto",
    max_pixels: int = MediaBudget().max_pixels,
    retinaface_r50_weights: FilePath | None = None,
) -> Model:
    """Load a detector. Loading takes about a second; a scan of an image takes less.

    Example:
        >>> model = open_model(operating_point="low_fpr")
        >>> for result in model.scan_many(["face.jpg", "clip.mp4"]):
        ...     print(result.file, result.verdict, result.p_fake)
        face.jpg likely_real 0.057
        clip.mp4 likely_fake 0.981

    Args:
        model_dir: model folder; default: the model inside the package.
        operating_point: threshold of the verdicts: `balanced`, `low_fpr` or `high_recall`.
        detector: `fast`: the network alone; `accurate`: fused with the image tower, which was fetched with
            `deepfakestream model fetch accurate`; `auto`: `accurate` where it was.
        cache_dir: folder that the tower was fetched to; default: the user's cache folder.
        device: `auto`, `cpu` or `cuda`.
        max_pixels: pixels of a picture or frame above which a file is refused.
        retinaface_r50_weights: checkpoint of RetinaFace ResNet-50, where the model asks for that detector.

    Raises:
        ParamsError: the folder does not exist, the operating point is unknown, or there is no GPU.
        WeightsError: the model folder is incomplete or damaged, or the tower was not fetched.
    """
    options = ModelOptions(
        model_dir=None if model_dir is None else Path(model_dir),
        detector=detector,
        cache_dir=None if cache_dir is None else Path(cache_dir),
        operating_point=operating_point,
        device=device,
        detector_weights=None if retinaface_r50_weights is None else Path(retinaface_r50_weights),
        budget=MediaBudget(max_pixels=max_pixels),
    )
    return Model(options.open()[1])


def scan(path: FilePath, *, on_progress: OnProgress | None = None) -> ScanResult:
    """Return the verdict of the packaged model on one image or video; see `Model.scan`.

    The model is loaded at the first call and kept.

    Example:
        >>> result = scan("face.jpg")
        >>> print(result.verdict, result.message)
        likely_real Likely real: the score is 0.06 on a scale from 0 (real) to 1 (fake), and this model ...

    Args:
        path: the file.
        on_progress: is called with the frames that were searched, and how many are searched at most.
    """
    return _packaged_model().scan(path, on_progress=on_progress)


@cache
def _packaged_model() -> Model:
    return open_model()
