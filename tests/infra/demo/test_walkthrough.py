from __future__ import annotations

import io
from pathlib import Path

import pytest

from deepfakestream.evaluation.metrics import Metrics
from deepfakestream.monitoring.drift_report import DriftReport
from deepfakestream.settings import Settings
from infra.demo.console import Story
from infra.demo.facts import Answer, Checked, Facts, GateDecision, Ingested, Retraining
from infra.demo.flows import TaskState
from infra.demo.summary import render
from infra.demo.walkthrough import demo_settings

GATE = GateDecision(
    version=1, promoted=True, outcome="PROMOTE", reasons=("AUC 0.9 is at least the floor 0.5",)
)
EMPTY = Metrics(
    status="empty",
    n=0,
    n_real=0,
    n_fake=0,
    num_groups=3,
    share_not_applicable=None,
    threshold=0.5,
    num_bootstrap=200,
    estimates={},
)


def drift(status: str, reason: str) -> DriftReport:
    return DriftReport(
        status=status, model_version="1", n_current=42, n_reference=42, share=0.0, reason=reason
    )


def facts(**changes: object) -> Facts:
    values = {
        "num_people": 12,
        "num_labelled": 172,
        "sample_was_there": False,
        "ingested": Ingested(
            num_added=169, num_known=0, num_items=169, refused={"truncated": 1}, data_digest="0" * 32
        ),
        "checked": Checked(
            num_items=169, num_crops=288, num_without_face=1, num_rules=20, num_rules_kept=20, passed=True
        ),
        "metrics": EMPTY,
        "first_gate": GATE,
        "champion": 1,
        "answers": (
            Answer(file="a.mp4", label="fake", verdict="not_applicable", p_fake=None, model_version="1"),
            Answer(file="b.jpg", label="real", verdict="likely_real", p_fake=0.1, model_version="1"),
            Answer(file="c.jpg", label="fake", verdict="likely_real", p_fake=0.2, model_version="1"),
            Answer(file="d.jpg", label="real", verdict="likely_fake", p_fake=0.9, model_version="1"),
            Answer(file="e.jpg", label="fake", verdict="likely_fake", p_fake=0.9, model_version="1"),
            Answer(file="f.jpg", label="fake", verdict="inconclusive", p_fake=0.5, model_version="1"),
        ),
        "drift_before": drift("ok", "0 of 11 columns drifted"),
        "drift_after": drift("drift", "9 of 11 columns drifted"),
        "retraining": Retraining(started=True, gate=GATE, asked_again=("cooling down",)),
        "champion_at_end": 1,
        "seconds": {"a": 100.0, "b": 31.0},
    }
    return Facts.model_validate(values | changes)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "What happened in 2 min 11 s"),
        ({}, "quarantined    truncated 1, no_face 1"),
        ({}, "169 files; data version 000000000000 in DVC"),
        ({}, "about 6 files of people whom training did not see: 2 right, 2 undecided, 2 wrong"),
        ({}, "(c.jpg, d.jpg)"),
        ({}, "asked again    refused by the governor: cooling down"),
        ({}, "not the detector's quality: 3 test people"),
        ({"first_gate": None}, "nothing to decide: the trained model is version 1, champion already"),
        ({"sample_was_there": True}, "made by an earlier run and kept"),
        (
            {"retraining": Retraining(started=True, refusals=("too soon",))},
            "refused by the governor: too soon",
        ),
        ({"retraining": Retraining(started=False)}, "the automation started nothing"),
        (
            {"drift_after": drift("ok", "x"), "retraining": Retraining(started=False)},
            "the check found no drift",
        ),
    ],
)
def test_the_summary_says_what_happened(changes, words, tmp_path):
    text = render(facts(**changes), Settings(workspace=tmp_path))
    assert words in text
    assert f"DEEPFAKESTREAM_WORKSPACE={tmp_path} make up" in text


def test_the_demo_stays_in_its_folder(monkeypatch):
    monkeypatch.setenv("DEEPFAKESTREAM_TRACKING_URI", "http://mlflow.example:5000")
    monkeypatch.setenv("DEEPFAKESTREAM_ALERT_URLS", "https://example.org/hook")
    monkeypatch.setenv("DEEPFAKESTREAM_MLFLOW_PORT", "5999")
    settings = demo_settings(Path("demo"))
    assert (settings.tracking_uri, settings.alert_urls) == (None, None)
    assert (settings.workspace, settings.mlflow_port) == (Path("demo"), 5999)


def test_a_story_numbers_its_chapters_and_keeps_their_times():
    stream = io.StringIO()
    story = Story(stream, 2)
    story.chapter("One", "First.")
    tasks = [TaskState(name="extract", state="RUNNING", seconds=1.0)]
    ended = [TaskState(name="extract", state="COMPLETED", seconds=2.0)]
    assert story.watch([[], tasks, ended, ended], num_tasks=1, what="train") == 1
    story.chapter("Two", "Second.")
    story.close()
    assert list(story.seconds) == ["One", "Two"]
    lines = stream.getvalue().splitlines()
    assert [line[:9] for line in lines if line.startswith("[")] == ["[1/2] One", "[2/2] Two"]
    assert [line.split() for line in lines if "extract" in line] == [["extract", "completed", "2.0", "s"]]
