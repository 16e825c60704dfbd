"""Alerts: a log line, a JSON file in `work/alerts/` and, where a webhook is set, one POST.

An alert tells a person; it decides nothing. What cannot be delivered is logged and never breaks the check.
"""

from __future__ import annotations

import json
import logging
import shutil
import urllib.request
from datetime import datetime
from http.client import HTTPException
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

logger = logging.getLogger("deepfakestream.alerts")

WEBHOOK_TIMEOUT_S = 3.0


class Alert(BaseModel):
    """What happened, for a person and for a machine."""

    model_config = ConfigDict(frozen=True)

    kind: str
    """Short name with dots, e.g. `drift.confirmed`."""
    summary: str
    """One sentence."""
    raised_at: datetime
    facts: dict[str, Any]
    """Numbers and names behind the sentence; must be JSON."""

    @property
    def name(self) -> str:
        """Name of its files, without suffix: time and kind."""
        return f"{self.raised_at:%Y%m%dT%H%M%S%f}-{self.kind}"


def raise_alert(alert: Alert, *, directory: Path, webhook_url: str | None = None) -> Path | None:
    """Log, keep and send an alert.

    Args:
        alert: what happened.
        directory: folder that keeps one JSON file an alert.
        webhook_url: http(s) address to post the same JSON to.

    Returns:
        The file, or None where it could not be written.
    """
    text = alert.model_dump_json(indent=2)
    logger.warning("alert %s", json.dumps(json.loads(text), sort_keys=True))
    kept = _keep(text, directory / f"{alert.name}.json")
    if webhook_url:
        _post(text, webhook_url)
    return kept


def keep_page(page: Path, alert: Alert, directory: Path) -> Path | None:
    """Copy a page that an alert speaks of beside the alert's file; None where that could not be done."""
    kept = directory / f"{alert.name}{page.suffix}"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(page, kept)
    except OSError as error:
        logger.error("%s: page of an alert not kept (%s); check the folder", kept, error)
        return None
    return kept


def _keep(text: str, path: Path) -> Path | None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        logger.error("%s: alert not kept (%s); check the folder", path, error)
        return None
    return path


def _post(text: str, url: str) -> None:
    if not url.startswith(("http://", "https://")):
        logger.error("alert not sent: DEEPFAKESTREAM_ALERT_WEBHOOK_URL must begin with http:// or https://")
        return
    request = urllib.request.Request(  # noqa: S310 - scheme checked above
        url, data=text.encode(), headers={"Content-Type": "application/json"}, method="POST"
    )
    try:
        with urllib.request.urlopen(request, timeout=WEBHOOK_TIMEOUT_S):  # noqa: S310
            pass
    except (OSError, ValueError) as error:
        # The address may hold a secret, so only its host is named.
        logger.error("alert not sent to %s (%s); it is kept as a file", request.host, error)
    except HTTPException as error:  # an address that is none, whose words would show it, or another protocol
        logger.error(
            "alert not sent (%s); it is kept as a file; check DEEPFAKESTREAM_ALERT_WEBHOOK_URL",
            type(error).__name__,
        )
