"""The step promote: the trained model becomes challenger, and champion if the gate says so.

It is compared with the champion on the same test files, whatever each was measured on before; with version 0,
the model inside the package, where no version is champion.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from deepfakestream.data.manifest import read_manifest
from deepfakestream.errors import DataError, GateError, ServerError
from deepfakestream.evaluation.files import ATTACHED, Evaluation, read_evaluation
from deepfakestream.evaluation.scores import read_items, score_items
from deepfakestream.host.user import user_at_machine
from deepfakestream.model.folder import model_sha256
from deepfakestream.model.packaged import PACKAGED_VERSION, packaged_model_dir
from deepfakestream.monitoring.audit import append_audit
from deepfakestream.pipeline.audit_anchors import leave_anchor
from deepfakestream.pipeline.extract import stored_faces
from deepfakestream.pipeline.locks import one_at_a_time
from deepfakestream.pipeline.training_facts import new_training_items, read_training_items
from deepfakestream.promotion.gate import Decision, Outcome, decide, refuse_rolled_back
from deepfakestream.promotion.ledger import (
    LEDGER_FILE,
    Entry,
    append_entry,
    last_promotion,
    pairs_decided,
    read_entries,
)
from deepfakestream.promotion.note import DECISION_TAG, note_decision
from deepfakestream.promotion.params import PromoteParams
from deepfakestream.registry import versions
from deepfakestream.registry.champion import ROLLED_BACK_TAG, make_champion
from deepfakestream.registry.tracking import TrackedRun, lineage_of, resume_run
from deepfakestream.settings import Settings
from deepfakestream.wiring import mlflow_store, model_page, open_alerter

GATE_SEED = 0
"""Fixed: asking the gate again about the same models and files gives the same answer."""
TRAINED_UNTIL_TAG = "trained_until"
"""On a version: when the newest item that it was trained on was ingested."""
MANY_USES = 20
"""After so many decisions a test set has been looked at too often to be unseen."""
_MARKS = {Outcome.PROMOTE: "ok  ", Outcome.HOLD: "hold", Outcome.REJECT: "no  "}


@dataclass(frozen=True, slots=True, kw_only=True)
class Promotion:
    """What came of a challenger."""

    version: int
    champion_before: int | None
    promoted: bool
    """Whether the version is champion now."""
    decision: Decision | None
    """None where the version was champion already: there was nothing to decide."""
    test_set_uses: int
    """Decisions that this test set has carried, this one included."""

    def describe(self) -> str:
        """Return the outcome and every rule's sentence."""
        if self.decision is None:
            return f"version {self.version} is champion already; nothing changed"
        before = f"version {self.champion_before or PACKAGED_VERSION}"
        change = (
            f"version {self.version} is champion now, {before} before"
            if self.promoted
            else f"version {self.version} stays challenger, {before} stays champion"
        )
        lines = [f"{self.decision.outcome}: {change}"]
        if self.decision.outcome == Outcome.PROMOTE and not self.promoted:
            lines.append(
                "  waits for a person (promote.approval: manual): 'deepfakestream promote --approve' makes "
                "it champion"
            )
        lines += [f"  {_MARKS[rule.outcome]} {rule.text}" for rule in self.decision.rules]
        if self.test_set_uses > MANY_USES:
            lines.append(f"  note: this test set has decided {self.test_set_uses} times; draw another")
        return "\n".join(lines)


def run(
    params: PromoteParams,
    *,
    settings: Settings,
    again: bool = False,
    approved: bool = False,
    packaged: Path | None = None,
) -> Promotion:
    """Register `artifacts/train` as challenger and make it champion if the gate says so.

    A model that is registered already keeps its version. Each decision is appended to `work/promotions.jsonl`
    with all its numbers, and noted on the version and its run. May be repeated: what a registry that went
    away has cut off is completed.

    Args:
        params: section `promote`.
        settings: of the workspace.
        again: decide also about a version that a rollback removed; otherwise it is refused.
        approved: a person wants the version as champion; needed where `promote.approval` is manual.
        packaged: model folder of version 0; default: the one in the package.

    Raises:
        DataError: the model was not evaluated, or on other weights or other test files, or they changed.
        WeightsError: files of a model are missing or damaged.
        GateError: another champion was made while this one was compared; nothing is moved.
        ServerError: the registry does not answer.
    """
    policy = params.model_copy(update={"approval": "automatic"}) if approved else params
    with one_at_a_time(settings):
        return _promote(policy, settings, again=again, packaged=packaged or packaged_model_dir())


def _promote(params: PromoteParams, settings: Settings, *, again: bool, packaged: Path) -> Promotion:
    train_dir = settings.train_dir
    evaluation = read_evaluation(
        settings.evaluate_dir, model_dir=settings.train_dir, data_dir=settings.data_dir
    )
    champion = versions.get_alias(mlflow_store(settings), versions.CHAMPION)
    name = f"promote {model_sha256(train_dir)[:8]}"
    with resume_run(mlflow_store(settings), run_id=evaluation.facts["run_id"], name=name) as tracked:
        version = _register(settings, train_dir, evaluation, tracked)
        entries = read_entries(settings.work_dir / LEDGER_FILE)
        decided = pairs_decided(entries, evaluation.facts["test_set_sha256"])
        if version == champion:
            _complete(version, entries, settings, tracked)
            return Promotion(
                version=version,
                champion_before=champion,
                promoted=True,
                decision=None,
                test_set_uses=len(decided),
            )
        versions.set_alias(mlflow_store(settings), versions.CHALLENGER, version)
        mark = versions.get_version(mlflow_store(settings), version).tags.get(ROLLED_BACK_TAG)
        if mark is not None and not again:
            decision = refuse_rolled_back(mark)
        else:
            decision = decide(
                challenger=evaluation.scores,
                champion=_champion_scores(settings, champion, evaluation, packaged),
                policy=params,
                new_items=_new_items(settings, champion),
                seed=GATE_SEED,
            )
        promotion = Promotion(
            version=version,
            champion_before=champion,
            promoted=decision.outcome == Outcome.PROMOTE and params.approval == "automatic",
            decision=decision,
            test_set_uses=len(decided | {(version, champion)}),
        )
        _carry_out(promotion, decision, params, settings=settings, evaluation=evaluation, tracked=tracked)
        if promotion.promoted or (version, champion) not in decided:  # asked again, the gate says the same
            _tell(promotion, decision, settings)
    return promotion


def _register(settings: Settings, train_dir: Path, evaluation: Evaluation, tracked: TrackedRun) -> int:
    known = versions.find_version(mlflow_store(settings), model_dir=train_dir)
    if known is not None:
        return known
    auc = evaluation.metrics["auc"]
    tags = {
        **lineage_of(mlflow_store(settings), tracked.run_id),
        "weights_sha256": evaluation.facts["weights_sha256"],
        "test_set_sha256": evaluation.facts["test_set_sha256"],
        "test_auc": str(auc),
        "test_ece": str(evaluation.metrics["ece"]),
    }
    if learned := read_training_items(train_dir):
        tags |= {TRAINED_UNTIL_TAG: learned.until, "train_items": str(learned.count)}
    return versions.register(
        mlflow_store(settings),
        run_id=tracked.run_id,
        model_dir=train_dir,
        tags=tags,
        attachments={name: evaluation.directory / name for name in ATTACHED},
        metrics={
            name: value for name, value in evaluation.metrics.scalars("test_").items() if value is not None
        },
        description=f"Test files: {evaluation.metrics.describe()}.",
    )


def _new_items(settings: Settings, champion: int | None) -> int:
    """Return how many training items the new model learned from that the champion did not know.

    A champion of an earlier release does not say what it was trained on: nothing counts as new to it.
    """
    learned = read_training_items(settings.train_dir)
    if champion is None or learned is None:
        return learned.count if learned else 0
    known = versions.get_version(mlflow_store(settings), champion).tags.get(TRAINED_UNTIL_TAG)
    if known is None:
        return 0
    manifest = read_manifest(settings.data_dir)
    return new_training_items(manifest[manifest["ingested_at"] <= learned.until], after=known)


def _champion_scores(
    settings: Settings, champion: int | None, evaluation: Evaluation, packaged: Path
) -> pd.DataFrame:
    """Score the champion on the test files of today: what it was measured on may be another split."""
    from deepfakestream.model.scorer import open_scorer
    from deepfakestream.model.tower.sources import tower_path

    directory = packaged if champion is None else versions.fetch(mlflow_store(settings), champion)
    scorer = open_scorer(
        directory,
        device=settings.device,
        version=str(champion or PACKAGED_VERSION),
        tower=tower_path(settings.cache_dir),
    )
    scores = score_items(
        read_items(settings.data_dir),
        scorer,
        settings.extract_dir,
        extract=lambda items, spec: stored_faces(items, spec, settings=settings)[0],
        description="score champion",
    )
    if set(scores["media_id"]) != set(evaluation.scores["media_id"]):
        raise DataError(
            f"{evaluation.directory}: the test split or its crops changed while the champion was scored; "
            "run 'dvc repro evaluate'"
        )
    return scores


def _carry_out(
    promotion: Promotion,
    decision: Decision,
    params: PromoteParams,
    *,
    settings: Settings,
    evaluation: Evaluation,
    tracked: TrackedRun,
) -> None:
    entry = _entry(promotion, decision, params, evaluation)
    ledger = settings.work_dir / LEDGER_FILE
    append_entry(ledger, entry)
    if promotion.promoted:
        try:
            make_champion(mlflow_store(settings), promotion.version, expected=promotion.champion_before)
        except (GateError, ServerError) as error:
            append_entry(
                ledger, {**entry, "outcome": Outcome.HOLD, "reasons": [str(error)], "promoted": False}
            )
            raise
    audited = {"decision": entry["decision_id"], "weights": evaluation.facts["weights_sha256"]}
    audited |= {name: entry[name] for name in ("outcome", "promoted", "version", "champion_before", "run_id")}
    append_audit(settings.audit_file, "promote", audited)
    leave_anchor(settings, [promotion.version], tracked)
    note_decision(entry, read_entries(ledger), store=mlflow_store(settings), tracked=tracked)


def _tell(promotion: Promotion, decision: Decision, settings: Settings) -> None:
    summary, *_ = promotion.describe().splitlines()
    open_alerter(settings).tell(
        "model.promoted" if promotion.promoted else "model.held",
        f"{summary}; {'; '.join(decision.reasons)}",
        links={"model version": model_page(settings, promotion.version)},
        facts={
            "outcome": decision.outcome,
            "version": promotion.version,
            "champion_before": promotion.champion_before,
        },
    )


def _complete(version: int, entries: Sequence[Entry], settings: Settings, tracked: TrackedRun) -> None:
    """Record the promotion of the champion where a server went away between the move and the record."""
    entry = last_promotion(entries, version)
    if entry is None or entries[-1]["decision_id"] != entry["decision_id"]:
        return  # something was decided since: the record was complete, or a rollback made this champion
    ledger = settings.work_dir / LEDGER_FILE
    if not entries[-1]["promoted"]:
        append_entry(ledger, entry)
    if versions.get_version(mlflow_store(settings), version).tags.get(DECISION_TAG) != entry["decision_id"]:
        leave_anchor(settings, [version], tracked)
        note_decision(entry, read_entries(ledger), store=mlflow_store(settings), tracked=tracked)


def _entry(
    promotion: Promotion, decision: Decision, params: PromoteParams, evaluation: Evaluation
) -> dict[str, Any]:
    return {
        "decision_id": str(uuid.uuid4()),
        "decided_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "by": user_at_machine(),
        "outcome": decision.outcome,
        "promoted": promotion.promoted,
        "version": promotion.version,
        "champion_before": promotion.champion_before,
        "reasons": list(decision.reasons),
        "rules": [rule.model_dump(mode="json") for rule in decision.rules],
        "difference": decision.difference.model_dump(mode="json") if decision.difference else None,
        "policy": params.model_dump(mode="json"),
        "test_set_sha256": evaluation.facts["test_set_sha256"],
        "test_set_uses": promotion.test_set_uses,
        "run_id": evaluation.facts["run_id"],
    }
