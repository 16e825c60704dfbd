"""What is installed elsewhere: everything that the package needs, and nothing of the tests."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from deepfakestream.host.code_identity import folder_sha256

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def contents(wheel: Path) -> zipfile.ZipFile:
    return zipfile.ZipFile(wheel)


def test_every_file_of_the_package_is_shipped(contents: zipfile.ZipFile) -> None:
    package = ROOT / "src" / "deepfakestream"
    names = {
        f"deepfakestream/{path.relative_to(package).as_posix()}"
        for path in package.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert names - set(contents.namelist()) == set()
    suffixes = {Path(name).suffix for name in names}
    assert {".onnx", ".safetensors", ".tflite", ".j2", ".in", ".typed"} <= suffixes


def test_files_are_whole(contents: zipfile.ZipFile) -> None:
    """A link to a template must arrive as the file that it points at."""
    for name in (
        "pipeline/templates/params.yaml",
        "model/weights/model.onnx",
        "model/weights/model.safetensors",
    ):
        assert (
            contents.read(f"deepfakestream/{name}") == (ROOT / "src" / "deepfakestream" / name).read_bytes()
        )


def test_flows_and_bentos_come_along_and_tests_do_not(contents: zipfile.ZipFile) -> None:
    tops = {name.split("/")[0] for name in contents.namelist() if ".dist-info" not in name}
    assert tops == {"deepfakestream", "flows", "bentos"}


def test_the_licence_and_the_command_are_there(contents: zipfile.ZipFile) -> None:
    (info,) = {name.split("/")[0] for name in contents.namelist() if ".dist-info" in name}
    assert "Apache License" in contents.read(f"{info}/licenses/LICENSE").decode()
    assert "deepfakestream = deepfakestream.cli:main" in contents.read(f"{info}/entry_points.txt").decode()


def test_a_wheel_has_the_digest_of_its_checkout(contents: zipfile.ZipFile, tmp_path: Path) -> None:
    contents.extractall(tmp_path)
    assert folder_sha256(tmp_path / "deepfakestream") == folder_sha256(ROOT / "src" / "deepfakestream")
