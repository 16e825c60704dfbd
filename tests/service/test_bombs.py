"""Many small files that cost much, from several clients at once, and one client that sends good images."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from crafted_media import gif_of_dots, jpeg_of_scans, movie_of_samples, png_of_chunks, png_that_unpacks
from real_service import RealService

from deepfakestream.service.runtime import SCAN_TIMEOUT_S

pytestmark = pytest.mark.slow
NUM_ATTACKERS = 4
REFUSALS = {400, 415, 422, 503}
PATIENCE_S = 600.0
GROWTH_BYTES = 768 << 20
"""Room for what allocators keep; one of these files takes more than that while it is read."""


def post(service: RealService, route: str, path: Path) -> httpx.Response:
    with path.open("rb") as file:
        return httpx.post(service.url + route, files={"file": (path.name, file)}, timeout=PATIENCE_S)


def await_end(service: RealService, analysis_id: str) -> str:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        status = str(httpx.get(f"{service.url}/v1/analyses/{analysis_id}", timeout=60).json()["status"])
        if status in {"succeeded", "failed"}:
            return status
        time.sleep(0.5)
    raise AssertionError(status)


@pytest.fixture
def bombs(tmp_path: Path, face_clip: Path) -> dict[str, list[Path]]:
    """Crafted files by where they are sent to."""
    folder = tmp_path / "bombs"
    folder.mkdir()
    jpeg_of_scans(folder / "scans.jpg", 20_000)
    png_of_chunks(folder / "chunks.png", 1_200_000)
    png_that_unpacks(folder / "zeros.png")
    gif_of_dots(folder / "dots.gif", 19_999)
    movie_of_samples(face_clip, folder / "samples.mp4")
    images = [folder / name for name in ("scans.jpg", "zeros.png", "chunks.png", "samples.mp4")]
    return {"/v1/images": images, "/v1/videos": [folder / "dots.gif", folder / "samples.mp4"]}


def test_good_images_are_answered_while_others_send_crafted_files(
    serve: Callable[..., RealService], bombs: dict[str, list[Path]], astronaut_jpg: Path, face_clip: Path
) -> None:
    service = serve()
    assert await_end(service, post(service, "/v1/videos", face_clip).json()["id"]) == "succeeded"
    for _ in range(3):
        assert post(service, "/v1/images", astronaut_jpg).status_code == 200
    before, pids = service.memory_bytes(), {each.pid for each in service.processes()}
    answers: list[tuple[str, int]] = []

    def attack() -> None:
        answers.extend(
            (path.name, post(service, "/v1/images", path).status_code) for path in bombs["/v1/images"]
        )

    attackers = [threading.Thread(target=attack) for _ in range(NUM_ATTACKERS)]
    videos = [post(service, "/v1/videos", path).json()["id"] for path in bombs["/v1/videos"]]
    for thread in attackers:
        thread.start()
    times_s = []
    while any(thread.is_alive() for thread in attackers):
        began_at = time.monotonic()
        response = post(service, "/v1/images", astronaut_jpg)
        times_s.append(time.monotonic() - began_at)
        assert response.status_code == 200, (response.text, answers)
        assert httpx.get(f"{service.url}/livez", timeout=60).status_code == 200
    assert max(times_s) < SCAN_TIMEOUT_S
    assert len(answers) == NUM_ATTACKERS * len(bombs["/v1/images"])
    assert {status for name, status in answers if name != "zeros.png"} <= REFUSALS
    assert {status for name, status in answers if name == "zeros.png"} <= {200, *REFUSALS}
    assert [await_end(service, each) for each in videos][-1] == "failed"
    assert pids <= {each.pid for each in service.processes()}, "a process was lost"
    deadline = time.monotonic() + PATIENCE_S
    while service.memory_bytes() > before + GROWTH_BYTES and time.monotonic() < deadline:
        time.sleep(1)
    assert service.memory_bytes() <= before + GROWTH_BYTES
    assert httpx.get(f"{service.url}/readyz", timeout=60).status_code == 200
