"""Going back to an earlier champion, by the command line and by the step; the way back holds."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from deepfakestream.cli import app
from deepfakestream.errors import DataError, GateError, ParamsError, ServerError, WeightsError
from deepfakestream.evaluation.params import EvaluateParams
from deepfakestream.monitoring.alert_book import AlertBook
from deepfakestream.monitoring.audit import append_audit, read_audit
from deepfakestream.monitoring.audit_anchors import ANCHOR_TAG, Anchor
from deepfakestream.pipeline import audit_anchors, evaluate, model_versions, promote, rollback
from deepfakestream.promotion.ledger import read_entries
from deepfakestream.promotion.params import PromoteParams
from deepfakestream.registry import champion, versions
from deepfakestream.registry.store import open_client
from deepfakestream.settings import Settings
from deepfakestream.wiring import mlflow_store

REPOSITORY = Path(__file__).parents[2]
POLICY = PromoteParams(min_auc=0.0, max_ece=1.0, min_groups=20, min_new_items=10)
MONTHS = ("2025-10-01T00:00:00+00:00", "2025-11-01T00:00:00+00:00", "2026-01-01T00:00:00+00:00")


class Workshop:
    """A workspace that trains models, each on more items than the one before."""

    def __init__(self, settings: Settings, write_model: Callable[..., None]) -> None:
        self.settings = settings
        self._write_model = write_model
        write_model(settings.work_dir / "version-0", slope=-1.0, name="version 0")

    @property
    def champion(self) -> int | None:
        return versions.get_alias(mlflow_store(self.settings), versions.CHAMPION)

    def tags(self, version: int) -> dict[str, str]:
        return versions.get_version(mlflow_store(self.settings), version).tags

    def train(self, name: str, *, slope: float = 1.0) -> None:
        """Train a model on items of the given month; every later one has learned from more."""
        self._write_model(self.settings.train_dir, slope=slope, name=name)
        count = len(versions.list_versions(mlflow_store(self.settings)))
        until = MONTHS[0] if count == 0 else MONTHS[2]
        facts = {"run_id": "unknown-run", "training_items": {"count": 40, "until": until}}
        (self.settings.train_dir / "run.json").write_text(json.dumps(facts))
        evaluate.run(EvaluateParams(num_bootstrap=20, robustness_faces=0), settings=self.settings)

    def promote(self, *, again: bool = False) -> promote.Promotion:
        packaged = self.settings.work_dir / "version-0"
        return promote.run(POLICY, settings=self.settings, again=again, packaged=packaged)


@pytest.fixture(scope="module")
def two_promotions(make_template: Callable[..., Settings], write_model: Callable[..., None]) -> Settings:
    """Version 2 is champion, version 1 was."""
    made = Workshop(make_template(), write_model)
    for name in ("first", "second"):
        made.train(name)
        assert made.promote().promoted
    return made.settings


@pytest.fixture
def shop(
    two_promotions: Settings, copy_of: Callable[[Settings], Settings], write_model: Callable[..., None]
) -> Workshop:
    return Workshop(copy_of(two_promotions), write_model)


@pytest.mark.slow
def test_promotions_and_rollbacks_are_audited_and_alerted(shop):
    rollback.run(settings=shop.settings, reason="false alarms at night")
    entries = read_audit(shop.settings.audit_file)
    assert [(one.action, one.details["version"]) for one in entries] == [
        ("promote", 1),
        ("promote", 2),
        ("rollback", 1),
    ]
    assert entries[2].details["reason"] == "false alarms at night"
    book = AlertBook(shop.settings.alerts_db, directory=shop.settings.alerts_dir)
    raised = list(reversed(book.newest(9)))
    assert [one.kind for one in raised] == ["model.promoted", "model.promoted", "model.rolled_back"]
    assert "false alarms at night" in raised[2].summary
    assert raised[1].links["model version"].startswith("http://127.0.0.1:5000/#/models/")


def anchor(tags: dict[str, str]) -> Anchor:
    return Anchor.model_validate_json(tags[ANCHOR_TAG])


@pytest.mark.slow
def test_each_decision_leaves_the_head_of_the_audit_record_in_mlflow(shop):
    shop.train("third", slope=-1.0)
    assert not shop.promote().promoted
    rollback.run(settings=shop.settings, reason="false alarms at night")
    heads = [entry.sha256 for entry in read_audit(shop.settings.audit_file)]
    left = {version: anchor(shop.tags(version)).sha256 for version in (1, 2, 3)}
    assert left == {1: heads[3], 2: heads[3], 3: heads[2]}
    run_id = versions.get_version(mlflow_store(shop.settings), 3).run_id
    run = open_client(mlflow_store(shop.settings)).get_run(run_id)
    assert anchor(run.data.tags).sha256 == heads[2]


def verify_audit(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Result:
    monkeypatch.setenv("DEEPFAKESTREAM_WORKSPACE", str(settings.workspace))
    monkeypatch.setenv("DEEPFAKESTREAM_TRACKING_URI", settings.tracking_uri or "")
    return CliRunner().invoke(app, ["audit", "verify"])


@pytest.mark.slow
def test_a_record_that_was_written_again_does_not_fit_mlflow(shop, monkeypatch):
    rollback.run(settings=shop.settings, reason="false alarms at night")
    done = verify_audit(shop.settings, monkeypatch)
    assert done.exit_code == 0
    assert "3 entries, none changed" in done.stdout
    assert "4 compared, all fit" in done.stdout  # two versions, and the runs of two promotions
    record = shop.settings.audit_file
    last = read_audit(record)[-1]
    record.write_text("".join(record.read_text().splitlines(keepends=True)[:-1]))
    append_audit(record, "rollback", {**last.details, "reason": "no reason"})
    with pytest.raises(DataError, match=r"entry 3 .*version [12] in MLflow"):
        audit_anchors.verify(shop.settings)


def test_a_registry_that_is_away_is_said_and_the_chain_is_checked(shop, monkeypatch):
    away = shop.settings.model_copy(update={"tracking_uri": "http://127.0.0.1:9"})
    done = verify_audit(away, monkeypatch)
    assert done.exit_code == 0
    assert "2 entries, none changed" in done.stdout
    assert "not compared: http://127.0.0.1:9" in done.stdout


@pytest.mark.slow
def test_a_gate_that_says_the_same_again_alerts_once(shop):
    shop.train("third", slope=-1.0)
    for _ in range(2):
        assert not shop.promote().promoted
    book = AlertBook(shop.settings.alerts_db, directory=shop.settings.alerts_dir)
    assert [one.kind for one in book.newest(9)].count("model.held") == 1


def test_the_removed_version_is_refused_until_somebody_insists(shop):
    done = rollback.run(settings=shop.settings, reason="false alarms at night")
    assert (done.version, done.before, shop.champion) == (1, 2, 1)
    refused = shop.promote()
    assert refused.decision is not None
    assert (refused.promoted, refused.decision.outcome, shop.champion) == (False, "REJECT", 1)
    assert "false alarms at night" in refused.describe()
    assert shop.promote(again=True).promoted
    assert shop.champion == 2
    assert champion.ROLLED_BACK_TAG not in shop.tags(2)


def test_the_ledger_says_who_why_from_and_to(shop):
    rollback.run(settings=shop.settings, reason="false alarms at night")
    entry = read_entries(shop.settings.work_dir / "promotions.jsonl")[-1]
    assert (entry["action"], entry["champion_before"], entry["version"]) == ("rollback", 2, 1)
    assert (entry["reasons"], "@" in entry["by"]) == (["false alarms at night"], True)
    assert shop.tags(2)[champion.ROLLED_BACK_TAG] == (
        f"{entry['decided_at']} by {entry['by']}: false alarms at night"
    )


def test_mlflow_shows_the_same_history_as_the_command(shop):
    rollback.run(settings=shop.settings, reason="false | alarms")
    found = model_versions.history(shop.settings)
    assert [(one.version, one.before, one.action) for one in found.reigns] == [
        (1, None, "promote"),
        (2, 1, "promote"),
        (1, 2, "rollback"),
    ]
    assert [one.until is None for one in found.reigns] == [False, False, True]
    note = open_client(mlflow_store(shop.settings)).get_registered_model(shop.settings.registered_model)
    rows = [line for line in note.description.splitlines() if line.startswith("| version")]
    assert [row.split()[2] for row in rows] == ["1", "2", "1"]  # the newest first
    assert "false \\| alarms" in rows[0]
    for version in (1, 2):
        text = versions.get_version(mlflow_store(shop.settings), version).description
        assert text.startswith("Test files: AUC ")
        assert "rollback to version 1 from version 2" in text


def test_back_and_further_back(shop):
    shop.train("third", slope=2.0)
    shop.settings.work_dir.joinpath("promotions.jsonl").read_text()
    champion.make_champion(mlflow_store(shop.settings), shop.promote().version, expected=2)
    assert rollback.run(settings=shop.settings, reason="bad").version == 2
    assert rollback.run(settings=shop.settings, reason="bad too").version == 1
    with pytest.raises(GateError, match="--to"):
        rollback.run(settings=shop.settings, reason="and this one")
    assert rollback.run(settings=shop.settings, reason="and this one", to=0).version == 0
    assert shop.champion is None
    assert champion.champion_version(mlflow_store(shop.settings)) == "0"
    with pytest.raises(GateError, match="already"):
        rollback.run(settings=shop.settings, reason="again", to=0)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["rejected", "rolled back"])
def test_no_way_to_an_unfit_version_without_insisting(shop, kind):
    if kind == "rejected":
        shop.train("reversed", slope=-1.0)
        assert shop.promote().decision.outcome == "REJECT"
        unfit = 3
    else:
        rollback.run(settings=shop.settings, reason="bad")
        unfit = 2
    before = shop.champion
    with pytest.raises(GateError, match="--anyway"):
        rollback.run(settings=shop.settings, reason="wish", to=unfit)
    assert shop.champion == before
    assert rollback.run(settings=shop.settings, reason="wish", to=unfit, anyway=True).version == unfit
    assert shop.champion == unfit


def test_an_unfit_previous_champion_is_refused_too(shop):
    versions.tag_version(mlflow_store(shop.settings), 1, {"gate_outcome": "REJECT"})
    with pytest.raises(GateError, match="--anyway"):
        rollback.run(settings=shop.settings, reason="bad")


def test_unknown_version(shop):
    with pytest.raises(DataError, match="version 9"):
        rollback.run(settings=shop.settings, reason="bad", to=9)


def test_a_version_whose_files_are_damaged_is_not_made_champion(shop):
    for path in (shop.settings.work_dir / "models").glob("1-*"):
        shutil.rmtree(path)
    for stored in shop.settings.mlflow_artifacts_dir.rglob("model.safetensors"):
        stored.write_bytes(b"tampered")
    with pytest.raises(WeightsError):
        rollback.run(settings=shop.settings, reason="bad")
    assert shop.champion == 2


@pytest.mark.parametrize("left", ["both at the present one", "only marked"])
def test_what_was_cut_off_can_be_repeated(shop, left):
    versions.tag_version(mlflow_store(shop.settings), 2, {champion.ROLLED_BACK_TAG: "cut off"})
    if left == "both at the present one":
        versions.set_alias(mlflow_store(shop.settings), versions.PREVIOUS, 2)
    assert rollback.run(settings=shop.settings, reason="bad").version == 1
    assert (shop.champion, versions.get_alias(mlflow_store(shop.settings), versions.PREVIOUS)) == (1, 2)


def test_a_rollback_that_failed_is_no_reign(shop, monkeypatch):
    def lost(*_args: object, **_more: object) -> None:
        raise ServerError("the registry went away")

    monkeypatch.setattr("deepfakestream.pipeline.rollback.roll_back", lost)
    with pytest.raises(ServerError):
        rollback.run(settings=shop.settings, reason="bad")
    assert [one.version for one in model_versions.history(shop.settings).reigns] == [1, 2]


def test_an_alias_that_was_moved_by_hand_is_said(shop):
    versions.set_alias(mlflow_store(shop.settings), versions.CHAMPION, 1)
    assert "warning: the registry says that version 1" in model_versions.history(shop.settings).describe()


class TestCommands:
    @pytest.fixture(autouse=True)
    def _workspace(self, shop, monkeypatch):
        shutil.copyfile(REPOSITORY / "params.yaml", shop.settings.params_file)
        monkeypatch.setenv("DEEPFAKESTREAM_WORKSPACE", str(shop.settings.workspace))

    def run(self, *words: str) -> str:
        done = CliRunner().invoke(app, list(words), catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return done.stdout

    def test_rollback_and_history(self, shop, tmp_path):
        assert "version 1 is champion, version 2 before" in self.run("rollback", "--reason", "bad nights")
        assert "bad nights" in self.run("models", "history", "--plot", str(tmp_path / "h.png"))
        assert (tmp_path / "h.png").read_bytes().startswith(b"\x89PNG")
        content = json.loads(self.run("models", "history", "--json"))
        assert (content["champion"], len(content["reigns"])) == (1, 3)

    def test_rollback_needs_a_reason(self):
        assert CliRunner().invoke(app, ["rollback"]).exit_code == 2

    def test_list_show_and_compare(self, shop):
        listed = self.run("models", "list").splitlines()
        assert [line.split()[:2] for line in listed[1:]] == [["2", "champion"], ["1", "previous"]]
        assert "PROMOTE, compared with version 1" in self.run("models", "show", "2")
        compared = json.loads(self.run("models", "compare", "1", "2", "--json"))
        assert compared["same_test_files"]
        assert compared["metrics"]["auc"] == [compared["metrics"]["auc"][0]] * 2
        assert any(name.startswith("manipulation") for name in compared["slices"])

    def test_version_0_cannot_be_compared(self):
        assert isinstance(CliRunner().invoke(app, ["models", "compare", "0", "1"]).exception, DataError)


def test_outside_a_workspace_no_registry_is_made(tmp_path, monkeypatch):
    monkeypatch.setenv("DEEPFAKESTREAM_WORKSPACE", str(tmp_path))
    failed = CliRunner().invoke(app, ["rollback", "--reason", "x"])
    assert isinstance(failed.exception, ParamsError)
    assert list(tmp_path.iterdir()) == []
