"""Channels that alerts go out by, through Apprise: Slack, Teams, e-mail, a webhook and a hundred others.

A plain `http(s)://` address that belongs to no known service gets the whole alert as JSON.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from deepfakestream.monitoring.alerts import Alert

TIMEOUT_S = 4.0
"""To connect, and again to wait for an answer."""


class Channel:
    """One address. Its name in messages shows the service and the host, never a secret."""

    def __init__(self, number: int, address: str) -> None:
        """Read an address.

        Args:
            number: place in the setting, from 1.
            address: as Apprise takes it, or a plain http(s) address.
        """
        self._plugin = _open_plugin(address)
        self._scheme = f"{address.partition('://')[0][:20]}://" if "://" in address else "no address"
        self._number = number

    @property
    def name(self) -> str:
        """E.g. `channel 2 (E-Mail)`."""
        service = str(self._plugin.service_name) if self._plugin else self._scheme
        return f"channel {self._number} ({service})"

    def send(self, alert: Alert) -> str:
        """Send an alert; return "" if the channel took it, otherwise why it did not."""
        if self._plugin is None:
            return "the address is none that Apprise knows; correct it in DEEPFAKESTREAM_ALERT_URLS"
        from apprise import Apprise, NotifyFormat, NotifyType
        from apprise.plugins.custom_json import NotifyJSON

        if isinstance(self._plugin, NotifyJSON):
            # Apprise leaves out its own fields that are mapped to nothing.
            content = alert.model_dump(mode="json")
            self._plugin.payload_extras = {"version": "", "attachments": "", **content}
        notify_type = {"page": NotifyType.FAILURE, "ticket": NotifyType.WARNING}.get(alert.severity)
        if alert.state == "over":
            notify_type = NotifyType.SUCCESS
        with _reasons() as reasons:
            arrived = Apprise([self._plugin]).notify(
                body=alert.text,
                title=alert.title,
                notify_type=notify_type or NotifyType.INFO,
                body_format=NotifyFormat.TEXT,
            )
        return "" if arrived else "; ".join(reasons) or "it was not accepted"


def _open_plugin(address: str) -> Any:
    """Return Apprise's plugin of an address, or None where there is none."""
    from apprise import Apprise, AppriseAsset
    from apprise.plugins.custom_json import NotifyJSON

    # Apprise's own asset would let the receiver fetch pictures from its project's pages.
    asset = AppriseAsset(
        app_id="DeepfakeStream", app_desc="DeepfakeStream", app_url="", image_url_mask="", image_url_logo=""
    )
    with _reasons():  # they hold the address
        plugin = Apprise.instantiate(address, asset=asset, suppress_exceptions=True)
    if plugin is not None or not address.lower().startswith(("http://", "https://")):
        return plugin
    try:
        parts = urlsplit(address)
        if not parts.hostname or any(letter.isspace() for letter in address):
            return None
        return NotifyJSON(  # type: ignore[no-untyped-call]
            host=parts.hostname,
            port=parts.port,
            secure=parts.scheme == "https",
            user=unquote(parts.username) if parts.username else None,
            password=unquote(parts.password) if parts.password else None,
            fullpath=parts.path or "/",
            params=dict(parse_qsl(parts.query)),
            asset=asset,
            redirect="no",  # followed by a GET, which delivers nothing
            cto=TIMEOUT_S,
            rto=TIMEOUT_S,
        )
    except ValueError:
        return None


@contextmanager
def _reasons() -> Iterator[list[str]]:
    """Collect what Apprise logs in this thread about a failure, and keep it from our own log."""
    found: list[str] = []
    thread = threading.get_ident()

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.thread == thread:
                found.append(record.getMessage())

    apprise_log, collector = logging.getLogger("apprise"), Collector(logging.WARNING)
    before, apprise_log.propagate = apprise_log.propagate, False
    apprise_log.addHandler(collector)
    try:
        yield found
    finally:
        apprise_log.removeHandler(collector)
        apprise_log.propagate = before
