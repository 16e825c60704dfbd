from __future__ import annotations

import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from deepfakestream.data.manifest import read_manifest
from deepfakestream.data.quarantine import Quarantine
from deepfakestream.errors import DataError, Reason
from deepfakestream.params import load_params
from deepfakestream.pipeline import forget, ingest, workspace
from deepfakestream.settings import Settings

PARAMS = load_params(Path(__file__).parents[2] / "params.yaml").ingest


def picture(folder: Path, seed: int) -> Path:
    path = folder / f"{seed}.jpg"
    pixels = np.random.default_rng(seed).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def write_tars(folder: Path, listed: dict[str, Path], unlisted: dict[str, Path] | None = None) -> Path:
    """Write a source of crops with one tar and its table, which leaves some files of the tar out."""
    folder.mkdir()
    with tarfile.open(folder / "s.tar", "w") as tar:
        for name, path in {**(unlisted or {}), **listed}.items():
            tar.add(path, name)
    rows = ["file,shard,label,group_id", *(f"{name},s.tar,real,{name}" for name in listed)]
    (folder / "manifest.csv").write_text("\n".join(rows))
    return folder


def take(source: Path, settings: Settings) -> ingest.IngestReport:
    return ingest.run(source, params=PARAMS, settings=settings, request=ingest.IngestRequest())


def run(settings: Settings, item: str) -> forget.ForgetReport:
    meant = forget.plan([item], settings=settings)
    return forget.run(list(meant.items["media_id"]), reason="asked to", settings=settings)


def holders(folder: Path, content: bytes) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and content in path.read_bytes()]


@pytest.mark.slow
def test_no_tar_of_any_version_keeps_a_copy_of_forgotten_bytes(tmp_path: Path) -> None:
    """Copies are refused but lie in their tars: one next to the item itself, one next to others only."""
    settings = Settings(workspace=tmp_path / "ws")
    workspace.create(settings.workspace)
    first, second, third, loose = (picture(tmp_path / "files", seed) for seed in range(4))
    take(write_tars(tmp_path / "tars", {"a.jpg": first, "again.jpg": first, "b.jpg": second}), settings)
    picture(tmp_path / "loose" / "real", 3)
    take(tmp_path / "loose", settings)
    take(write_tars(tmp_path / "late", {"copy.jpg": loose, "c.jpg": third}), settings)
    assert len(read_manifest(settings.data_dir)) == 4
    for item, path in (("tars/a.jpg", first), ("loose/real/3.jpg", loose)):
        assert len(holders(settings.workspace, path.read_bytes())) > 2
        run(settings, item)
        assert holders(settings.workspace, path.read_bytes()) == []
    for path in (second, third):
        assert len(holders(settings.data_dir, path.read_bytes())) == 1
        assert len(holders(settings.workspace / "work" / "dvc-remote", path.read_bytes())) == 1


@pytest.mark.parametrize("is_listed", [True, False])
def test_a_tar_with_forgotten_bytes_is_not_taken(is_listed: bool, tmp_path: Path) -> None:
    settings = Settings(workspace=tmp_path / "ws")
    first, second, third = (picture(tmp_path / "files", seed) for seed in range(3))
    old = write_tars(tmp_path / "old", {"a.jpg": first, "b.jpg": second})
    take(old, settings)
    run(settings, "old/a.jpg")
    bad = {"a.jpg": first}
    new = write_tars(tmp_path / "new", {"c.jpg": third} | (bad if is_listed else {}), bad)
    picture(new / "more", 9)
    with (new / "manifest.csv").open("a") as table:
        table.write("\n9.jpg,t.tar,real,9")
    with tarfile.open(new / "t.tar", "w") as tar:
        tar.add(new / "more" / "9.jpg", "9.jpg")
    report = take(new, settings)
    assert list(report.added["original_name"]) == ["9.jpg"]
    assert {refusal.reason for refusal in report.refused} == {Reason.FORGOTTEN}
    messages = {refusal.original_name: refusal.message for refusal in report.refused}
    assert "pack the tar again without that file" in messages["c.jpg"]
    assert holders(settings.data_dir, first.read_bytes()) == []
    known = take(old, settings)
    assert (known.num_known, len(known.refused), len(known.added)) == (1, 1, 0)


def test_a_tar_that_was_packed_again_is_taken_and_leaves_the_quarantine(tmp_path: Path) -> None:
    settings = Settings(workspace=tmp_path / "ws")
    first, second, third = (picture(tmp_path / "files", seed) for seed in range(3))
    take(write_tars(tmp_path / "old", {"a.jpg": first, "b.jpg": second}), settings)
    run(settings, "old/a.jpg")
    new = write_tars(tmp_path / "new", {"c.jpg": third, "b.jpg": second}, {"a.jpg": first})
    with pytest.raises(DataError, match=r"c\.jpg: its tar .*s\.tar holds a file of sha256"):
        take(new, settings)
    with tarfile.open(new / "again.tar", "w") as tar:
        tar.add(third, "c.jpg")
    (new / "manifest.csv").write_text("file,shard,label,group_id\nc.jpg,again.tar,real,c")
    assert len(take(new, settings).added) == 1
    names = {entry.refusal.original_name for entry in Quarantine(settings.quarantine_db).list()}
    assert "c.jpg" not in names
