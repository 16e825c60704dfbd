from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from deepfakestream.data.manifest import read_manifest
from deepfakestream.data.tombstones import read_tombstones
from deepfakestream.data.versioning.repository import DvcRepo
from deepfakestream.errors import DataError, Reason
from deepfakestream.media.types import RGBImage
from deepfakestream.params import load_params
from deepfakestream.pipeline import extract, forget, ingest, workspace
from deepfakestream.settings import Settings

PARAMS = load_params(Path(__file__).parents[2] / "params.yaml")
CROP_PX = 48
ORPHAN_S = 120.0
LOOSE, PACKED = "fake/1.jpg", "real/4.jpg"


def write_face(path: Path, astronaut: RGBImage, shift: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    face = Image.fromarray(astronaut[40 + shift : 200 + shift, 150:310]).resize((CROP_PX, CROP_PX))
    face.save(path, quality=95)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory, astronaut: RGBImage) -> Path:
    """A DVC workspace `ws` with four loose crops, a copy of one, four crops in a tar shard, and all faces."""
    root = tmp_path_factory.mktemp("template")
    loose, packed = root / "loose", root / "packed"
    rows = ["file,label,kind,group_id"]
    for number in range(4):
        name = f"{'fake' if number % 2 else 'real'}/{number}.jpg"
        write_face(loose / name, astronaut, number)
        rows.append(f"{name},{name[:4]},crop,{number // 2}")
    shutil.copyfile(loose / LOOSE, loose / "copy-of-1.jpg")
    (loose / "manifest.csv").write_text("\n".join([*rows, "copy-of-1.jpg,fake,crop,9"]))
    rows = ["file,shard,label,group_id"]
    packed.mkdir()
    with tarfile.open(packed / "train.tar", "w") as tar:
        for number in range(4, 8):
            name = f"{'fake' if number % 2 else 'real'}/{number}.jpg"
            write_face(root / name, astronaut, number)
            tar.add(root / name, name)
            rows.append(f"{name},train.tar,{name[:4]},{number}")
    (packed / "manifest.csv").write_text("\n".join(rows))
    settings = Settings(workspace=root / "ws", device="cpu")
    workspace.create(settings.workspace)
    for source in (loose, packed):
        take(source, settings)
    find_faces(settings)
    return root


@pytest.fixture
def settings(template: Path, tmp_path: Path) -> Settings:
    shutil.copytree(template, tmp_path, symlinks=True, dirs_exist_ok=True)
    return Settings(workspace=tmp_path / "ws", device="cpu")


def take(source: Path, settings: Settings) -> ingest.IngestReport:
    return ingest.run(source, params=PARAMS.ingest, settings=settings, request=ingest.IngestRequest())


def find_faces(settings: Settings) -> None:
    params = PARAMS.extract.model_copy(update={"crop_size_px": CROP_PX, "shard_size": 3})
    extract.run(params, settings=settings)


def row_of(settings: Settings, name: str) -> pd.Series:
    manifest = read_manifest(settings.data_dir)
    return manifest[manifest["original_name"] == name].iloc[0]


def run(settings: Settings, *items: str) -> forget.ForgetReport:
    meant = forget.plan(items, settings=settings)
    return forget.run(list(meant.items["media_id"]), reason="asked to", settings=settings)


def files(settings: Settings) -> Iterator[tuple[str, bytes]]:
    for path in sorted(settings.workspace.rglob("*")):
        if path.is_file():
            yield path.relative_to(settings.workspace).as_posix(), path.read_bytes()


def leftovers(settings: Settings, media_id: str, content: bytes, name: str) -> list[str]:
    """Files of the whole workspace but tombstones with the item's digest, bytes or, in a table, its name."""
    middle = content[len(content) // 3 : len(content) // 3 + 200]
    found = []
    for path, data in files(settings):
        if path.startswith("src/") or data.startswith(b"media_id,forgotten_at,reason\n"):
            continue
        rows = pd.read_parquet(settings.workspace / path).to_csv() if data[:4] == b"PAR1" else ""
        if media_id.encode() in data or middle in data or media_id in rows or f",{name}," in rows:
            found.append(path)
    return found


def dvc_status(settings: Settings) -> str:
    command = [sys.executable, "-m", "dvc", "status", "data.dvc"]
    done = subprocess.run(command, cwd=settings.workspace, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.mark.slow
def test_nothing_is_left_of_a_file_but_its_tombstone(settings: Settings) -> None:
    row = row_of(settings, LOOSE)
    content = (settings.data_dir / row["path"]).read_bytes()
    others = read_manifest(settings.data_dir).set_index("media_id").drop(row["media_id"])
    assert len(leftovers(settings, row["media_id"], content, LOOSE)) > 8
    report = run(settings, f"loose/{LOOSE}")
    assert (report.num_items, report.num_stored, report.num_refusals) == (1, 1, 1)
    assert all(number > 0 for number in report.objects.values())
    assert set(report.artifacts) >= {"artifacts/extract/crops.parquet"}
    find_faces(settings)
    assert leftovers(settings, row["media_id"], content, LOOSE) == []
    assert dvc_status(settings) == "Data and pipelines are up to date."
    after = read_manifest(settings.data_dir).set_index("media_id")
    pd.testing.assert_frame_equal(after, others)
    for media_id, path in zip(after.index, after["path"], strict=True):
        if str(path).startswith("media/"):
            assert sha256((settings.data_dir / path).read_bytes()).hexdigest() == media_id
    shutil.rmtree(settings.data_dir)
    shutil.rmtree(settings.workspace / ".dvc" / "cache")
    shutil.rmtree(settings.artifacts_dir)
    DvcRepo(settings.workspace).pull()
    assert set(read_manifest(settings.data_dir)["media_id"]) == set(others.index)


@pytest.mark.slow
def test_a_member_leaves_its_tar_and_the_others_stay(settings: Settings) -> None:
    row = row_of(settings, PACKED)
    content = (settings.workspace.parent / PACKED).read_bytes()
    run(settings, row["media_id"][:10])
    find_faces(settings)
    assert leftovers(settings, row["media_id"], content, PACKED) == []
    (pack,) = (settings.data_dir / "packs").iterdir()
    assert sha256(pack.read_bytes()).hexdigest() == pack.stem
    with tarfile.open(pack) as tar:
        assert tar.getnames() == ["fake/5.jpg", "real/6.jpg", "fake/7.jpg"]
    assert dvc_status(settings) == "Data and pipelines are up to date."
    assert len(read_manifest(settings.data_dir)) == 7


@pytest.mark.slow
def test_the_same_bytes_are_refused_afterwards_and_a_second_time_says_so(settings: Settings) -> None:
    media_id = row_of(settings, LOOSE)["media_id"]
    run(settings, f"loose/{LOOSE}")
    report = take(settings.workspace.parent / "loose", settings)
    assert {refusal.reason for refusal in report.refused} == {Reason.FORGOTTEN}
    assert "these bytes were forgotten on 20" in report.describe()
    assert "(asked to); leave the file out of the source" in report.describe()
    meant = forget.plan([media_id[:12]], settings=settings)
    assert not len(meant.items)
    assert "was forgotten on 20" in meant.describe()
    again = forget.run([], reason="", settings=settings)
    assert (again.num_items, again.num_refusals) == (0, 2)
    third = forget.run([], reason="", settings=settings)
    assert "nothing was left of what is forgotten" in third.describe()
    assert read_tombstones(settings.data_dir)[media_id].reason == "asked to"


def test_a_dry_run_counts_and_changes_nothing(settings: Settings) -> None:
    before = {path: data for path, data in files(settings) if not path.startswith((".dvc/tmp", "src/"))}
    meant = forget.plan([f"loose/{LOOSE}"], settings=settings)
    assert "1 other items share their groups and stay" in meant.describe()
    assert "loose/real/0.jpg" in meant.describe()
    text = forget.preview(list(meant.items["media_id"]), settings=settings).describe()
    assert text.startswith("would remove 1 item of the dataset, ")
    assert {
        path: data for path, data in files(settings) if not path.startswith((".dvc/tmp", "src/"))
    } == before


@pytest.mark.parametrize("item", ["loose/nothing.jpg", "abc", "0123456789ab"])
def test_unknown_items_are_told(item: str, settings: Settings) -> None:
    with pytest.raises(DataError, match=f"^{item}: "):
        forget.plan([item], settings=settings)


def test_a_name_without_its_source_is_told_whole(settings: Settings) -> None:
    with pytest.raises(DataError, match=f"its source is missing; give loose/{LOOSE}$"):
        forget.plan([LOOSE], settings=settings)


@pytest.mark.slow
def test_what_a_kill_left_undone_is_finished_by_the_next_call(settings: Settings) -> None:
    """Killed once the tombstone, the manifest and the version are written, each with another item."""
    chosen = [row_of(settings, name) for name in (LOOSE, PACKED, "real/2.jpg")]
    contents = [(settings.workspace.parent / name).read_bytes() for name in ("loose/fake/1.jpg", PACKED)]
    contents.append((settings.workspace.parent / "loose/real/2.jpg").read_bytes())
    watched = [settings.data_dir / "forgotten.csv", settings.data_dir / "manifest.parquet"]
    watched.append(settings.workspace / "data.dvc")
    for row, path in zip(chosen, watched, strict=True):
        kill_once_changed(settings, row["media_id"], path)
    forget.run([], reason="", settings=settings)
    find_faces(settings)
    for row, content in zip(chosen, contents, strict=True):
        assert leftovers(settings, row["media_id"], content, row["original_name"]) == []
    assert len(read_manifest(settings.data_dir)) == 5
    assert len(read_tombstones(settings.data_dir)) == 3
    assert dvc_status(settings) == "Data and pipelines are up to date."


def kill_once_changed(settings: Settings, item: str, path: Path) -> None:
    """Start to forget an item and kill the process as soon as a file is another one."""
    before = path.read_bytes() if path.exists() else b""
    command = [sys.executable, "-m", "deepfakestream.cli", "data", "forget", item, "--yes"]
    environment = {**os.environ, "DEEPFAKESTREAM_WORKSPACE": str(settings.workspace)}
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, start_new_session=True
    ) as process:
        while process.poll() is None and (not path.exists() or path.read_bytes() == before):
            time.sleep(0.002)
        process.kill()
    assert process.returncode == -signal.SIGKILL, "it ended before it could be killed"
    wait_for_group(process.pid)


def wait_for_group(group: int) -> None:
    """Wait until the DVC process that a killed one had started is done: it would change files later."""
    deadline = time.monotonic() + ORPHAN_S
    with contextlib.suppress(ProcessLookupError):
        while True:
            os.killpg(group, 0)
            assert time.monotonic() < deadline, f"process group {group} still runs after {ORPHAN_S} s"
            time.sleep(0.01)
