from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from deepfakestream.data.manifest import read_manifest
from deepfakestream.data.quarantine import Quarantine
from deepfakestream.data.versioning.repository import DvcRepo
from deepfakestream.errors import DataError, Reason
from deepfakestream.host.locks import exclusive
from deepfakestream.params import load_params
from deepfakestream.pipeline import data_stats, extract, forget, ingest, stages, transfer, validate, workspace
from deepfakestream.pipeline.ingest import IngestReport, IngestRequest
from deepfakestream.settings import Settings

PARAMS = load_params(Path(__file__).parents[2] / "params.yaml").ingest


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(workspace=tmp_path / "ws")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Six pictures, a copy, a conflict, a broken file and one without a label."""
    folder = tmp_path / "faces"
    for number in range(6):
        write(folder / ("fake" if number % 2 else "real") / f"{number}.jpg", number)
    write(folder / "real" / "copy.jpg", 0)
    write(folder / "real" / "wrong.jpg", 1)
    (folder / "real" / "broken.mp4").write_bytes(b"")
    write(folder / "unsorted" / "x.jpg", 99)
    return folder


def write(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def take(source: Path, settings: Settings, *, licence: str = "CC0", dry_run: bool = False) -> IngestReport:
    request = IngestRequest(licence=licence, dry_run=dry_run)
    return ingest.run(source, params=PARAMS, settings=settings, request=request)


def snapshot(folder: Path) -> dict[str, tuple[int, bytes]]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.read_bytes()) for path in files}


def test_what_is_taken_and_what_is_refused(source: Path, settings: Settings) -> None:
    report = take(source, settings, licence="CC0")
    manifest = read_manifest(settings.data_dir)
    assert sorted(manifest["original_name"]) == ["fake/3.jpg", "fake/5.jpg"] + [
        f"real/{number}.jpg" for number in (0, 2, 4)
    ]
    assert set(manifest["licence"]) == {"CC0"}
    assert all((settings.data_dir / path).is_file() for path in manifest["path"])
    entries = Quarantine(settings.quarantine_db).list()
    assert {entry.refusal.original_name: entry.refusal.reason for entry in entries} == {
        "fake/1.jpg": Reason.LABEL_CONFLICT,
        "real/wrong.jpg": Reason.LABEL_CONFLICT,
        "real/copy.jpg": Reason.DUPLICATE,
        "real/broken.mp4": Reason.EMPTY_FILE,
        "unsorted/x.jpg": Reason.LABEL_MISSING,
    }
    message = report.describe()
    assert "faces (folders): added 5 items as 'faces'" in message
    assert (
        "refused 1: label_missing (e.g. unsorted/x.jpg: no label; label it in its source and ingest again)"
        in message
    )


def test_a_second_time_changes_nothing_and_says_so(source: Path, settings: Settings) -> None:
    take(source, settings)
    before = snapshot(settings.data_dir)
    report = take(source, settings)
    assert "added 0 items as 'faces'; nothing changed" in report.describe()
    assert (len(report.added), report.num_known, report.num_items) == (0, 5, 5)
    assert snapshot(settings.data_dir) == before


def test_new_parts_add_to_the_set_and_settle_what_was_refused(source: Path, settings: Settings) -> None:
    take(source, settings)
    write(source / "whole.jpg", 50)
    (source / "whole.jpg").rename(source / "real" / "broken.mp4")
    report = take(source, settings)
    assert (len(report.added), report.num_items) == (1, 6)
    assert not Quarantine(settings.quarantine_db).list(reason=Reason.EMPTY_FILE)


def test_another_source_with_the_same_bytes_is_refused_by_name(tmp_path: Path, settings: Settings) -> None:
    write(tmp_path / "first" / "real" / "a.jpg", 1)
    write(tmp_path / "second" / "fake" / "b.jpg", 1)
    write(tmp_path / "third" / "real" / "c.jpg", 1)
    take(tmp_path / "first", settings)
    message = "second/fake/b.jpg says fake, but first/real/a.jpg has the same bytes and says real; correct"
    with pytest.raises(DataError, match=message):
        take(tmp_path / "second", settings)
    with pytest.raises(DataError, match=r"third/real/c\.jpg .*first/real/a\.jpg"):
        take(tmp_path / "third", settings)
    reasons = [entry.refusal.reason for entry in Quarantine(settings.quarantine_db).list()]
    assert reasons == [Reason.LABEL_CONFLICT, Reason.DUPLICATE]
    assert read_manifest(settings.data_dir)["label"].tolist() == ["real"]


def test_a_dry_run_touches_nothing(source: Path, settings: Settings) -> None:
    report = take(source, settings, dry_run=True)
    assert "would add 5 items" in report.describe()
    assert not settings.workspace.exists()


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        (None, "no such file or folder"),
        ({}, "no known layout"),
        ({"real/note.txt": "no media"}, "no media in it"),
        (
            {"manifest.csv": "file,label\na.mp4,real\nb.mp4,fake\n"},
            "all 2 files were refused, the first because",
        ),
        ({"manifest.csv": "file\na.mp4\n"}, "no known layout"),
    ],
)
def test_bad_sources_are_explained(
    tree: dict[str, str] | None, message: str, tmp_path: Path, settings: Settings
) -> None:
    source = tmp_path / "bad"
    if tree is not None:
        source.mkdir()
    for name, content in (tree or {}).items():
        (source / name).parent.mkdir(exist_ok=True)
        (source / name).write_text(content)
    with pytest.raises(DataError, match=message):
        take(source, settings)
    assert not settings.data_dir.exists()


def test_one_ingestion_at_a_time(source: Path, settings: Settings) -> None:
    lock = settings.work_dir / "ingest.lock"
    with exclusive(lock, doing="x"), pytest.raises(DataError, match="another process is ingesting"):
        take(source, settings)


def test_crop_shards_stay_packed(tmp_path: Path, settings: Settings) -> None:
    folder = tmp_path / "crops"
    rows = ["file,shard,label,split,group_id"]
    for split, numbers in (("train", range(3)), ("val", range(3, 5))):
        with tarfile.open(tmp_path / f"{split}.tar", "w") as tar:
            for number in numbers:
                name = f"{'fake' if number % 2 else 'real'}/{number}.png"
                write(tmp_path / name, number)
                tar.add(tmp_path / name, name)
                rows.append(f"{name},{split}.tar,{name[:4]},{split},{number // 3}")
        folder.mkdir(exist_ok=True)
        (tmp_path / f"{split}.tar").rename(folder / f"{split}.tar")
    (folder / "manifest.csv").write_text("\n".join([*rows, "real/gone.png,val.tar,real,val,9"]))
    report = take(folder, settings)
    assert [refusal.reason for refusal in report.refused] == [Reason.NOT_FOUND]
    manifest = read_manifest(settings.data_dir)
    assert set(manifest["kind"]) == {"crop"}
    assert manifest["split"].value_counts().to_dict() == {"train": 3, "val": 2}
    assert sorted(path.suffix for path in settings.data_dir.rglob("*.*")) == [".parquet", ".tar", ".tar"]


@pytest.mark.slow
def test_in_a_dvc_repository_the_version_is_recorded_and_pushed(source: Path, settings: Settings) -> None:
    workspace.create(settings.workspace)
    first = take(source, settings)
    assert first.data_digest is not None
    assert first.data_digest in (settings.workspace / "data.dvc").read_text()
    assert any((settings.work_dir / "dvc-remote").rglob("*.dir"))
    assert take(source, settings).data_digest == first.data_digest


@pytest.mark.slow
def test_a_recorded_set_that_is_not_here_is_not_replaced(
    source: Path, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace.create(settings.workspace)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1795305600")
    recorded = take(source, settings).data_digest
    pointer = (settings.workspace / "data.dvc").read_bytes()
    shutil.rmtree(settings.data_dir)
    write(tmp_path / "other" / "real" / "a.jpg", 70)
    message = r"data\.dvc: .*'deepfakestream data pull'"
    for dry_run in (True, False):
        with pytest.raises(DataError, match=message):
            take(tmp_path / "other", settings, dry_run=dry_run)
    monkeypatch.delenv("SOURCE_DATE_EPOCH")
    with pytest.raises(DataError, match=message):
        take(source, settings)
    assert (settings.workspace / "data.dvc").read_bytes() == pointer
    assert not list(settings.data_dir.rglob("*"))
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1795305600")
    assert take(source, settings).data_digest == recorded
    assert (settings.workspace / "data.dvc").read_bytes() == pointer


@pytest.mark.slow
def test_a_recorded_set_that_was_pulled_is_added_to(source: Path, settings: Settings) -> None:
    workspace.create(settings.workspace)
    first = take(source, settings)
    shutil.rmtree(settings.data_dir)
    DvcRepo(settings.workspace).pull()
    write(source / "real" / "new.jpg", 71)
    assert take(source, settings).num_items == first.num_items + 1


@pytest.mark.slow
def test_a_set_that_git_pull_left_behind_is_told_and_not_recorded_in_place_of_the_new_one(
    source: Path, settings: Settings, tmp_path: Path
) -> None:
    workspace.create(settings.workspace)
    first = take(source, settings)
    here = Settings(workspace=tmp_path / "here")
    shutil.copytree(settings.workspace, here.workspace, symlinks=True)
    write(source / "real" / "new.jpg", 71)
    take(source, settings)
    pointer = here.workspace / "data.dvc"
    old, new = pointer.read_bytes(), (settings.workspace / "data.dvc").read_bytes()
    pointer.write_bytes(new)  # as git does, and nobody fetched data/
    params = load_params(here.workspace / "params.yaml")
    steps: list[Callable[[], object]] = [
        lambda: take(source, here),
        lambda: take(source, here, dry_run=True),
        lambda: extract.run(params.extract, settings=here),
        lambda: validate.run(params.validate_, settings=here),
        lambda: stages.reproduce(here, "extract"),
        lambda: forget.plan([], settings=here),
        lambda: forget.run([], reason="", settings=here),
        lambda: data_stats.statistics(here),
        lambda: data_stats.card_text(here),
        lambda: transfer.push(here),
    ]
    message = r"data\.dvc: .*'deepfakestream data pull'"
    for step in steps:
        with pytest.raises(DataError, match=message):
            step()
    assert pointer.read_bytes() == new

    shutil.copytree(settings.work_dir / "dvc-remote", here.work_dir / "dvc-remote", dirs_exist_ok=True)
    transfer.pull(here)
    assert data_stats.statistics(here).totals["items"] == first.num_items + 1
    pointer.write_bytes(old)
    checkout = [sys.executable, "-m", "dvc", "checkout", "-q", "data.dvc"]
    subprocess.run(checkout, cwd=here.workspace, check=True)  # DVC itself may fetch it too
    assert data_stats.statistics(here).totals["items"] == first.num_items


@pytest.mark.slow
def test_a_merge_left_in_the_pointer_is_explained(source: Path, settings: Settings) -> None:
    workspace.create(settings.workspace)
    take(source, settings)
    pointer = settings.workspace / "data.dvc"
    pointer.write_text(f"<<<<<<< HEAD\n{pointer.read_text()}=======\n{pointer.read_text()}>>>>>>> theirs\n")
    with pytest.raises(DataError, match=r"data\.dvc: "):
        take(source, settings)


def table_of(source: Path, *rows: str) -> Path:
    (source / "manifest.csv").write_text("\n".join(["file,label,group_id,split,manipulation", *rows]))
    return source


def test_a_declared_split_is_that_of_its_whole_group(tmp_path: Path, settings: Settings) -> None:
    names = [f"{number}.jpg" for number in range(12)]
    for number, name in enumerate(names):
        write(tmp_path / "s" / name, number)
    rows = [f"{name},real,g{number % 6}," for number, name in enumerate(names)]
    rows = [row + ("test" if number >= 6 else "") + "," for number, row in enumerate(rows)]
    take(table_of(tmp_path / "s", *rows), settings)
    assert set(read_manifest(settings.data_dir)["split"]) == {"test"}


@pytest.mark.parametrize("held", [0, 1])
def test_two_splits_of_one_group_stop_before_anything_is_copied(
    held: int, tmp_path: Path, settings: Settings
) -> None:
    rows = ["0.jpg,real,g,train,", "1.jpg,fake,g,test,", "2.jpg,real,h,test,"]
    for number in range(3):
        write(tmp_path / "s" / f"{number}.jpg", number)
    if held:
        take(table_of(tmp_path / "s", rows[0]), settings)
    before = snapshot(settings.data_dir)
    message = "is held in 'train'" if held else "is also declared as 'train'"
    with pytest.raises(
        DataError, match=rf"^1.jpg: split is 'test', but its source group 's:g' {message}; declare"
    ):
        take(table_of(tmp_path / "s", *rows), settings)
    assert snapshot(settings.data_dir) == before


def test_a_corrected_label_is_taken_over_and_told(tmp_path: Path, settings: Settings) -> None:
    for number in range(2):
        write(tmp_path / "s" / f"{number}.jpg", number)
    take(table_of(tmp_path / "s", "0.jpg,real,,train,", "1.jpg,fake,,train,swap"), settings)
    corrected = table_of(tmp_path / "s", "0.jpg,fake,,train,swap", "1.jpg,real,,train,")
    before = snapshot(settings.data_dir)
    assert "would correct 2 labels (e.g. 0.jpg: fake)" in take(corrected, settings, dry_run=True).describe()
    assert snapshot(settings.data_dir) == before
    report = take(corrected, settings)
    assert (report.relabelled, report.refused, report.num_items) == (["0.jpg: fake", "1.jpg: real"], [], 2)
    assert "nothing changed" not in report.describe()
    manifest = read_manifest(settings.data_dir).set_index("original_name")
    assert manifest.loc[["0.jpg", "1.jpg"], ["label", "manipulation"]].to_numpy().tolist() == [
        ["fake", "swap"],
        ["real", "none"],
    ]
    assert "nothing changed" in take(corrected, settings).describe()


def test_a_conflict_between_sources_is_settled_as_its_message_says(
    tmp_path: Path, settings: Settings
) -> None:
    write(tmp_path / "first" / "a.jpg", 1)
    write(tmp_path / "second" / "b.jpg", 1)
    write(tmp_path / "second" / "c.jpg", 2)
    first = table_of(tmp_path / "first", "a.jpg,real,,train,")
    second = table_of(tmp_path / "second", "b.jpg,fake,,train,", "c.jpg,real,,train,")
    take(first, settings)
    (refusal,) = take(second, settings).refused
    assert refusal.message.endswith("correct the wrong label in its source and ingest that source again")
    assert take(table_of(first, "a.jpg,fake,,train,"), settings).relabelled == ["a.jpg: fake"]
    assert [refusal.reason for refusal in take(second, settings).refused] == [Reason.DUPLICATE]


def test_a_source_that_says_both_labels_changes_none(tmp_path: Path, settings: Settings) -> None:
    write(tmp_path / "s" / "a.jpg", 1)
    write(tmp_path / "s" / "b.jpg", 1)
    take(table_of(tmp_path / "s", "a.jpg,real,,train,"), settings)
    message = "s/a.jpg says fake, but s/b.jpg has the same bytes and says real; correct the wrong label in"
    with pytest.raises(DataError, match=message):
        take(table_of(tmp_path / "s", "a.jpg,fake,,train,", "b.jpg,real,,train,"), settings)
    assert read_manifest(settings.data_dir)["label"].tolist() == ["real"]
