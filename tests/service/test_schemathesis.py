"""Requests made from the service's own OpenAPI document: no server error, and answers as documented."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
MAX_EXAMPLES = 8


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A running service with a worker."""
    workspace = tmp_path_factory.mktemp("workspace")
    shutil.copy("params.yaml", workspace / "params.yaml")
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    environment = os.environ | {
        "DEEPFAKESTREAM_WORKSPACE": str(workspace), "DEEPFAKESTREAM_SERVICE_PORT": str(port),
    }  # fmt: skip
    with (workspace / "log.txt").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "deepfakestream.cli", "serve"],
            cwd=workspace, env=environment, stdout=log, stderr=subprocess.STDOUT,
        )  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 120
        while True:
            assert time.monotonic() < deadline, (workspace / "log.txt").read_text()[-3000:]
            try:
                if httpx.get(f"{url}/readyz", timeout=2).status_code == 200:
                    break
            except httpx.TransportError:
                pass
            time.sleep(0.3)
        yield url
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(timeout=60)


@pytest.fixture(scope="module")
def files(astronaut_jpg: Path, face_clip: Path) -> list[bytes]:
    """Real files, cut ones, and none."""
    image, clip = astronaut_jpg.read_bytes(), face_clip.read_bytes()
    return [image, clip, image[:2000], clip[: len(clip) // 2], b"", b"no media"]


@pytest.fixture(scope="module")
def analysis_id(address: str, face_clip: Path) -> str:
    """An analysis that is there, so that its parts can be asked for."""
    with face_clip.open("rb") as file:
        response = httpx.post(f"{address}/v1/videos?pictures=true", files={"file": file}, timeout=60)
    found = str(response.json()["id"])
    for _ in range(200):
        if httpx.get(f"{address}/v1/analyses/{found}", timeout=30).json()["status"] == "succeeded":
            return found
        time.sleep(0.5)
    pytest.fail("the video was not scanned")


def operations(address: str) -> Any:
    return schemathesis.openapi.from_url(f"{address}/openapi.json")


def test_every_operation(address: str, files: list[bytes], analysis_id: str) -> None:
    for media_type in ("image/jpeg", "image/png", "image/webp", "video/mp4", "video/webm", "video/quicktime"):
        schemathesis.openapi.media_type(media_type, st.sampled_from(files))
    schemathesis.openapi.media_type("application/octet-stream", st.sampled_from(files))
    schema = operations(address)
    (face,) = httpx.get(f"{address}/v1/analyses/{analysis_id}/frames?limit=1", timeout=30).json()["items"]
    real = {"analysis_id": analysis_id, "frame": face["frame"], "track_id": face["track_id"]}
    statuses: dict[str, Counter[int]] = {}
    for result in schema.get_all_operations():
        operation = result.ok()
        statuses[f"{operation.method.upper()} {operation.path}"] = run(operation, files, real)
    assert len(statuses) >= 20, statuses
    # Or nothing but refusals was tested.
    assert {name for name, seen in statuses.items() if min(seen) >= 300} <= {
        "DELETE /v1/analyses/{analysis_id}",
        "GET /v1/models/{version}/card",
        # Drawing takes minutes, so no heat map is there.
        "POST /v1/analyses/{analysis_id}/heatmaps",
        "GET /v1/analyses/{analysis_id}/heatmaps/{number}/{map_number}.png",
    }


def run(operation: Any, files: list[bytes], real: dict[str, Any]) -> Counter[int]:
    """Call an operation with made-up values, half of them about a real analysis, and count statuses.

    `real` holds values of path parameters: an analysis, and a face in it.
    """
    seen: Counter[int] = Counter()

    @settings(
        max_examples=MAX_EXAMPLES,
        deadline=None,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    @schemathesis_case(operation)
    def call(case: Any, number: int) -> None:
        has_id = "analysis_id" in (case.path_parameters or {}) and operation.method != "delete"
        if has_id and number % 2:
            case.path_parameters |= {name: real[name] for name in case.path_parameters if name in real}
        if "prediction_id" in str(case.body) and number % 2:
            case.body["prediction_id"] = real["analysis_id"]
        if case.media_type == "multipart/form-data":
            case.body = {"file": files[number % len(files)]}
        response = case.call(timeout=120)
        seen[response.status_code] += 1
        case.validate_response(response, checks=CHECKS)

    call()
    return seen


def schemathesis_case(operation: Any) -> Any:
    from hypothesis import given

    return given(case=operation.as_strategy(), number=st.integers(0, 5))
