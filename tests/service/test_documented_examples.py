"""Every example of docs/API_DESIGN.md, run as a reader would: by bash and curl against a real service."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

EXAMPLES = re.findall(
    r"^```sh\n(.*?)^```", Path("docs/API_DESIGN.md").read_text(encoding="utf-8"), re.M | re.S
)
ADDRESS = "http://127.0.0.1:3000"


def test_there_are_examples_and_they_are_checked_for_failures() -> None:
    assert len(EXAMPLES) >= 10
    text = "".join(EXAMPLES)
    assert text.count("curl ") == text.count("--fail-with-body")


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    shutil.copy("params.yaml", tmp_path / "params.yaml")
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    environment = os.environ | {
        "DEEPFAKESTREAM_WORKSPACE": str(tmp_path), "DEEPFAKESTREAM_SERVICE_PORT": str(port),
    }  # fmt: skip
    with (tmp_path / "log.txt").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "deepfakestream.cli", "serve"],
            cwd=tmp_path, env=environment, stdout=log, stderr=subprocess.STDOUT,
        )  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 120
        while True:
            assert time.monotonic() < deadline, (tmp_path / "log.txt").read_text()[-3000:]
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


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_every_example_runs(address: str, tmp_path: Path, astronaut_jpg: Path, face_clip: Path) -> None:
    if shutil.which("jq") is None:
        pytest.skip("the examples need jq; apt-get install jq")
    shutil.copy(astronaut_jpg, tmp_path / "face.jpg")
    shutil.copy(face_clip, tmp_path / "clip.mp4")
    script = "set -euo pipefail\nset -x\n" + "\n".join(EXAMPLES).replace(ADDRESS, address)
    done = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=500, check=False
    )
    assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    assert (tmp_path / "report.pdf").read_bytes().startswith(b"%PDF-")
    assert "likely" in (tmp_path / "report.html").read_text(encoding="utf-8").lower()
    first, second = re.findall(r"^(an_[0-9a-f]{32})$", done.stdout, re.M)[:2]
    assert first == second  # the two attempts with one Idempotency-Key
