"""A gate stops the stage graph, the set is mended, and the graph goes on without redoing what was done."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from deepfakestream.data.manifest import read_manifest, write_manifest
from deepfakestream.data.versioning.repository import DvcRepo
from deepfakestream.errors import DataError
from deepfakestream.media.types import RGBImage
from deepfakestream.params import load_params
from deepfakestream.pipeline import ingest
from deepfakestream.pipeline.stages import reproduce
from deepfakestream.pipeline.workspace import create
from deepfakestream.settings import Settings


@pytest.fixture
def settings(tmp_path: Path, astronaut: RGBImage) -> Settings:
    """A workspace with nine face crops, of which two of one person were given to two splits."""
    source = tmp_path / "set"
    source.mkdir()
    rows = ["file,label,kind,group_id,split,manipulation,identity"]
    for number in range(9):
        split = ("train", "val", "test")[number // 3]
        is_fake = number % 3 > 0
        name, label = f"{number}.png", "fake" if is_fake else "real"
        left = 100 + 18 * number
        Image.fromarray(astronaut[20 * number : 20 * number + 160, left : left + 160]).save(source / name)
        person = "ann" if number in (0, 3) else ""
        method = "swap" if is_fake else ""
        rows.append(f"{name},{label},crop,group-{split},{split},{method},{person}")
    (source / "manifest.csv").write_text("\n".join(rows))
    settings = Settings(workspace=tmp_path / "workspace", device="cpu")
    create(settings.workspace)
    params = load_params(settings.workspace / "params.yaml").ingest
    ingest.run(source, params=params, settings=settings, request=ingest.IngestRequest())
    return settings


def stored(settings: Settings) -> dict[str, int]:
    """Files of the face store and when each was written: an item that is opened again is written again."""
    paths = settings.face_store_dir.rglob("*")
    return {str(path): path.stat().st_mtime_ns for path in paths if path.suffix not in (".lock", "")}


@pytest.mark.slow
def test_a_stopped_graph_goes_on_after_the_fix_and_extracts_nothing_again(settings: Settings) -> None:
    with pytest.raises(DataError) as caught:
        reproduce(settings, "validate")
    message = str(caught.value)
    assert "items.no_identity_crosses_splits (2 rows, e.g. set/" in message
    assert "give all items of a person the same group_id" in message
    before = stored(settings)
    assert before
    manifest = read_manifest(settings.data_dir)
    manifest["identity"] = manifest["identity"].where(manifest["split"] != "val", None)
    write_manifest(settings.data_dir, manifest)
    DvcRepo(settings.workspace).add_data()
    reproduce(settings, "validate")
    assert stored(settings) == before
    report = settings.artifacts_dir / "validate" / "report.json"
    assert '"passed": true' in report.read_text()
    assert not reproduce(settings, "validate")
