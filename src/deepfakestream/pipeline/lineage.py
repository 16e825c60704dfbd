"""Where a prediction or a version comes from, put together from every record of the workspace.

Prediction → model version → run → code → data → parameters → trigger → decisions → alerts → audit record.
Nothing is guessed: what a record does not hold is named as not recorded.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from deepfakestream.data.versioning.repository import DvcRepo
from deepfakestream.errors import DataError
from deepfakestream.host.code_identity import own_code
from deepfakestream.jobs.analyses import Analyses
from deepfakestream.jobs.tables import open_job_store
from deepfakestream.jobs.types import Retention
from deepfakestream.model.folder import weights_sha256
from deepfakestream.model.packaged import PACKAGED_VERSION, packaged_model_dir
from deepfakestream.monitoring.alert_book import AlertBook
from deepfakestream.monitoring.audit import AuditEntry, read_audit
from deepfakestream.monitoring.governor import RetrainGovernor
from deepfakestream.monitoring.prediction_log import PredictionLog
from deepfakestream.pipeline.lineage_chain import Lineage, Link
from deepfakestream.pipeline.trigger import Trigger, trigger_of
from deepfakestream.promotion.history import version_events
from deepfakestream.promotion.ledger import LEDGER_FILE, read_entries
from deepfakestream.registry import versions
from deepfakestream.registry.champion import ROLLED_BACK_TAG
from deepfakestream.registry.lineage import UNKNOWN, params_sha256
from deepfakestream.registry.runs import RecordedRun, read_run
from deepfakestream.settings import Settings
from deepfakestream.wiring import flow_run_page, mlflow_store, model_page, run_page

SHOWN_PARAMS = ("seed", "train.network.variant", "train.network.backbone", "train.optimisation.epochs")
"""Of some dozens; the run's page has all."""
_OF_A_PREDICTION = (
    "prediction_id", "created_at", "channel", "media_sha256", "kind", "verdict", "p_fake", "reasons",
    "operating_point", "threshold", "model_name", "model_version", "weights_sha256", "client",
)  # fmt: skip


def find(settings: Settings, subject: str) -> Lineage:
    """Return the chain of a prediction, an analysis or a version.

    Args:
        settings: of the workspace.
        subject: id that a caller of the service was given, or number of a registered version.

    Raises:
        DataError: there is no such prediction or version, or the analysis has no verdict.
        ServerError: the registry does not answer.
    """
    if subject.isdecimal():
        version, first = subject, []
    else:
        prediction = _prediction(settings, subject)
        version, first = str(prediction.facts["model_version"]), [prediction]
    if version == PACKAGED_VERSION:
        links = _packaged(settings, first)
    else:
        links = _registered(settings, version, first)
    kind, is_local = "prediction" if first else "version", settings.mlflow_page_url == settings.mlflow_url
    note = "The pages answer while 'deepfakestream up' runs in this workspace." if is_local else ""
    return Lineage(subject=f"{kind} {subject}", links=(*first, *links), note=note)


def _registered(settings: Settings, version: str, first: list[Link]) -> list[Link]:
    if not settings.has_registry:
        raise DataError(
            f"{settings.mlflow_db}: missing, so nothing is known of version {version}; run the command in "
            "the workspace of the registry, or set DEEPFAKESTREAM_TRACKING_URI"
        )
    found = versions.get_version(mlflow_store(settings), int(version))
    run = read_run(mlflow_store(settings), found.run_id) if found.run_id else None
    tags = {**(run.tags if run else {}), **found.tags}
    trigger = trigger_of(tags)
    subjects = {"version": found.number, "champion_before": found.number, "before": found.number}
    names = {"model_version": version}
    if trigger is not None:
        names |= {"claim": trigger.claim, "flow_run_id": trigger.flow_run_id}
    entries = _audit_entries(settings)
    return [
        _version(settings, found, first),
        _run(settings, run),
        _code(tags),
        _data(settings, tags, entries),
        _parameters(settings, run, tags),
        _trigger(settings, trigger),
        _decisions(settings, found),
        _alerts(settings, {**subjects, **names}),
        _audit(entries, {**subjects, "data": tags.get("dvc_data_md5", "")}, first),
    ]


def _packaged(settings: Settings, first: list[Link]) -> list[Link]:
    """Return the links of version 0, which no workspace trained."""
    ours = weights_sha256(packaged_model_dir())
    facts: dict[str, Any] = {"version": PACKAGED_VERSION, "weights_sha256": ours}
    missing = [
        "run, data and parameters: version 0 ships with the package; its card is MODEL_CARD.md in the package"
    ]
    if first and first[0].facts.get("weights_sha256") not in (None, ours):
        missing.append("the weights that answered: another release of the package held them")
    code = own_code()
    return [
        Link(name="model version", facts=facts, not_recorded=tuple(missing)),
        Link(name="code", facts={"code_sha256": code.sha256, "code_commit": code.commit}),
        _alerts(settings, {"version": 0, "model_version": PACKAGED_VERSION}),
        _audit(_audit_entries(settings), {"version": 0}, first),
    ]


def _prediction(settings: Settings, prediction_id: str) -> Link:
    logged = None
    if settings.has_prediction_log:
        with PredictionLog(settings.prediction_database_url) as log:
            logged = log.find(prediction_id)
    if logged is not None:
        facts = {name: getattr(logged, name) for name in _OF_A_PREDICTION}
        created_at = logged.created_at.isoformat(timespec="milliseconds")
        return Link(name="prediction", facts=facts | {"created_at": created_at})
    if not settings.has_job_store:
        raise _no_prediction(settings, prediction_id)
    store = open_job_store(settings.job_database_url)
    try:
        analysis = Analyses(store, retention=Retention(media_h=0, result_h=0)).get(prediction_id)
    finally:
        store.close()
    if analysis is None:
        raise _no_prediction(settings, prediction_id)
    if analysis.model_version is None:
        raise DataError(
            f"{prediction_id}: this analysis is {analysis.status} and has no verdict, so no model answered"
        )
    created_at = datetime.fromtimestamp(analysis.created_at, UTC).isoformat(timespec="seconds")
    names = ("owner", "kind", "status", "media_sha256", "verdict", "p_fake", "model_version")
    facts = {name: getattr(analysis, name) for name in names}
    facts["weights_sha256"] = (analysis.result or {}).get("model", {}).get("weights_sha256")
    return Link(
        name="prediction",
        facts={"prediction_id": prediction_id, "created_at": created_at, **facts},
        not_recorded=("a row in the prediction log; the job store has the analysis",),
    )


def _no_prediction(settings: Settings, prediction_id: str) -> DataError:
    is_set = settings.prediction_log_url is not None
    place = "DEEPFAKESTREAM_PREDICTION_LOG_URL" if is_set else settings.prediction_log_db
    return DataError(
        f"{prediction_id}: neither in the prediction log ({place}) nor among the "
        "analyses, and no number of a version; check the id and the workspace"
    )


def _version(settings: Settings, found: versions.ModelVersion, first: list[Link]) -> Link:
    registered = found.tags.get("weights_sha256")
    missing = []
    if first and registered != (answered := first[0].facts.get("weights_sha256")) and answered:
        missing.append(f"version {found.number} with the weights that answered ({answered[:12]}…)")
    return Link(
        name="model version",
        facts={
            "version": found.number,
            "registered_model": settings.registered_model,
            "aliases": list(found.aliases),
            "registered_at": found.created_at.isoformat(timespec="seconds"),
            "model_sha256": found.tags.get(versions.DIGEST_TAG),
            "weights_sha256": registered,
            "test_auc": found.tags.get("test_auc"),
            "rolled_back": found.tags.get(ROLLED_BACK_TAG),
        },
        pages={"version": model_page(settings, found.number)},
        not_recorded=tuple(missing),
    )


def _run(settings: Settings, run: RecordedRun | None) -> Link:
    if run is None:
        return Link(name="run", not_recorded=("the run of the training: MLflow does not have it any more",))
    missing = []
    if "continues_run" in run.tags:
        elsewhere = run.tags["continues_run"]
        missing.append(f"the training itself: it ran elsewhere (run {elsewhere}) and was pulled from there")
    return Link(
        name="run",
        facts={
            "run_id": run.run_id,
            "run_name": run.name,
            "status": run.status,
            "started_at": run.started_at.isoformat(timespec="seconds"),
            "ended_at": run.ended_at.isoformat(timespec="seconds") if run.ended_at else None,
        },
        pages={"run": run_page(settings, run.experiment_id, run.run_id)},
        not_recorded=tuple(missing),
    )


def _code(tags: Mapping[str, str]) -> Link:
    facts, missing = _known(
        tags,
        {
            "tool_version": "release of the program",
            "code_sha256": "digest of the code: the version was trained by an earlier release",
            "code_commit": "commit of the code: it was installed from a wheel, or by an earlier release",
        },
    )
    if "code_commit" in facts:
        facts["code_dirty"] = tags.get("code_dirty") == "true"
    if "code_sha256" in facts:
        facts["is_installed_here"] = facts["code_sha256"] == own_code().sha256
    return Link(name="code", facts=facts, not_recorded=tuple(missing))


def _data(settings: Settings, tags: Mapping[str, str], entries: list[AuditEntry] | DataError) -> Link:
    facts, missing = _known(
        tags,
        {
            "dvc_data_md5": "version of the data: nothing was ingested with DVC",
            "workspace_commit": "commit of the workspace: it is in no git repository",
            "train_items": "number of training items",
            "trained_until": "when the newest training item was ingested",
            "test_set_sha256": "digest of the test files",
        },
    )
    if "dvc_data_md5" in facts:
        facts["is_in_data_dvc_now"] = facts["dvc_data_md5"] == DvcRepo(settings.workspace).data_digest()
    ingested = [
        entry.describe().strip()
        for entry in (entries if isinstance(entries, list) else [])
        if entry.action == "ingest" and entry.details.get("data") == facts.get("dvc_data_md5", "")
    ]
    if "dvc_data_md5" in facts and not ingested:
        missing.append("the ingestion that made this version: not in the audit record of this workspace")
    return Link(name="data", facts=facts, entries=tuple(ingested), not_recorded=tuple(missing))


def _parameters(settings: Settings, run: RecordedRun | None, tags: Mapping[str, str]) -> Link:
    facts, missing = _known(tags, {"params_sha256": "values of params.yaml"})
    if "params_sha256" in facts:
        facts["is_in_params_yaml_now"] = facts["params_sha256"] == params_sha256(mlflow_store(settings))
    params = run.params if run else {}
    facts |= {name: params[name] for name in SHOWN_PARAMS if name in params}
    if params:
        facts["logged_params"] = len(params)
    else:
        missing.append("single parameters: the run has none")
    return Link(name="parameters", facts=facts, not_recorded=tuple(missing))


def _trigger(settings: Settings, trigger: Trigger | None) -> Link:
    if trigger is None:
        text = "what started the training: it ran elsewhere, or by an earlier release"
        return Link(name="trigger", not_recorded=(text,))
    facts: dict[str, Any] = {name: value for name, value in trigger.model_dump().items() if value}
    pages, missing = {}, []
    claim = None
    if trigger.claim and settings.governor_db.exists():
        claim = RetrainGovernor(settings.governor_db).find_claim(trigger.claim)
    if claim is not None:
        facts |= {
            "champion_then": claim.model_version,
            "claimed_at": claim.claimed_at,
            "finished_at": claim.finished_at,
            "outcome": claim.outcome,
            "overridden": list(claim.overridden),
        }
    elif trigger.claim:
        missing.append(f"claim {trigger.claim}: not in the governor's store of this workspace")
    else:
        missing.append("a claim: the governor was not asked")
    if trigger.flow_run_id:
        pages = {"flow run": flow_run_page(settings, trigger.flow_run_id)}
    else:
        missing.append("a flow run: the training was started outside Prefect")
    return Link(name="trigger", facts=facts, pages=pages, not_recorded=tuple(missing))


def _decisions(settings: Settings, found: versions.ModelVersion) -> Link:
    names = ("gate_outcome", "gate_compared_with", "gate_decision_id")
    facts = {name: found.tags[name] for name in names if name in found.tags}
    events = tuple(version_events(read_entries(settings.work_dir / LEDGER_FILE), found.number))
    missing = []
    if not facts:
        missing.append("a decision of the promotion gate: it was not asked about this version")
    elif not events:
        facts["gate_reasons"] = found.tags.get("gate_reasons", "")
        missing.append(f"the whole decision: another workspace than {settings.workspace.resolve()} made it")
    return Link(name="decisions", facts=facts, entries=events, not_recorded=tuple(missing))


def _alerts(settings: Settings, subjects: Mapping[str, Any]) -> Link:
    """Return the alerts whose facts name one of the subjects."""
    if not settings.alerts_db.exists():
        return Link(name="alerts", not_recorded=("alerts: none was ever raised in this workspace",))
    book = AlertBook(settings.alerts_db, directory=settings.alerts_dir)
    entries = tuple(
        f"{alert.raised_at:%Y-%m-%dT%H:%M:%S+00:00} {alert.title}: {alert.summary.partition('; ')[0]}"
        for alert in book.read()
        if _names(alert.facts, subjects)
    )
    missing = () if entries else ("alerts about it: none was raised in this workspace",)
    return Link(name="alerts", entries=entries, not_recorded=missing)


def _audit_entries(settings: Settings) -> list[AuditEntry] | DataError:
    """Return the audit record, or why it cannot be trusted."""
    try:
        return read_audit(settings.audit_file)
    except DataError as error:
        return error


def _audit(entries: list[AuditEntry] | DataError, subjects: Mapping[str, Any], first: list[Link]) -> Link:
    if isinstance(entries, DataError):
        return Link(name="audit", not_recorded=(f"a record that can be trusted: {entries}",))
    asked = {**subjects, **({"analysis": first[0].facts["prediction_id"]} if first else {})}
    found = tuple(entry.describe().strip() for entry in entries if _names(entry.details, asked))
    missing = () if found else ("entries about it: none in the audit record of this workspace",)
    return Link(name="audit", facts={"chain_is_whole": True}, entries=found, not_recorded=missing)


def _names(facts: Mapping[str, Any], subjects: Mapping[str, Any]) -> bool:
    return any(
        value not in (None, "") and name in facts and str(facts[name]) == str(value)
        for name, value in subjects.items()
    )


def _known(tags: Mapping[str, str], wanted: Mapping[str, str]) -> tuple[dict[str, Any], list[str]]:
    """Return the tags that are known, and for the others what is not recorded."""
    known: dict[str, Any] = {name: tags[name] for name in wanted if tags.get(name, UNKNOWN) != UNKNOWN}
    return known, [text for name, text in wanted.items() if name not in known]
