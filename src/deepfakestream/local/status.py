"""What runs in a workspace and how its loop does, for a person on call."""

from __future__ import annotations

from deepfakestream.errors import DeepfakeStreamError
from deepfakestream.host.process_place import is_running
from deepfakestream.host.text_table import text_table
from deepfakestream.local.pages import pages
from deepfakestream.local.running_record import RunningRecord, is_up, read_record
from deepfakestream.model.packaged import PACKAGED_VERSION
from deepfakestream.monitoring.alert_book import AlertBook
from deepfakestream.monitoring.drift_report import SIGN
from deepfakestream.monitoring.governor import RetrainGovernor
from deepfakestream.registry.champion import champion_version
from deepfakestream.settings import Settings
from deepfakestream.wiring import mlflow_store

_NO_CHAMPION = "none; version 0 of the package answers"


def describe(settings: Settings) -> str:
    """Return what runs since when, the champion, the last drift check and retraining, conditions, and pages.

    What cannot be asked now is named; it stops nothing else.

    Args:
        settings: of the workspace.
    """
    record = read_record(settings.work_dir)
    running = is_up(record)
    servers = record.servers.values() if record else ()
    addresses = {each.name: each.address for each in servers if is_running(each.process)}
    # While it runs, the local MLflow server holds the store.
    asked = settings
    if "mlflow" in addresses:
        asked = settings.model_copy(update={"tracking_uri": addresses["mlflow"]})
    check, retraining = "none yet", "none yet"
    conditions: list[str] = []
    if settings.alerts_db.exists():
        book = AlertBook(settings.alerts_db, directory=settings.alerts_dir)
        if sign := book.last_sign(SIGN):
            check = f"{sign.seen_at:%Y-%m-%d %H:%M} UTC, {sign.detail}"
        conditions = [
            f"since {began:%Y-%m-%d %H:%M} UTC: {name}" for name, began in book.open_conditions().items()
        ]
    if settings.governor_db.exists():
        retraining = RetrainGovernor(settings.governor_db).describe_last()
    lines = [
        *_servers(record, running=running),
        "",
        f"champion: {_champion(asked)}",
        f"last drift check: {check}",
        f"last retraining: {retraining}",
        *conditions,
    ]
    return "\n".join([*lines, "", *(pages(settings, addresses) if running else [])]).rstrip()


def _servers(record: RunningRecord | None, *, running: bool) -> list[str]:
    if record is None:
        return ["nothing runs here; start it with 'deepfakestream up'"]
    head = f"runs since {record.started_at} (process {record.pid})"
    if not running:
        head = f"process {record.pid} was killed; 'deepfakestream down' ends what may be left of its servers"
    rows = [
        [
            each.name,
            "runs" if is_running(each.process) else "has ended",
            each.pid,
            each.started_at,
            each.num_restarts,
            each.address,
        ]
        for each in record.servers.values()
    ]
    return [head, *text_table(["server", "state", "process", "since", "restarts", "address"], rows)]


def _champion(settings: Settings) -> str:
    if not settings.has_registry:
        return _NO_CHAMPION
    try:
        version = champion_version(mlflow_store(settings))
    except DeepfakeStreamError as error:
        return f"unknown ({error})"
    return _NO_CHAMPION if version == PACKAGED_VERSION else f"version {version}"
