"""Scores for face crops: ONNX Runtime on a CPU, PyTorch on a GPU, one interface.

PyTorch is imported for a GPU only: without it a scan starts several times faster and in a third of the
memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from deepfakestream.errors import WeightsError
from deepfakestream.faces.types import FaceCrop
from deepfakestream.frozen import Frozen
from deepfakestream.host.device import resolve_device
from deepfakestream.host.onnx_session import open_session
from deepfakestream.model.embedding import Embeddings, project
from deepfakestream.model.folder import ONNX_FILE, WEIGHTS_FILE, weights_sha256
from deepfakestream.model.spec import DetectorSpec, read_spec
from deepfakestream.model.tower.runtime import open_tower
from deepfakestream.model.tower.sources import tower_path

MODEL_NAME = "deepfakestream-detector"
GPU_BATCH_SIZE = 16
CPU_BATCH_SIZE = 4
"""With 16, a face takes a quarter more of the processor, and a scan twice the memory (docs/log.md)."""

Logits = NDArray[np.float32]
Crops = NDArray[np.uint8]


class Outputs(NamedTuple):
    """What a runtime gives for pixels."""

    logits: Logits
    """`(N,)`, higher for fakes."""
    features: NDArray[np.float32] | None = None
    """`(N, C)`, what the linear head saw; None: this runtime does not give it."""


class FaceScores(NamedTuple):
    """What a model says about faces."""

    logits: Logits
    """`(N,)`, higher for fakes."""
    embeddings: Embeddings | None = None
    """`(N, EMBEDDING_SIZE)` for the drift check; None: the model gives none."""


class Runtime(Protocol):
    """Maps pixels `(N, 3, S, S)`, float32, 0-255, to logits, and to features where it can."""

    def __call__(self, pixels: NDArray[np.float32], /) -> Outputs:
        """Return logits and features."""
        ...


class ModelInfo(Frozen):
    """Which model spoke."""

    name: str
    """Name in the registry."""
    version: str
    """Version in the registry; 0 is the model inside the package."""
    weights_sha256: str
    """SHA-256 of the weights."""
    detector: Literal["fast", "accurate"] = "fast"
    """`fast`: the network alone; `accurate`: fused with a tuned image tower."""


class CropScorer(Protocol):
    """Scores crops alone: the fast detector, and what evaluation and explanations work with."""

    @property
    def spec(self) -> DetectorSpec:
        """Everything besides weights that decides a verdict."""
        ...

    @property
    def info(self) -> ModelInfo:
        """Which model this is; version `0` is the one inside the package."""
        ...

    def logits(self, crops: Crops, /) -> Logits:
        """Return the logits `(N,)`, higher for fakes, of RGB crops `(N, S, S, 3)`; N may be 0."""
        ...

    def scores(self, crops: Crops, /) -> FaceScores:
        """Return logits and embeddings of RGB crops `(N, S, S, 3)`; N may be 0."""
        ...


class Scorer(Protocol):
    """A loaded detector, fast or accurate: scores the faces of a file, and says how to find and read them."""

    @property
    def spec(self) -> DetectorSpec:
        """Everything besides weights that decides a verdict."""
        ...

    @property
    def info(self) -> ModelInfo:
        """Which model this is; version `0` is the one inside the package."""
        ...

    @property
    def fast(self) -> CropScorer:
        """The network alone, with its own calibration: what explanations draw."""
        ...

    @property
    def wide_scale(self) -> float | None:
        """Side of the wider crops that it needs over the longer side of the box; None: it needs none."""
        ...

    def face_scores(self, crops: Sequence[FaceCrop], /) -> FaceScores:
        """Return logits and embeddings of the faces of one file; N may be 0."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class FaceScorer:
    """A loaded model on ONNX Runtime or PyTorch."""

    spec: DetectorSpec
    info: ModelInfo
    runtime: Runtime
    batch_size: int = CPU_BATCH_SIZE
    """Most crops that the runtime gets at a time."""
    wide_scale: None = None

    @property
    def fast(self) -> Self:
        """This scorer itself."""
        return self

    def face_scores(self, crops: Sequence[FaceCrop]) -> FaceScores:
        """Return logits and embeddings of the faces of one file; N may be 0."""
        if not crops:
            return FaceScores(np.empty(0, dtype=np.float32))
        return self.scores(np.stack([crop.rgb for crop in crops]))

    def logits(self, crops: Crops) -> Logits:
        """Return the logits `(N,)`, higher for fakes, of RGB crops `(N, S, S, 3)`; N may be 0.

        Raises:
            ValueError: the crops are not of the size that the spec asks for.
        """
        return self.scores(crops).logits

    def scores(self, crops: Crops) -> FaceScores:
        """Return logits and embeddings of RGB crops `(N, S, S, 3)`; N may be 0.

        Raises:
            ValueError: the crops are not of the size that the spec asks for.
        """
        size = self.spec.extraction.crop_size_px
        if crops.shape[1:] != (size, size, 3):
            raise ValueError(f"crops have shape {crops.shape[1:]}, the model takes ({size}, {size}, 3)")
        if not len(crops):
            return FaceScores(np.empty(0, dtype=np.float32))
        batches = [
            self.runtime(
                np.ascontiguousarray(crops[start : start + self.batch_size].transpose(0, 3, 1, 2), np.float32)
            )
            for start in range(0, len(crops), self.batch_size)
        ]
        features = [batch.features for batch in batches if batch.features is not None]
        embeddings = project(np.concatenate(features)) if features else None
        return FaceScores(np.concatenate([batch.logits for batch in batches]), embeddings)


def open_scorer(
    directory: Path, *, device: str = "auto", version: str = "0", tower: Path | None = None
) -> FaceScorer:
    """Return the model of a folder, ready to score.

    Args:
        directory: model folder.
        device: auto, cpu or cuda.
        version: what results call the model's version.
        tower: file with the image tower's weights, for the variant that is one; None: in the user's cache.

    Raises:
        WeightsError: a file of the folder is missing or damaged.
        ParamsError: a GPU was asked for and there is none.
    """
    spec = read_spec(directory)
    identity = ModelInfo(name=MODEL_NAME, version=version, weights_sha256=weights_sha256(directory))
    if resolve_device(device) == "cuda":
        runtime = _torch_runtime(directory, tower)
        return FaceScorer(spec=spec, info=identity, runtime=runtime, batch_size=GPU_BATCH_SIZE)
    if spec.network.variant == "tower":
        files = (directory / ONNX_FILE, directory / WEIGHTS_FILE, tower or tower_path(None))
        tower_logits = open_tower(*files)
        return FaceScorer(spec=spec, info=identity, runtime=lambda pixels: Outputs(tower_logits(pixels)))
    runtime = _onnx_runtime(directory / ONNX_FILE, size_px=spec.extraction.crop_size_px)
    return FaceScorer(spec=spec, info=identity, runtime=runtime)


def _onnx_runtime(path: Path, *, size_px: int) -> Runtime:
    session = _open_graph(path)
    pixels_in = session.get_inputs()[0]
    channels_and_size = [side for side in pixels_in.shape[1:] if isinstance(side, int)]
    if channels_and_size not in ([], [3, size_px, size_px]):
        raise WeightsError(
            f"{path}: takes pixels of shape {tuple(pixels_in.shape[1:])} but spec.json says crops of "
            f"{size_px} pixels; export the model folder again"
        )

    def run(pixels: NDArray[np.float32]) -> Outputs:
        logits, *views = session.run(None, {pixels_in.name: pixels})
        return Outputs(logits, np.mean(views, axis=0) if views else None)

    return run


def _open_graph(path: Path) -> Any:
    from deepfakestream.model.half_graph import single_precision_graph

    try:
        return open_session(single_precision_graph(path, with_features=True))
    except OSError as error:
        raise WeightsError(f"{path}: missing; export the model folder again") from error
    except Exception as error:
        raise WeightsError(
            f"{path}: not a graph that ONNX Runtime can load ({type(error).__name__}); "
            "export the model folder again"
        ) from error


def _torch_runtime(directory: Path, tower: Path | None) -> Runtime:
    import torch

    from deepfakestream.model.files import load_network

    network, _ = load_network(directory, tower=tower)
    network = network.cuda().to(memory_format=torch.channels_last)

    def run(pixels: NDArray[np.float32]) -> Outputs:
        with torch.inference_mode():
            features = network.features(torch.from_numpy(pixels).cuda())
            logits = network.judge_features(features)
        return Outputs(logits.float().cpu().numpy(), features.float().cpu().numpy())

    return run
