"""A backup of exactly what docs/DEPLOYMENT.md lists, restored elsewhere, goes on where it was made."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from deepfakestream.access.keys import KeyStore
from deepfakestream.data.manifest import read_manifest
from deepfakestream.data.quarantine import Quarantine
from deepfakestream.data.versioning.repository import DvcRepo
from deepfakestream.model.folder import model_sha256
from deepfakestream.model.packaged import packaged_model_dir
from deepfakestream.monitoring.governor import RetrainGovernor
from deepfakestream.params import load_params
from deepfakestream.pipeline import ingest, transfer, workspace
from deepfakestream.registry import versions
from deepfakestream.registry.champion import make_champion
from deepfakestream.registry.tracking import start_run
from deepfakestream.service.model_source import RegistrySource
from deepfakestream.settings import Settings
from deepfakestream.wiring import mlflow_store

DOCUMENT = Path(__file__).parents[2] / "docs" / "DEPLOYMENT.md"


def listed() -> list[str]:
    """Return what the first column of the table below "Backups" names."""
    section = DOCUMENT.read_text(encoding="utf-8").partition("\n## Backups\n")[2].partition("\n## ")[0]
    cells = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    return [name for cell in cells for name in re.findall(r"`([^`]+)`", cell)]


def back_up(source: Path, target: Path) -> None:
    for pattern in listed():
        for path in source.glob(pattern.rstrip("/")):
            copy = target / path.relative_to(source)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copytree(path, copy) if path.is_dir() else shutil.copy2(path, copy)


def plant(folder: Path) -> None:
    folder.mkdir()
    rows = ["file,label,kind,split,group_id"]
    for number in range(36):
        pixels = np.random.default_rng(number).integers(0, 256, (64, 64, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
        label, split = ("fake" if number % 2 else "real"), ("train", "val", "test")[number // 12]
        rows.append(f"{number}.png,{label},crop,{split},{number // 2}")
    rows.append("gone.png,real,crop,train,x")
    (folder / "manifest.csv").write_text("\n".join(rows))


@pytest.mark.slow
def test_what_the_document_lists_is_enough(tmp_path: Path) -> None:
    root = workspace.create(tmp_path / "first" / "ws").directory
    settings = Settings(workspace=root)
    params = load_params(settings.params_file)
    plant(tmp_path / "crops")
    ingest.run(tmp_path / "crops", params=params.ingest, settings=settings, request=ingest.IngestRequest())
    DvcRepo(root).repro("validate")
    store = mlflow_store(settings)
    with start_run(store, name="train", tags={}) as run:
        run.log_artifact(root / "params.yaml")
        make_champion(
            store,
            versions.register(store, run_id=run.run_id, model_dir=packaged_model_dir(), tags={}),
            expected=None,
        )
    versions.fetch(store, 1)
    KeyStore(settings.job_database_url).create("integrator")
    RetrainGovernor(settings.governor_db)
    transfer.push(settings)
    manifest = read_manifest(settings.data_dir)

    back_up(root, tmp_path / "backup")
    shutil.move(tmp_path / "backup", tmp_path / "second")
    shutil.rmtree(tmp_path / "first")
    here = Settings(workspace=workspace.create(tmp_path / "second").directory)
    transfer.pull(here)
    pd.testing.assert_frame_equal(read_manifest(here.data_dir), manifest)
    assert (here.validate_dir / "report.json").exists()
    repo = DvcRepo(here.workspace)
    assert repo.repro("validate") is False
    assert [entry.refusal.original_name for entry in Quarantine(here.quarantine_db).list()] == ["gone.png"]
    assert [key.name for key in KeyStore(here.job_database_url).all()] == ["integrator"]
    source = RegistrySource(here)
    choice = source.champion()
    assert choice is not None
    assert (choice.version, choice.source) == ("1", "registry")
    assert model_sha256(source.directory(choice)) == model_sha256(packaged_model_dir())
    assert source.directory(choice).is_relative_to(here.workspace)
    with start_run(mlflow_store(here), name="train", tags={}) as again:
        again.log_artifact(here.params_file)
    assert len(list(here.mlflow_artifacts_dir.rglob("params.yaml"))) == 2
    assert not (tmp_path / "first").exists()
