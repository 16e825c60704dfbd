"""The command line as a process: how it waits, how it ends, what a bad path or port looks like."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from deepfakestream.data.manifest import read_manifest_or_empty
from deepfakestream.pipeline.locks import one_at_a_time
from deepfakestream.settings import Settings

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A workspace without DVC, and a picture to ingest next to it."""
    root = tmp_path / "ws"
    root.mkdir()
    shutil.copyfile(REPOSITORY / "params.yaml", root / "params.yaml")
    (tmp_path / "faces" / "real").mkdir(parents=True)
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "faces" / "real" / "0.png")
    return root


def started(root: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "deepfakestream.cli", *arguments],
        cwd=root,
        env={**os.environ, "DEEPFAKESTREAM_WORKSPACE": str(root)},
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
def test_ingesting_waits_for_a_stage_says_so_and_ends_at_term(root: Path, tmp_path: Path) -> None:
    settings = Settings(workspace=root)
    with one_at_a_time(settings), started(root, "ingest", str(tmp_path / "faces")) as command:
        assert command.stderr is not None
        said = ""
        while "waiting for it" not in said:
            line = command.stderr.readline()
            assert line, said
            said += line
        assert "stages.lock: another process is running a stage" in said
        command.terminate()
        assert command.wait(timeout=20) == 130
        assert "Traceback" not in command.stderr.read()
    assert len(read_manifest_or_empty(settings.data_dir)) == 0


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("init", "params.yaml/below"), "params.yaml/below: cannot be made (Not a directory)"),
        (("serve", "--port", "0"), "greater than or equal to 1"),
    ],
)
def test_a_bad_argument_is_a_sentence(root: Path, arguments: tuple[str, ...], sentence: str) -> None:
    with started(root, *arguments) as command:
        _, said = command.communicate()
    assert sentence in said
    assert "Traceback" not in said
    assert command.returncode != 0


def test_a_full_disk_is_a_sentence(root: Path) -> None:
    command = [sys.executable, "-m", "deepfakestream.cli", "--version"]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, cwd=root, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == (
        "deepfakestream: what this command writes: No space left on device; free some and run it again\n"
    )


def test_a_params_file_that_is_a_folder_is_a_sentence(root: Path) -> None:
    (root / "params.yaml").unlink()
    (root / "params.yaml").mkdir()
    with started(root, "drift") as command:
        _, said = command.communicate()
    assert said.strip().endswith("cannot be read (Is a directory); make it a readable file")
    assert "Traceback" not in said
