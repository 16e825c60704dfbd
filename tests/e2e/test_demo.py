"""The demo as a newcomer runs it: the real command, real servers, twice in one folder."""

from __future__ import annotations

import signal
import socket
import time
from pathlib import Path

import pytest

from deepfakestream.data.manifest import read_manifest

TIMEOUT_S = 1500.0


def digests(folder: Path) -> dict[str, str]:
    return {name: (folder / name).read_text() for name in ("data.dvc", "dvc.lock", "params.yaml")}


@pytest.mark.slow
@pytest.mark.timeout(TIMEOUT_S)
def test_the_first_run_closes_the_loop(first, folder):
    facts = first.facts
    assert facts.num_people == 12
    assert not facts.sample_was_there
    assert facts.ingested.num_added == facts.ingested.num_items == len(read_manifest(folder / "data")) == 169
    assert facts.ingested.refused == {"truncated": 1, "label_missing": 1, "duplicate": 1}
    assert facts.checked.num_without_face == 1
    assert facts.checked.passed
    assert facts.metrics.status == "ok"
    assert (facts.metrics.n, facts.metrics.num_groups) == (42, 3)
    assert facts.first_gate is not None
    assert (facts.first_gate.promoted, facts.first_gate.version, facts.champion) == (True, 1, 1)
    assert [answer.model_version for answer in facts.answers] == ["1"] * 15
    assert [answer.outcome for answer in facts.answers].count("right") > 7
    assert (facts.drift_before.status, facts.drift_after.status) == ("ok", "drift")
    retraining = facts.retraining
    assert retraining.gate is not None
    assert retraining.gate.version == 2
    assert facts.champion_at_end == (2 if retraining.gate.promoted else 1)
    assert any("cooling down" in reason for reason in retraining.asked_again)


@pytest.mark.slow
def test_the_summary_says_what_a_newcomer_asks(first, folder):
    text = first.output.replace("\n", " ")
    for words in ("not the detector's quality", "make up", "curl -F file=@", "report.html", "quarantined"):
        assert words in text
    assert f"DEEPFAKESTREAM_WORKSPACE={folder}" in text


@pytest.mark.slow
@pytest.mark.timeout(2 * TIMEOUT_S)
def test_the_second_run_changes_nothing(first, folder, demo):
    before, sample_files = digests(folder), sorted((folder / "sample").rglob("*"))
    second = demo(folder)
    facts = second.facts
    assert facts.sample_was_there
    assert sorted((folder / "sample").rglob("*")) == sample_files
    assert (facts.ingested.num_added, facts.ingested.num_known) == (0, 169)
    assert digests(folder) == before
    assert facts.champion == facts.champion_at_end == first.facts.champion_at_end
    assert (facts.drift_before.status, facts.drift_after.status) == ("ok", "drift")
    assert facts.retraining.started
    assert facts.retraining.gate is None
    assert any("cooling down" in reason for reason in facts.retraining.refusals)


@pytest.mark.slow
def test_a_busy_port_is_named_before_anything_is_made(tmp_path, start_demo):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with start_demo(tmp_path / "demo", DEEPFAKESTREAM_PREFECT_PORT=str(port)) as process:
            _, errors = process.communicate(timeout=120)
    assert process.returncode == 1
    assert errors.startswith(f"demo: prefect: port {port} on 127.0.0.1 cannot be used")
    assert "DEEPFAKESTREAM_PREFECT_PORT" in errors
    assert not (tmp_path / "demo").exists()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_ctrl_c_stops_the_servers(tmp_path, sample_media, start_demo):
    with start_demo(tmp_path / "demo") as process:
        assert process.stdout is not None
        while "Servers" not in process.stdout.readline():
            assert process.poll() is None
        logs = tmp_path / "demo" / "work" / "logs"
        while not (logs.is_dir() and any(logs.iterdir())):  # a server writes its log from its start on
            assert process.poll() is None
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=120)
    assert process.returncode == 1
    assert errors.rstrip().endswith("what is done is kept")
    for environ in Path("/proc").glob("[0-9]*/environ"):
        try:
            assert f"DEEPFAKESTREAM_WORKSPACE={tmp_path / 'demo'}".encode() not in environ.read_bytes()
        except OSError:
            continue
