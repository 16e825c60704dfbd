"""Go back to an earlier champion, and keep the one that was removed from coming back by itself."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime

from deepfakestream.errors import DeepfakeStreamError
from deepfakestream.host.user import user_at_machine
from deepfakestream.model.packaged import PACKAGED_VERSION
from deepfakestream.monitoring.audit import append_audit
from deepfakestream.pipeline.audit_anchors import leave_anchor
from deepfakestream.promotion.ledger import LEDGER_FILE, ROLLBACK, append_entry, read_entries
from deepfakestream.promotion.note import note_history
from deepfakestream.registry import versions
from deepfakestream.registry.champion import PACKAGED_NUMBER, champion_lock, roll_back, rollback_target
from deepfakestream.settings import Settings
from deepfakestream.wiring import mlflow_store, model_page, open_alerter


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollback:
    """Which version took whose place."""

    version: int
    """The champion now; 0 is the model inside the package."""
    before: int | None
    """The version that was removed."""

    def describe(self) -> str:
        """Return the change and what follows from it."""
        lines = [
            f"rollback: version {self.version} is champion, version {self.before or PACKAGED_VERSION} before"
        ]
        if self.before is not None:
            lines.append(
                f"promote, train and retrain refuse version {self.before} from now on; "
                "'deepfakestream promote --again' decides about it all the same"
            )
        return "\n".join(lines)


def run(*, settings: Settings, reason: str, to: int | None = None, anyway: bool = False) -> Rollback:
    """Make an earlier version champion, and mark the present one so that the gate refuses it.

    Time, person, reason and both versions go to the ledger `work/promotions.jsonl` and to MLflow's notes. The
    files of the version are fetched and verified first. May be repeated: what a registry that went away has
    cut off is completed. It waits for no stage that runs; a promotion that runs meanwhile is given up.

    Args:
        settings: of the workspace.
        reason: why; kept in the ledger and on the version that is removed.
        to: the version to go back to, 0 for the model inside the package; None: the champion before.
        anyway: go also to a version that the gate did not promote, or that was rolled back itself.

    Raises:
        DataError: the registry has no such version.
        GateError: there is nothing to go back to, or the version is not fit and `anyway` is False.
        WeightsError: its files are not those that were registered.
        ServerError: the registry does not answer.
    """
    store, ledger = mlflow_store(settings), settings.work_dir / LEDGER_FILE
    with champion_lock(store):
        current = versions.get_alias(store, versions.CHAMPION)
        target = rollback_target(store, current, to=to, anyway=anyway)
        if target != PACKAGED_NUMBER:
            versions.fetch(store, target)
        now, by = datetime.now(UTC).isoformat(timespec="seconds"), user_at_machine()
        entry = {
            "action": ROLLBACK,
            "decision_id": str(uuid.uuid4()),
            "decided_at": now,
            "by": by,
            "version": target,
            "champion_before": current,
            "anyway": anyway,
            "reasons": [reason],
        }
        append_entry(ledger, entry)  # before the move: a kill between the two leaves a record, not a secret
        try:
            roll_back(store, target, current, mark=f"{now} by {by}: {reason}")
        except DeepfakeStreamError:
            append_entry(ledger, {**entry, "failed": True})
            raise
    concerned = [version for version in (target, current) if version]
    audited = {"version": target, "before": current, "reason": reason, "decision": entry["decision_id"]}
    append_audit(settings.audit_file, "rollback", audited)
    open_alerter(settings).tell(
        "model.rolled_back",
        f"version {target} is champion, version {current or PACKAGED_VERSION} before; {by}: {reason}",
        links={"model version": model_page(settings, current or target)},
        facts={"version": target, "champion_before": current},
    )
    leave_anchor(settings, concerned)
    note_history(read_entries(ledger), concerned, store=store)
    return Rollback(version=target, before=current)
