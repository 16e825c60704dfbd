from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from deepfakestream.data.versioning.repository import LOCKS_FILE, DvcRepo
from deepfakestream.errors import DataError
from deepfakestream.params import load_params
from deepfakestream.pipeline import ingest, workspace
from deepfakestream.settings import Settings


def test_a_folder_without_dvc_has_no_version(tmp_path: Path) -> None:
    repo = DvcRepo(tmp_path)
    assert not repo.exists
    assert repo.data_digest() is None


def test_a_failing_command_is_explained(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"'dvc status' failed \(ERROR: you are not inside of a DVC repo"):
        DvcRepo(tmp_path).status()


@pytest.mark.slow
def test_a_damaged_lock_file_is_named_with_the_remedy(tmp_path: Path) -> None:
    workspace.create(tmp_path)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a").write_text("a")
    for content in ("", '{"write": {"/a', "[]"):
        (tmp_path / LOCKS_FILE).write_text(content)
        with pytest.raises(DataError, match=rf"^{tmp_path}/\.dvc/tmp/rwlock: .*delete this file"):
            DvcRepo(tmp_path).add_data()
    (tmp_path / LOCKS_FILE).unlink()
    DvcRepo(tmp_path).add_data()


@pytest.mark.slow
def test_the_command_that_holds_the_data_is_named(tmp_path: Path) -> None:
    workspace.create(tmp_path)
    (tmp_path / "data").mkdir()
    held = {"write": {str(tmp_path / "data"): {"pid": os.getpid(), "cmd": "dvc gc"}}}
    (tmp_path / LOCKS_FILE).write_text(json.dumps(held))
    with pytest.raises(DataError, match=rf"\(PID {os.getpid()}\): dvc gc; .*delete \.dvc/tmp/rwlock"):
        DvcRepo(tmp_path).add_data()


@pytest.mark.slow
def test_the_stages_run_when_they_must_and_only_then(tmp_path: Path) -> None:
    root = workspace.create(tmp_path / "ws").directory
    repo, settings = DvcRepo(root), Settings(workspace=root)
    with pytest.raises(DataError, match="data"):
        repo.repro("extract")
    plant(tmp_path / "crops")
    params = load_params(root / "params.yaml")
    ingest.run(tmp_path / "crops", params=params.ingest, settings=settings, request=ingest.IngestRequest())

    assert repo.repro("validate") is True
    lock = (root / "dvc.lock").read_bytes()
    assert repo.repro("validate") is False
    assert (root / "dvc.lock").read_bytes() == lock
    assert "Data and pipelines are up to date" not in repo.status()  # train has never run

    text = (root / "params.yaml").read_text()
    (root / "params.yaml").write_text(text.replace("min_items: 6", "min_items: 600"))
    with pytest.raises(DataError, match=r"1 rule is broken: items.row_count \(found 36\)"):
        repo.repro("validate")
    (root / "params.yaml").write_text(text)
    assert repo.repro("extract") is False
    assert repo.repro("extract", force=True) is True

    digest = repo.data_digest()
    repo.push()
    shutil.rmtree(settings.data_dir)
    shutil.rmtree(root / ".dvc" / "cache")
    shutil.rmtree(settings.artifacts_dir)
    repo.pull()  # although train and evaluate have no outputs yet
    assert (settings.data_dir / "manifest.parquet").exists()
    assert (settings.artifacts_dir / "extract" / "crops.parquet").exists()
    assert repo.data_digest() == digest
    shutil.rmtree(root / ".dvc" / "cache")
    shutil.rmtree(settings.data_dir)
    shutil.rmtree(settings.work_dir / "dvc-remote")
    with pytest.raises(DataError, match=r"'dvc pull data.dvc' failed"):
        repo.pull()


def plant(folder: Path) -> None:
    folder.mkdir()
    rows = ["file,label,kind,split,group_id"]
    for number in range(36):
        pixels = np.random.default_rng(number).integers(0, 256, (64, 64, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
        label, split = ("fake" if number % 2 else "real"), ("train", "val", "test")[number // 12]
        rows.append(f"{number}.png,{label},crop,{split},{number // 2}")
    (folder / "manifest.csv").write_text("\n".join(rows))
