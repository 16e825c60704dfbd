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
from typing import Any, Literal
from urllib.parse import urlsplit

from deepfakestream.frozen import Frozen
from deepfakestream.host.whole_files import replacing

logger = logging.getLogger("deepfakestream.alerts")

WEBHOOK_TIMEOUT_S = 3.0


class Alert(Frozen):
    """What happened, for a person and for a machine."""

    kind: str
    """Short name with dots, e.g. `drift.confirmed`."""
    summary: str
    """One sentence."""
    severity: Literal["page", "ticket", "info"]
    """How soon somebody should look: now, within a day, not at all."""
    advice: str
    """What to do first."""
    runbook: str
    """Section of the documents that says the rest."""
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
    failure = _post(text, webhook_url) if webhook_url else ""
    if failure:
        place = f"kept as {kept}" if kept else "in this log only"
        logger.error(
            "alert not sent%s; it is %s; check DEEPFAKESTREAM_ALERT_WEBHOOK_URL and its receiver",
            failure,
            place,
        )
    return kept


def keep_page(page: Path, alert: Alert, directory: Path) -> Path | None:
    """Copy a page that an alert refers to next to the alert's file; None where that could not be done.

    Args:
        page: the HTML file.
        alert: that refers to it.
        directory: folder of the alerts.
    """
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
        with replacing(path) as partial:
            partial.write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        logger.error("%s: alert not kept (%s); check the folder", path, error)
        return None
    return path


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Takes a redirection for a refusal: urllib would follow it with a GET, which delivers nothing."""

    def redirect_request(self, *_: Any) -> None:
        """Follow none."""


def _post(text: str, url: str) -> str:
    """Post the alert; return why it was refused, or "". Of the address only the host is named."""
    if not url.startswith(("http://", "https://")):
        return ": the address must begin with http:// or https://"
    request = urllib.request.Request(  # noqa: S310 - scheme checked above
        url, data=text.encode(), headers={"Content-Type": "application/json"}, method="POST"
    )
    try:
        with urllib.request.build_opener(_NoRedirect).open(request, timeout=WEBHOOK_TIMEOUT_S):
            return ""
    except (OSError, ValueError) as error:
        return f" to {urlsplit(url).hostname} ({error})"
    except HTTPException as error:  # an address that is none, whose words would show it, or another protocol
        return f" ({type(error).__name__})"
