"""What is installed elsewhere: everything that the package needs, and nothing of the tests."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """A wheel built from a copy of the repository's files, so that no earlier build is mixed in."""
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    listed = ["git", "-C", str(ROOT), "ls-files", "-co", "--exclude-standard"]
    names = subprocess.run(listed, stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()
    for name in names:
        if (ROOT / name).exists():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, source / name, follow_symlinks=False)
    build = [sys.executable, "-m", "pip", "wheel", "-qq", "--no-deps", "--no-build-isolation"]
    subprocess.run([*build, "--wheel-dir", str(target), str(source)], check=True, timeout=250)
    return zipfile.ZipFile(next(target.glob("*.whl")))


def test_every_file_of_the_package_is_shipped(wheel: zipfile.ZipFile) -> None:
    package = ROOT / "src" / "deepfakestream"
    names = {
        f"deepfakestream/{path.relative_to(package).as_posix()}"
        for path in package.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert names - set(wheel.namelist()) == set()
    suffixes = {Path(name).suffix for name in names}
    assert {".onnx", ".safetensors", ".tflite", ".j2", ".in", ".typed"} <= suffixes


def test_files_are_whole(wheel: zipfile.ZipFile) -> None:
    """A link to a template must arrive as the file that it points at."""
    for name in (
        "pipeline/templates/params.yaml",
        "model/weights/model.onnx",
        "model/weights/model.safetensors",
    ):
        assert wheel.read(f"deepfakestream/{name}") == (ROOT / "src" / "deepfakestream" / name).read_bytes()


def test_flows_and_bentos_come_along_and_tests_do_not(wheel: zipfile.ZipFile) -> None:
    tops = {name.split("/")[0] for name in wheel.namelist() if ".dist-info" not in name}
    assert tops == {"deepfakestream", "flows", "bentos"}


def test_the_licence_and_the_command_are_there(wheel: zipfile.ZipFile) -> None:
    (info,) = {name.split("/")[0] for name in wheel.namelist() if ".dist-info" in name}
    assert "Apache License" in wheel.read(f"{info}/licenses/LICENSE").decode()
    assert "deepfakestream = deepfakestream.cli:main" in wheel.read(f"{info}/entry_points.txt").decode()
