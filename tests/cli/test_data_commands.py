from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from deepfakestream.cli import app
from deepfakestream.data.manifest import read_manifest
from deepfakestream.data.quarantine import Quarantine
from deepfakestream.errors import DataError

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace without DVC that took in three pictures and refused an empty file."""
    root = tmp_path / "ws"
    root.mkdir()
    shutil.copyfile(REPOSITORY / "params.yaml", root / "params.yaml")
    for name, seed in (("real/0.png", 0), ("fake/1.png", 1), ("fake/2.png", 2)):
        path = tmp_path / "faces" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(seed).integers(0, 256, (32, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path)
    (tmp_path / "faces" / "real" / "empty.png").write_bytes(b"")
    monkeypatch.setenv("DEEPFAKESTREAM_WORKSPACE", str(root))
    monkeypatch.chdir(root)
    assert call("ingest", str(tmp_path / "faces")).exit_code == 0
    return root


def call(*arguments: str, answer: str | None = None) -> Result:
    return CliRunner().invoke(app, list(arguments), input=answer)


def test_the_quarantine_is_listed_as_a_table_and_as_json(root: Path) -> None:
    lines = call("data", "quarantine", "list").stdout.splitlines()
    assert lines[0].split() == ["reason", "source", "name", "first", "seen", "last", "seen", "message"]
    assert lines[1].startswith("empty_file  faces   real/empty.png  20")
    assert lines[2] == "in quarantine: 1 (1 empty_file)"
    (entry,) = [json.loads(line) for line in call("data", "quarantine", "list", "--json").stdout.splitlines()]
    assert entry["refusal"]["reason"] == "empty_file"
    assert entry["origin"]["layout"] == "folders"
    assert "empty" in call("data", "quarantine", "list", "--reason", "no_face").stdout
    assert call("data", "quarantine", "list", "--reason", "nonsense").exit_code == 2


def test_requeue_wants_to_know_what_and_reports(root: Path, tmp_path: Path) -> None:
    assert call("data", "quarantine", "requeue").exit_code == 2
    shutil.copyfile(root / "params.yaml", tmp_path / "faces" / "real" / "empty.png")
    text = call("data", "quarantine", "requeue", "--reason", "empty_file").stdout
    assert text.startswith("1 requeued: 1 refused again\nrefused again: unsupported_format: ")


def test_drop_wants_to_know_what_and_asks_first(root: Path) -> None:
    assert call("data", "quarantine", "drop").exit_code == 2
    assert call("data", "quarantine", "drop", "--name", "real/empty.png", answer="n\n").exit_code == 1
    assert len(Quarantine(root / "work" / "quarantine.db").list()) == 1
    done = call("data", "quarantine", "drop", "--reason", "empty_file", "--yes").stdout
    assert "dropped 1; " in done
    assert call("data", "quarantine", "list").stdout == "the quarantine is empty\n"


def test_stats_are_printed_and_drawn(root: Path, tmp_path: Path) -> None:
    text = call("data", "stats", "--plots", str(tmp_path / "plots")).stdout
    assert text.startswith("3 items in 3 groups, people not named, ")
    assert [path.name for path in sorted((tmp_path / "plots").iterdir())] == ["media.png", "methods.png"]
    assert json.loads(call("data", "stats", "--json").stdout)["totals"]["items"] == 3


def test_the_card_is_written_into_the_workspace(root: Path) -> None:
    assert call("data", "card").stdout == f"data card: {root}/work/data-card/data-card.md\n"
    assert (root / "work" / "data-card" / "data-card.md").read_text().startswith("# Data card")


def test_forget_asks_first_and_tells_what_it_did(root: Path) -> None:
    assert "would remove 1 item" in call("data", "forget", "faces/fake/1.png", "--dry-run").stdout
    refused = call("data", "forget", "faces/fake/1.png", answer="n\n")
    assert refused.exit_code == 1
    assert "Forget 1 item? Nothing brings them back [y/N]" in refused.stdout
    assert len(read_manifest(root / "data")) == 3
    done = call("data", "forget", "faces/fake/1.png", "--yes", "--reason", "asked by the person")
    assert "removed 1 item of the dataset" in done.stdout
    assert "asked by the person" in (root / "data" / "forgotten.csv").read_text()
    assert isinstance(call("data", "forget", "faces/fake/1.png").exception, DataError)
    assert "nothing was left" in call("data", "forget").stdout
    assert len(Quarantine(root / "work" / "quarantine.db").list()) == 1
