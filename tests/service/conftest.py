"""Hand-written stand-ins for the model side of the service, and real small uploads."""

from __future__ import annotations

import shutil
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
from media_info import info_of
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry
from real_service import RealService, free_port
from starlette.testclient import TestClient

from deepfakestream.errors import DataError, MediaError, Reason, ServerError, WeightsError, WrongKindError
from deepfakestream.faces.types import Detection, ExtractionSpec
from deepfakestream.media.types import MediaKind, RGBImage
from deepfakestream.model.scorer import ModelInfo
from deepfakestream.model.spec import (
    AggregationSpec,
    CalibrationSpec,
    DetectorSpec,
    NetworkSpec,
    NormalisationSpec,
    OperatingPoint,
)
from deepfakestream.scanning.result import (
    Coverage,
    FaceScore,
    MediaFacts,
    NotScored,
    ScanResult,
    TrackResult,
)
from deepfakestream.service.admission import Admission
from deepfakestream.service.app import create_app
from deepfakestream.service.metrics import ServiceMetrics
from deepfakestream.service.model_source import ModelChoice
from deepfakestream.service.runtime import Runtime
from deepfakestream.service.scanner import ScannerLost, TaskDropped, TaskProgress
from deepfakestream.service.worker import Worker
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
    wide_scale: None = None

    @property
    def fast(self) -> StubScorer:
        return self

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

    It sets `entered`, and waits until `hold` is set, and for clips until `hold_clips` is.
    """

    operating_point = "balanced"

    def __init__(self, version: str, hold: threading.Event, hold_clips: threading.Event) -> None:
        self.model = ModelInfo(name="stub", version=version, weights_sha256="ff" + version)
        self.scorer = StubScorer(version)
        self.detector = BlindDetector()
        self.entered = threading.Event()
        self._hold = hold
        self._hold_clips = hold_clips

    def scan(
        self, path: Path, *, name: str, times: dict[str, float], kind: MediaKind, **_: Any
    ) -> ScanResult:
        with suppress(MediaError):
            found = info_of(path).kind
            if found != kind:
                raise WrongKindError(found=found, expected=kind)
        self.entered.set()
        assert self._hold.wait(timeout=120)
        times["extract"] = 0.25
        content = path.read_bytes()
        if not content:
            return self._result(name, None, (Reason.EMPTY_FILE,), kind=kind, media=False)
        image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
        assert image is not None or self._hold_clips.wait(timeout=120)
        if image is None and b"ftyp" not in content[:64]:
            return self._result(name, None, (Reason.UNREADABLE,), kind=kind, media=False)
        red = 128 if image is None else int(image[0, 0, 2])
        if red == 1:
            raise WeightsError("the model gave a score that is not a number")
        if red == 3:
            raise ServerError("the processes that read media ended")
        if red == 2:
            raise RuntimeError("a bug")
        p_fake = red / 255 if red else None
        return self._result(name, p_fake, () if red else (Reason.NO_FACE,), kind=kind)

    def _result(
        self,
        name: str,
        p_fake: float | None,
        reasons: tuple[Reason, ...],
        *,
        kind: MediaKind,
        media: bool = True,
    ) -> ScanResult:
        is_video = kind == "video"
        facts = MediaFacts(
            sha256="cd", kind=kind, codec="png", width_px=8, height_px=8, size_bytes=9,
            duration_s=10.0 if is_video else None, fps=25.0 if is_video else None, frames_searched=6,
        )  # fmt: skip
        times = [0.0, 2.0, 4.0] if is_video else [0.0]
        faces = tuple(
            FaceScore(time_s=time, box_xyxy=(1, 2, 3, 4), p_fake=p_fake or 0.0, frame=number)
            for number, time in enumerate(times)
        )
        track = TrackResult(
            track_id=0, start_s=0.0, end_s=times[-1], p_fake=p_fake or 0.0, num_frames=len(times),
            median_face_px=40.0, faces=faces,
        )  # fmt: skip
        missing = NotScored(start_s=5.0, end_s=10.0, reason=Reason.NO_FACE)
        coverage = Coverage(
            frames_searched=6, frames_scored=3, seconds_between_frames=2.0, scored_s=5.0, not_scored_s=5.0,
            not_scored=(missing,),
        )  # fmt: skip
        return ScanResult(
            file=name, verdict="not_applicable" if p_fake is None else "likely_fake", p_fake=p_fake,
            interval=None, reasons=reasons, tracks=() if p_fake is None else (track,), model=self.model,
            operating_point="balanced", threshold=POINT, media=facts if media else None,
            coverage=coverage if is_video and media else None, features={}, message=f"{name}: said",
        )  # fmt: skip


class StubScanner:
    """Does a worker's tasks in its own thread, with the stand-in of the model."""

    def __init__(self, engine: StubEngine, hold_maps: threading.Event) -> None:
        self._engine = engine
        self._hold_maps = hold_maps
        self.is_drawing = threading.Event()
        self.failures: list[dict[str, Any] | Exception] = []
        """What the next runs end with, one each."""

    def run(self, task: dict[str, Any], *, timeout_s: float, keep: Callable[..., bool]) -> dict[str, Any]:
        if not keep(TaskProgress("extract", 2, 6)):
            raise TaskDropped
        if self.failures:
            failure = self.failures.pop(0)
            if isinstance(failure, Exception):
                raise failure
            return failure
        if task["task"] == "explain":
            self.is_drawing.set()
            assert self._hold_maps.wait(timeout=120)
            return self._explain(Path(task["folder"]), task["version"], task["face"])
        if Path(task["path"]).read_bytes().endswith(b"breaks"):
            raise ScannerLost
        times: dict[str, float] = {}
        try:
            result = self._engine.scan(Path(task["path"]), name="upload", times=times, kind=task["kind"])
        except WrongKindError as error:
            return {"wrong_kind": error.found}
        if not keep(TaskProgress("score", 6, 6)):
            raise TaskDropped
        if task["pictures"]:
            for name in ("picture-frame-0.jpg", "picture-face-0-0.png", "picture-noise-0-0.png"):
                (Path(task["folder"]) / name).write_bytes(name.encode())
        return {"answer": {"result": result.model_dump(mode="json"), "timings_ms": {"total": 9.0}}}

    def stop(self) -> None:
        pass

    def _explain(self, folder: Path, version: str, face: tuple[int, int] | None) -> dict[str, Any]:
        frame, track = face or (1, 0)
        picture = cv2.imencode(".png", np.full((8, 8, 3), frame, np.uint8))[1].tobytes()
        for name in ("face-01.png", "face-01-map-1.png"):
            (folder / name).write_bytes(picture)
        drawn = {
            "method": "Grad-CAM", "stream": "rgb", "faithful": False, "random_maps_beaten": 3,
            "random_maps": 20, "energy_inside_face": 0.5, "jpeg_stability": None, "cells": [[0.1]],
            "picture": "face-01-map-1.png", "warnings": ["a warning <b>"],
        }  # fmt: skip
        record = {
            "picture": "face-01.png", "frame_index": frame, "track_id": track, "time_s": 2.0, "p_fake": 0.8,
            "model_version": version, "logit_by_stream": {"rgb": 0.5, "bias": -0.1}, "maps": [drawn],
        }  # fmt: skip
        return {"answer": {"faces": [record]}}


@dataclass
class FakeSource:
    """A registry whose champion a test moves by hand."""

    version: str | None = "3"
    down: bool = False
    missing: set[str] = field(default_factory=set)
    folder: Path = Path("nowhere")
    disk_full: bool = False
    answered_last: ModelChoice | None = None

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

    def kept(self) -> ModelChoice | None:
        return self.answered_last

    def keep(self, choice: ModelChoice, directory: Path) -> None:
        self.answered_last = choice if choice.source == "registry" else self.answered_last


@dataclass
class Service:
    """A running service and the knobs of what stands behind it."""

    client: TestClient
    runtime: Runtime
    source: FakeSource
    registry: CollectorRegistry
    hold: threading.Event
    hold_clips: threading.Event
    hold_maps: threading.Event
    scanner: StubScanner
    drawer: StubScanner
    worker: Worker

    def post(self, route: str, content: bytes, **options: Any) -> Any:
        return self.client.post(route, files={"file": ("holiday.jpg", content, "image/jpeg")}, **options)

    def finished(self, route: str, content: bytes, **options: Any) -> dict[str, Any]:
        """Send a clip, wait for its end, and return the analysis."""
        response = self.post(route, content, **options)
        assert response.status_code == 202, response.text
        return self.wait_for(response.json()["id"])

    def wait_for(self, analysis_id: str, *, heatmaps: bool = False) -> dict[str, Any]:
        for _ in range(400):
            found: dict[str, Any] = self.client.get(f"/v1/analyses/{analysis_id}").json()
            if found["progress"] is None and (not heatmaps or found["heatmaps"] != "queued"):
                return found
            threading.Event().wait(0.05)
        raise AssertionError(found)

    def metric(self, name: str, /, **labels: str) -> float | None:
        return self.registry.get_sample_value(name, labels)

    def await_metric(self, value: float, name: str, /, **labels: str) -> None:
        """Wait until a metric, which is measured every second, has a value."""
        for _ in range(2400):
            if self.metric(name, **labels) == value:
                return
            threading.Event().wait(0.05)
        raise AssertionError(self.metric(name, **labels))


def wait_until(holds: Callable[[], bool]) -> None:
    for _ in range(400):
        if holds():
            return
        threading.Event().wait(0.05)


@pytest.fixture
def start_service(tmp_path: Path) -> Iterator[Callable[..., Service]]:
    """Starter of the service in this process, over stand-ins; stopped at the end of the test."""
    clients: list[TestClient] = []

    workers: list[tuple[Worker, threading.Thread]] = []

    def start(
        *,
        source: FakeSource | None = None,
        scan_timeout_s: float = 20.0,
        wait: bool = True,
        settings: dict[str, Any] | None = None,
        work: bool = True,
        **serve: object,
    ) -> Service:
        params = Path("params.yaml").read_text(encoding="utf-8")
        for name, value in serve.items():
            line = next(line for line in params.splitlines() if line.strip().startswith(f"{name}:"))
            params = params.replace(line, f"  {name}: {value}")
        (tmp_path / "params.yaml").write_text(params, encoding="utf-8")
        source = source or FakeSource(folder=tmp_path)
        registry = CollectorRegistry()
        hold, hold_clips, hold_maps = (threading.Event() for _ in range(3))
        for event in (hold, hold_clips, hold_maps):
            event.set()
        runtime = Runtime(
            settings=lambda: Settings(workspace=tmp_path, model_poll_s=3600.0, **(settings or {})),
            source=lambda _: source,
            open_engine=lambda _, version: StubEngine(version, hold, hold_clips),
            metrics=lambda: ServiceMetrics(registry),
            scan_timeout_s=scan_timeout_s,
        )
        app = Admission(create_app(runtime, docs_assets="static_content"), host=runtime)
        client = TestClient(app, base_url="http://127.0.0.1")
        client.__enter__()
        clients.append(client)
        if wait:
            wait_until(lambda: runtime.not_ready is None)
        scanner, drawer = (StubScanner(StubEngine("3", hold, hold_clips), hold_maps) for _ in range(2))
        worker = Worker(
            runtime.stores,
            scanner,  # type: ignore[arg-type]
            drawer,  # type: ignore[arg-type]
            job_timeout_s=20.0,
            allow_private_webhooks=True,
        )
        if work:
            workers.append((worker, threading.Thread(target=worker.run)))
            workers[-1][1].start()
        return Service(
            client, runtime, source, registry, hold, hold_clips, hold_maps, scanner, drawer, worker
        )

    yield start
    for worker, thread in workers:
        worker.stop()
        thread.join(timeout=30)
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


@pytest.fixture(scope="module")
def serve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., RealService]]:
    """Starter of a real service; `prepare` gets its folder first, the rest are environment variables."""
    services = []

    def start(prepare: Callable[[Path], object] = lambda _: None, **variables: str) -> RealService:
        folder = tmp_path_factory.mktemp("service")
        shutil.copy("params.yaml", folder / "params.yaml")
        prepare(folder)
        services.append(RealService(folder, free_port(), variables))
        services[-1].start()
        return services[-1]

    yield start
    for service in services:
        service.stop()
