"""Every example of docs/API_DESIGN.md, run as a reader would: by bash and curl against a real service."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from real_service import RealService

EXAMPLES = re.findall(
    r"^```sh\n(.*?)^```", Path("docs/API_DESIGN.md").read_text(encoding="utf-8"), re.M | re.S
)
ADDRESS = "http://127.0.0.1:3000"


def test_there_are_examples_and_they_are_checked_for_failures() -> None:
    assert len(EXAMPLES) >= 10
    text = "".join(EXAMPLES)
    assert text.count("curl ") == text.count("--fail-with-body")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_every_example_runs(
    serve: Callable[..., RealService], tmp_path: Path, astronaut_jpg: Path, face_clip: Path
) -> None:
    if shutil.which("jq") is None:
        pytest.skip("the examples need jq; apt-get install jq")
    shutil.copy(astronaut_jpg, tmp_path / "face.jpg")
    shutil.copy(face_clip, tmp_path / "clip.mp4")
    script = "set -euo pipefail\nset -x\n" + "\n".join(EXAMPLES).replace(ADDRESS, serve().url)
    done = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=500, check=False
    )
    assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    assert (tmp_path / "report.pdf").read_bytes().startswith(b"%PDF-")
    assert "likely" in (tmp_path / "report.html").read_text(encoding="utf-8").lower()
    first, second = re.findall(r"^(an_[0-9a-f]{32})$", done.stdout, re.M)[:2]
    assert first == second  # the two attempts with one Idempotency-Key
