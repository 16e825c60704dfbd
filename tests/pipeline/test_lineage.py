"""The chain from an answer to all that it comes from, by the step and by the command line."""

from __future__ import annotations

import dataclasses
import json
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from deepfakestream.cli import app
from deepfakestream.errors import DataError, ServerError
from deepfakestream.evaluation.params import EvaluateParams
from deepfakestream.host.code_identity import own_code
from deepfakestream.jobs.analyses import Analyses
from deepfakestream.jobs.tables import open_job_store
from deepfakestream.jobs.types import NewAnalysis, Retention, Verdict
from deepfakestream.monitoring.audit import append_audit
from deepfakestream.monitoring.governor import RetrainGovernor
from deepfakestream.monitoring.governor_rules import ClaimRequest
from deepfakestream.monitoring.params import RetrainParams
from deepfakestream.monitoring.prediction_log import PredictionLog
from deepfakestream.pipeline import evaluate, lineage, promote, rollback
from deepfakestream.pipeline.trigger import Trigger
from deepfakestream.promotion.params import PromoteParams
from deepfakestream.registry.tracking import start_run
from deepfakestream.settings import Settings
from deepfakestream.wiring import mlflow_store, open_alerter

POLICY = PromoteParams(min_auc=0.0, max_ece=1.0, min_groups=20, min_new_items=10)
FLOW_RUN = str(uuid.UUID(int=7))
MD5 = "d47a.dir"


def train_and_promote(settings: Settings, write_model: Callable[..., None], trigger: Trigger | None) -> int:
    """Train a model as a run that says what started it, and promote it."""
    packaged = settings.work_dir / "version-0"
    write_model(packaged, slope=-1.0, name="version 0")
    tags = trigger.tags() if trigger else {}
    with start_run(mlflow_store(settings), name="train rgb", tags=tags) as run:
        run.log_params({"seed": 7, "train": {"network": {"variant": "rgb"}}})
    facts = {"run_id": run.run_id, "training_items": {"count": 40, "until": "2026-01-01T00:00:00+00:00"}}
    (settings.train_dir / "run.json").write_text(json.dumps(facts))
    evaluate.run(EvaluateParams(num_bootstrap=20, robustness_faces=0), settings=settings)
    done = promote.run(POLICY, settings=settings, packaged=packaged)
    assert done.promoted
    return done.version


def log_prediction(settings: Settings, prediction_id: str, *, version: str, weights: str) -> None:
    result = SimpleNamespace(
        media=SimpleNamespace(sha256="ab" * 32, kind="video"),
        verdict="fake",
        p_fake=0.93,
        reasons=[],
        operating_point="balanced",
        threshold=SimpleNamespace(threshold=0.5),
        model=SimpleNamespace(name="deepfakestream-detector", version=version, weights_sha256=weights),
        features={},
        embedding=None,
    )
    with PredictionLog(settings.prediction_database_url) as log:
        log.append(result, prediction_id=prediction_id, channel="http")


@pytest.fixture(scope="module")
def story(make_template: Callable[..., Settings], write_model: Callable[..., None]) -> Settings:
    """Drift led to a claim, a flow run, a training and version 1; it answered, and was rolled back."""
    settings = make_template()
    (settings.workspace / "params.yaml").write_text("seed: 7\n")
    (settings.workspace / "data.dvc").write_text(f"outs:\n- md5: {MD5}\n  path: data\n")
    append_audit(settings.audit_file, "ingest", {"source": "videos", "added": 80, "data": MD5})
    append_audit(settings.audit_file, "ingest", {"source": "other", "added": 1, "data": "another.dir"})
    request = ClaimRequest(model_version="0", occasion="drift", reason="p_fake drifted", force=True)
    governor = RetrainGovernor(settings.governor_db)
    claim = governor.claim(request, RetrainParams(), datetime.now(UTC)).claim_id
    assert claim is not None
    trigger = Trigger(
        occasion="drift",
        reason="p_fake drifted",
        by="flows@machine",
        claim=claim,
        flow_run_id=FLOW_RUN,
        flow_run_name="calm-otter",
    )
    alerter = open_alerter(settings)
    alerter.tell("retrain.started", "a retraining of version 0 starts", facts={"claim": claim})
    alerter.tell("retrain.started", "another retraining starts", facts={"claim": "other"})
    version = train_and_promote(settings, write_model, trigger)
    governor.finish(claim, "promoted", datetime.now(UTC))
    weights = lineage.find(settings, str(version)).link("model version").facts["weights_sha256"]
    log_prediction(settings, "an_1", version="1", weights=weights)
    log_prediction(settings, "an_2", version="1", weights="cd" * 32)
    log_prediction(settings, "an_0", version="0", weights="cd" * 32)
    rollback.run(settings=settings, reason="false alarms at night", to=0)
    append_audit(settings.audit_file, "delete", {"analysis": "an_1"})
    return settings


def test_the_chain_of_a_prediction_has_every_link(story):
    found = lineage.find(story, "an_1")
    facts = {link.name: link.facts for link in found.links}
    assert list(facts) == [
        "prediction",
        "model version",
        "run",
        "code",
        "data",
        "parameters",
        "trigger",
        "decisions",
        "alerts",
        "audit",
    ]
    assert (facts["prediction"]["verdict"], facts["prediction"]["p_fake"]) == ("fake", 0.93)
    assert facts["model version"]["version"] == 1
    assert "false alarms at night" in facts["model version"]["rolled_back"]
    assert (facts["run"]["run_name"], facts["run"]["status"]) == ("train rgb", "FINISHED")
    assert (facts["code"]["code_sha256"], facts["code"]["is_installed_here"]) == (own_code().sha256, True)
    assert (facts["data"]["dvc_data_md5"], facts["data"]["is_in_data_dvc_now"]) == (MD5, True)
    assert (facts["parameters"]["seed"], facts["parameters"]["is_in_params_yaml_now"]) == ("7", True)
    trigger = facts["trigger"]
    assert (trigger["occasion"], trigger["by"], trigger["outcome"]) == ("drift", "flows@machine", "promoted")
    assert trigger["overridden"]
    assert facts["decisions"]["gate_outcome"] == "PROMOTE"


def test_only_what_is_about_the_subject_is_listed(story):
    found = lineage.find(story, "an_1")
    (ingested,) = found.link("data").entries
    assert "source videos" in ingested
    decided, rolled_back = found.link("decisions").entries
    assert ("PROMOTE" in decided, "false alarms at night" in rolled_back) == (True, True)
    kinds = [entry.split()[2].rstrip(":") for entry in found.link("alerts").entries]
    assert kinds == ["retrain.started", "model.promoted", "model.rolled_back"]
    actions = [entry.split()[3] for entry in found.link("audit").entries]
    assert actions == ["ingest:", "promote:", "rollback:", "delete:"]


def test_pages_are_addresses(story):
    pages = {link.name: link.pages for link in lineage.find(story, "1").links if link.pages}
    assert set(pages) == {"model version", "run", "trigger"}
    assert pages["trigger"]["flow run"] == f"http://127.0.0.1:4200/runs/flow-run/{FLOW_RUN}"
    assert pages["run"]["run"].startswith("http://127.0.0.1:5000/#/experiments/")


@pytest.mark.slow
def test_what_is_not_known_is_said(story, make_workspace, write_model):
    elsewhere = make_workspace()
    train_and_promote(elsewhere, write_model, None)
    found = lineage.find(elsewhere, "1")
    missing = {link.name: " ".join(link.not_recorded) for link in found.links if link.not_recorded}
    assert {"data", "parameters", "trigger"} <= set(missing)
    assert "nothing was ingested with DVC" in missing["data"]
    assert "not recorded: what started the training" in found.describe()


def test_weights_that_are_not_those_of_the_version_are_named(story):
    (text,) = lineage.find(story, "an_2").link("model version").not_recorded
    assert "cdcdcdcdcdcd" in text
    assert lineage.find(story, "an_1").link("model version").not_recorded == ()


def test_an_analysis_that_is_not_in_the_log_comes_from_the_job_store(story, copy_of):
    settings = copy_of(story)
    weights = lineage.find(settings, "1").link("model version").facts["weights_sha256"]
    database = open_job_store(settings.job_database_url)
    analyses = Analyses(database, retention=Retention(media_h=1, result_h=1))
    new = NewAnalysis(
        id="an_7", owner="local", kind="video", request_id="r", media_sha256="ef" * 32, media_bytes=3
    )
    verdict = Verdict(
        result={"model": {"weights_sha256": weights}},
        timings_ms={},
        kind="video",
        verdict="fake",
        p_fake=0.9,
        model_version="1",
        media_s=2.0,
    )
    analyses.record(new, verdict)
    analyses.submit(dataclasses.replace(new, id="an_8"))
    database.close()
    found = lineage.find(settings, "an_7")
    assert found.link("prediction").facts["media_sha256"] == "ef" * 32
    assert "prediction log" in found.link("prediction").not_recorded[0]
    assert found.link("model version").not_recorded == ()
    with pytest.raises(DataError, match="an_8: this analysis is queued"):
        lineage.find(settings, "an_8")


def test_version_0_was_trained_by_no_workspace(story):
    found = lineage.find(story, "an_0")
    assert [link.name for link in found.links] == ["prediction", "model version", "code", "alerts", "audit"]
    assert len(found.link("model version").not_recorded) == 2  # its training, and the weights that answered
    assert len(lineage.find(story, "0").link("model version").not_recorded) == 1


def test_a_broken_audit_record_is_named_and_hides_nothing_else(story, copy_of):
    settings = copy_of(story)
    settings.audit_file.write_text(settings.audit_file.read_text().replace("videos", "pictures"))
    found = lineage.find(settings, "1")
    assert "line 1" in found.link("audit").not_recorded[0]
    assert found.link("trigger").facts["occasion"] == "drift"


@pytest.mark.parametrize("subject", ["an_unknown", "99", "-1", "v1"])
def test_an_unknown_subject_is_an_error(story, subject):
    with pytest.raises(DataError, match=r"check the id|has no version 99"):
        lineage.find(story, subject)


def test_without_a_registry_nothing_is_made(tmp_path):
    settings = Settings(workspace=tmp_path)
    for subject in ("3", "an_1"):
        with pytest.raises(DataError):
            lineage.find(settings, subject)
    assert list(tmp_path.rglob("*")) == []


def test_a_registry_that_is_away_is_an_error(story):
    away = story.model_copy(update={"tracking_uri": "http://127.0.0.1:9"})
    with pytest.raises(ServerError, match="does not answer"):
        lineage.find(away, "an_1")


def test_the_command_prints_text_and_json(story, monkeypatch):
    monkeypatch.setenv("DEEPFAKESTREAM_WORKSPACE", str(story.workspace))
    text = CliRunner().invoke(app, ["lineage", "an_1"])
    assert text.exit_code == 0
    assert text.stdout.startswith("lineage of prediction an_1\n\nprediction\n")
    assert f"http://127.0.0.1:4200/runs/flow-run/{FLOW_RUN}" in text.stdout
    found = json.loads(CliRunner().invoke(app, ["lineage", "an_1", "--json"]).stdout)
    assert found["links"][0]["facts"]["media_sha256"] == "ab" * 32
