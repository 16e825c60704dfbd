"""Hand-written stand-ins for the model side of the service, and real small uploads."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry
from starlette.testclient import TestClient

from deepfakestream.errors import DataError, MediaError, Reason, ServerError, WeightsError, WrongKindError
from deepfakestream.faces.types import Detection, ExtractionSpec
from deepfakestream.media.reader import probe
from deepfakestream.media.types import MediaBudget, MediaKind, RGBImage
from deepfakestream.model.scorer import ModelInfo
from deepfakestream.model.spec import (
    AggregationSpec,
    CalibrationSpec,
    DetectorSpec,
    NetworkSpec,
    NormalisationSpec,
    OperatingPoint,
)
from deepfakestream.scan.result import MediaFacts, ScanResult
from deepfakestream.service.admission import Admission
from deepfakestream.service.app import create_app
from deepfakestream.service.metrics import ServiceMetrics
from deepfakestream.service.model_source import ModelChoice
from deepfakestream.service.runtime import Runtime
from deepfakestream.settings import Settings

POINT = OperatingPoint(threshold=0.7, inconclusive_from=0.4, fpr=0.05, tpr=0.8, measured_on="val, 40 files")
SPEC = DetectorSpec(
    network=NetworkSpec(variant="dual", backbone="none", global_pool="avg", drop_rate=0.0),
    normalisation=NormalisationSpec(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)),
    extraction=ExtractionSpec(
        detector="fake", num_frames=4, min_face_px=10, min_score=0.5, max_faces_per_frame=4,
        crop_scale=1.0, crop_size_px=16,
    ),
    aggregation=AggregationSpec(frames="mean", tracks="max", min_track_frames=1),
    calibration=CalibrationSpec(slope=1.0, intercept=0.0),
    operating_points={"balanced": POINT},
    trained_on="nothing",
)  # fmt: skip


GIVES_NAN, DEPENDS_ON_BATCH = "66", "67"
"""Versions of models that the canary must refuse."""


@dataclass
class StubScorer:
    """Scores every crop with its version number, but for the versions that misbehave."""

    version: str
    spec: DetectorSpec = SPEC

    def logits(self, crops: NDArray[np.uint8], /) -> NDArray[np.float32]:
        if self.version == GIVES_NAN:
            return np.full(len(crops), np.nan, np.float32)
        if self.version == DEPENDS_ON_BATCH:
            return np.full(len(crops), len(crops), np.float32)
        return np.full(len(crops), float(self.version), np.float32)


class BlindDetector:
    """Sees no face."""

    name = "blind"
    digest = "00"

    def detect(self, images: Sequence[RGBImage]) -> list[list[Detection]]:
        return [[] for _ in images]


class StubEngine:
    """Answers by the first pixel's red: 0 no face, else that share as p_fake.

    It waits until `hold` is set, and for clips until `hold_clips` is.
    """

    operating_point = "balanced"

    def __init__(self, version: str, hold: threading.Event, hold_clips: threading.Event) -> None:
        self.model = ModelInfo(name="stub", version=version, weights_sha256="ff" + version)
        self.scorer = StubScorer(version)
        self.detector = BlindDetector()
        self._hold = hold
        self._hold_clips = hold_clips

    def scan(self, path: Path, *, name: str, times: dict[str, float], kind: MediaKind) -> ScanResult:
        with suppress(MediaError):
            found = probe(path, MediaBudget()).kind
            if found != kind:
                raise WrongKindError(found=found, expected=kind)
        assert self._hold.wait(timeout=20)
        times["extract"] = 0.25
        content = path.read_bytes()
        if not content:
            return self._result(name, None, (Reason.EMPTY_FILE,), media=False)
        image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
        assert image is not None or self._hold_clips.wait(timeout=20)
        if image is None and b"ftyp" not in content[:64]:
            return self._result(name, None, (Reason.UNREADABLE,), media=False)
        red = 128 if image is None else int(image[0, 0, 2])
        if red == 1:
            raise WeightsError("the model gave a score that is not a number")
        if red == 2:
            raise RuntimeError("a bug")
        return self._result(name, red / 255, ()) if red else self._result(name, None, (Reason.NO_FACE,))

    def _result(
        self, name: str, p_fake: float | None, reasons: tuple[Reason, ...], *, media: bool = True
    ) -> ScanResult:
        facts = MediaFacts(
            sha256="cd", kind="image", codec="png", width_px=8, height_px=8, size_bytes=9,
            duration_s=None, fps=None, frames_searched=1,
        )  # fmt: skip
        return ScanResult(
            file=name, verdict="not_applicable" if p_fake is None else "likely_fake", p_fake=p_fake,
            interval=None, reasons=reasons, tracks=(), model=self.model, operating_point="balanced",
            threshold=POINT, media=facts if media else None, features={}, message=f"{name}: said",
        )  # fmt: skip


@dataclass
class FakeSource:
    """A registry whose champion a test moves by hand."""

    version: str | None = "3"
    down: bool = False
    missing: set[str] = field(default_factory=set)
    folder: Path = Path("nowhere")
    disk_full: bool = False

    def champion(self) -> ModelChoice | None:
        if self.down:
            raise ServerError("http://registry: does not answer; start it")
        return None if self.version is None else ModelChoice(version=self.version, source="registry")

    def directory(self, choice: ModelChoice) -> Path:
        if choice.version in self.missing:
            raise DataError(f"the registry has no version {choice.version}")
        if self.disk_full:
            raise OSError(28, "No space left on device")
        return self.folder


@dataclass
class Service:
    """A running service and the knobs of what stands behind it."""

    client: TestClient
    runtime: Runtime
    source: FakeSource
    registry: CollectorRegistry
    hold: threading.Event
    hold_clips: threading.Event

    def post(self, route: str, content: bytes, **options: Any) -> Any:
        return self.client.post(route, files={"file": ("holiday.jpg", content, "image/jpeg")}, **options)

    def metric(self, name: str, /, **labels: str) -> float | None:
        return self.registry.get_sample_value(name, labels)


@pytest.fixture
def start_service(tmp_path: Path) -> Iterator[Callable[..., Service]]:
    """Starter of the service in this process, over stand-ins; stopped at the end of the test."""
    clients: list[TestClient] = []

    def start(
        *, source: FakeSource | None = None, scan_timeout_s: float = 20.0, wait: bool = True, **serve: object
    ) -> Service:
        params = Path("params.yaml").read_text(encoding="utf-8")
        for name, value in serve.items():
            line = next(line for line in params.splitlines() if line.strip().startswith(f"{name}:"))
            params = params.replace(line, f"  {name}: {value}")
        (tmp_path / "params.yaml").write_text(params, encoding="utf-8")
        source = source or FakeSource(folder=tmp_path)
        registry, hold, hold_clips = CollectorRegistry(), threading.Event(), threading.Event()
        hold.set()
        hold_clips.set()
        runtime = Runtime(
            settings=lambda: Settings(workspace=tmp_path, model_poll_s=3600.0),
            source=lambda _: source,
            open_engine=lambda _, version: StubEngine(version, hold, hold_clips),
            metrics=lambda: ServiceMetrics(registry),
            scan_timeout_s=scan_timeout_s,
        )
        app = Admission(
            create_app(runtime, docs_assets="static_content"),
            policy=lambda: runtime.policy,
            slots=runtime.slots,
            ready=lambda: runtime.ready,
            on_refusal=lambda kind: runtime.metrics.shed(kind),
        )
        client = TestClient(app)
        client.__enter__()
        clients.append(client)
        if wait:
            for _ in range(200):
                if runtime.ready:
                    break
                threading.Event().wait(0.02)
        return Service(client, runtime, source, registry, hold, hold_clips)

    yield start
    for client in clients:
        client.__exit__(None, None, None)


@pytest.fixture
def picture() -> Callable[[int], bytes]:
    """Maker of a PNG whose pixels all have the given red."""

    def make(red: int) -> bytes:
        image = np.zeros((8, 8, 3), np.uint8)
        image[..., 2] = red
        return bytes(cv2.imencode(".png", image)[1])

    return make


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A real MP4 of ten frames."""
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        for _ in range(10):
            frame = av.VideoFrame.from_ndarray(np.full((64, 64, 3), 90, np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path.read_bytes()
