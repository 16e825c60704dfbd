from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from loop_state import POINT, give_label
from PIL import Image
from typer.testing import CliRunner

from deepfakestream.cli import app
from deepfakestream.data.manifest import read_manifest
from deepfakestream.errors import DataError
from deepfakestream.host.digest import sha256_file
from deepfakestream.jobs.media_store import FolderStore
from deepfakestream.model.scorer import ModelInfo
from deepfakestream.monitoring.prediction_log import PredictionLog
from deepfakestream.pipeline import from_feedback
from deepfakestream.scanning.result import MediaFacts, ScanResult
from deepfakestream.settings import Settings, load_settings

ROOT = Path(__file__).parents[2]


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    root = tmp_path / "ws"
    root.mkdir()
    shutil.copyfile(ROOT / "params.yaml", root / "params.yaml")
    monkeypatch.setenv("DEEPFAKESTREAM_WORKSPACE", str(root))
    monkeypatch.chdir(root)
    return load_settings()


def picture(path: Path, seed: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (48, 48, 3), dtype=np.uint8)).save(path)
    return path


def predict(settings: Settings, prediction_id: str, path: Path | None, verdict: str = "likely_real") -> None:
    facts = None
    if path is not None:
        facts = MediaFacts(
            kind="image", sha256=sha256_file(path), width_px=48, height_px=48, codec="png", size_bytes=1,
            frames_searched=1, duration_s=None, fps=None,
        )  # fmt: skip
    result = ScanResult(
        file="x", verdict=verdict, p_fake=0.31, interval=None, reasons=(), tracks=(),  # type: ignore[arg-type]
        model=ModelInfo(name="m", version="7", weights_sha256="0"), operating_point="balanced",
        threshold=POINT, media=facts, features={},
    )  # fmt: skip
    with PredictionLog(settings.prediction_database_url) as log:
        log.append(result, prediction_id=prediction_id, channel="http")


@pytest.fixture
def originals(settings: Settings, tmp_path: Path) -> Path:
    """Predictions with labels: found, kept by the service, disputed, lost, without file, unknown."""
    folder = tmp_path / "originals"
    fake = picture(folder / "deep" / "renamed.bin.png", 1)
    predict(settings, "an_fake", fake)
    give_label(settings, "an_fake", "fake")
    give_label(settings, "an_fake", "fake", source="another")
    kept = picture(tmp_path / "upload.png", 2)
    predict(settings, "an_kept", kept)
    give_label(settings, "an_kept", "real")
    store = FolderStore(settings.job_media_dir)
    shutil.copyfile(kept, upload := store.incoming())
    store.keep("an_kept", upload, durable=False)
    disputed = picture(folder / "disputed.png", 3)
    predict(settings, "an_disputed", disputed)
    predict(settings, "an_disputed_again", disputed)
    give_label(settings, "an_disputed", "real")
    give_label(settings, "an_disputed_again", "fake")
    predict(settings, "an_lost", picture(tmp_path / "lost.png", 4))
    give_label(settings, "an_lost", "fake")
    predict(settings, "an_none", None)
    for prediction_id in ("an_none", "an_unknown"):
        give_label(settings, prediction_id, "fake")
    picture(folder / "never sent.png", 5)
    return folder


def call(*arguments: str, answer: str | None = None) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["data", "from-feedback", *arguments], input=answer)
    return done.exit_code, done.stdout


def test_labelled_files_are_shown_and_ingested_once_with_their_labels(settings, originals):
    status, text = call("--media", str(originals), "--licence", "ours", answer="y\n")
    assert status == 0
    lines = text.splitlines()
    assert lines[0].split() == ["file", "label", "verdict", "p_fake", "labelled", "by", "note"]
    assert {line.split()[1] for line in lines[1:3]} == {"fake", "real"}
    assert "analyst, another" in text
    assert "to ingest: 2 files (1 real, 1 fake)" in lines
    assert "left out, labelled differently by several people: 1" in lines
    assert any(line.startswith("left out, bytes not found: 1;") for line in lines)
    assert "left out, the prediction is not in the log or had no file: 2" in lines
    table = read_manifest(settings.data_dir)
    found = {row.media_id: (row.label, row.source, row.licence) for row in table.itertuples()}
    assert found == {
        sha256_file(originals / "deep" / "renamed.bin.png"): ("fake", "feedback", "ours"),
        sha256_file(settings.job_media_dir / "an_kept" / "media"): ("real", "feedback", "ours"),
    }
    assert not (settings.work_dir / "feedback").exists()
    status, text = call("--media", str(originals), "--yes")
    assert (status, text.splitlines()[0]) == (0, "to ingest: 0 files (0 real, 0 fake)")
    assert "in the dataset already: 2" in text


@pytest.mark.parametrize(("arguments", "answer", "status"), [((), "n\n", 1), (("--dry-run",), None, 0)])
def test_nothing_is_ingested_that_was_not_agreed_to(settings, originals, arguments, answer, status):
    assert call("--media", str(originals), *arguments, answer=answer)[0] == status
    assert not settings.data_dir.exists()


def test_without_feedback_there_is_nothing_to_ingest(settings):
    assert call() == (0, "to ingest: 0 files (0 real, 0 fake)\n")


def test_media_of_a_job_that_were_changed_are_not_taken(settings, originals):
    (settings.job_media_dir / "an_kept" / "media").write_bytes(b"something else")
    found = from_feedback.plan(settings, originals)
    assert [each.label for each in found.files] == ["fake"]
    assert len(found.not_found) == 2


def test_a_folder_that_does_not_exist_is_named(settings, originals):
    with pytest.raises(DataError, match="nowhere"):
        from_feedback.plan(settings, originals / "nowhere")
