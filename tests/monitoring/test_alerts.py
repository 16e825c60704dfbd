from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from deepfakestream.monitoring.alerts import Alert, raise_alert

ALERT = Alert(
    kind="drift.confirmed",
    summary="the score drifted",
    severity="ticket",
    advice="open the report",
    runbook="docs/MONITORING.md#driftconfirmed",
    raised_at=datetime(2026, 3, 2, 12, tzinfo=UTC),
    facts={"share": 0.5},
)


class Receiver(HTTPServer):
    """A webhook that keeps what it got and answers with `status`."""

    def __init__(self, status: int) -> None:
        self.status = status
        self.bodies: list[dict[str, object]] = []
        bodies = self.bodies

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(status)
                if status == 302:
                    self.send_header("Location", "/elsewhere")
                self.end_headers()

            def do_GET(self) -> None:  # where urllib would go after a redirection
                self.send_response(200)
                self.end_headers()

            def log_message(self, *args: object) -> None:
                pass

        super().__init__(("127.0.0.1", 0), Handler)


@pytest.fixture(params=[204, 302, 500])
def receiver(request: pytest.FixtureRequest) -> Iterator[Receiver]:
    server = Receiver(request.param)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_an_alert_is_logged_and_kept(tmp_path, caplog):
    with caplog.at_level(logging.WARNING, "deepfakestream.alerts"):
        path = raise_alert(ALERT, directory=tmp_path / "alerts")
    assert path is not None
    assert path.name == "20260302T120000000000-drift.confirmed.json"
    assert Alert.model_validate_json(path.read_text()) == ALERT
    (record,) = caplog.records
    assert json.loads(record.getMessage().removeprefix("alert "))["facts"] == {"share": 0.5}


def test_an_alert_is_posted_and_a_refusing_receiver_breaks_nothing(tmp_path, receiver, caplog):
    url = f"http://127.0.0.1:{receiver.server_port}/hook"
    kept = raise_alert(ALERT, directory=tmp_path, webhook_url=url)
    assert receiver.bodies[0]["summary"] == ALERT.summary
    refused = f"alert not sent to 127.0.0.1 (HTTP Error {receiver.status}"
    assert (refused in caplog.text) is (receiver.status != 204)
    assert (f"it is kept as {kept}" in caplog.text) is (receiver.status != 204)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:9/secret",
        "http://127.0.0.1:90O0/secret",
        "http://127.0.0.1/a secret",
        "file:///etc/passwd",
        "http://",
        "http://secret@127.0.0.1:9/",
    ],
)
def test_an_alert_that_cannot_be_sent_is_still_kept(url, tmp_path, caplog):
    with caplog.at_level(logging.ERROR, "deepfakestream.alerts"):
        assert raise_alert(ALERT, directory=tmp_path, webhook_url=url) is not None
    assert "alert not sent" in caplog.text
    assert "secret" not in caplog.text


def test_a_folder_that_cannot_be_written_breaks_nothing(tmp_path, caplog):
    (tmp_path / "alerts").write_text("a file")
    url = "http://127.0.0.1:9/hook"
    assert raise_alert(ALERT, directory=tmp_path / "alerts", webhook_url=url) is None
    assert "alert not kept" in caplog.text
    assert "alert not sent to 127.0.0.1" in caplog.text
    assert "it is in this log only" in caplog.text
    assert "it is kept" not in caplog.text
