"""Receivers of alerts on this machine: HTTP, as a webhook and Slack have it, and SMTP."""

from __future__ import annotations

import email
import json
import socketserver
import threading
from collections.abc import Callable, Iterator
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest


class HttpReceiver(ThreadingHTTPServer):
    """Keeps what it got and answers with `status`."""

    def __init__(self, status: int = 200) -> None:
        self.status = status
        self.paths: list[str] = []
        self.bodies: list[dict[str, Any]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                content = self.rfile.read(int(self.headers["Content-Length"]))
                outer.paths.append(self.path)
                outer.bodies.append(json.loads(content))
                self.send_response(outer.status)
                if outer.status == 302:
                    self.send_header("Location", "/elsewhere")
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"ok")

            def do_GET(self) -> None:  # where clients would go after a redirection
                self.send_response(200)
                self.end_headers()

            def log_message(self, *args: object) -> None:
                pass

        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class SmtpReceiver(socketserver.ThreadingTCPServer):
    """Takes mail and keeps it."""

    daemon_threads = True

    def __init__(self) -> None:
        self.mails: list[Message] = []
        outer = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                self._say("220 test ESMTP")
                for raw in self.rfile:
                    command = raw.decode().strip().upper()
                    if command == "DATA":
                        self._say("354 go on")
                        lines: list[bytes] = []
                        while (line := self.rfile.readline()) != b".\r\n":
                            lines.append(line)
                        outer.mails.append(email.message_from_bytes(b"".join(lines)))
                    self._say("221 bye" if command == "QUIT" else "250 ok")
                    if command == "QUIT":
                        return

            def _say(self, text: str) -> None:
                self.wfile.write(text.encode() + b"\r\n")

        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        port = self.server_address[1]
        return f"mailto://127.0.0.1:{port}/?from=dfs@example.org&to=oncall@example.org&mode=insecure"


@pytest.fixture
def start() -> Iterator[Callable[[socketserver.BaseServer], Any]]:
    """Serve in a thread until the test ends."""
    running: list[tuple[socketserver.BaseServer, threading.Thread]] = []

    def begin(server: socketserver.BaseServer) -> Any:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        running.append((server, thread))
        return server

    yield begin
    for server, thread in running:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def webhook(start: Callable[[Any], Any]) -> HttpReceiver:
    return start(HttpReceiver())


@pytest.fixture
def mailbox(start: Callable[[Any], Any]) -> SmtpReceiver:
    return start(SmtpReceiver())


@pytest.fixture
def slack(start: Callable[[Any], Any], monkeypatch: pytest.MonkeyPatch) -> HttpReceiver:
    """Slack's incoming webhooks: Apprise's own plugin, sent to this machine."""
    from apprise.plugins.slack import NotifySlack

    server = start(HttpReceiver())
    monkeypatch.setattr(NotifySlack, "webhook_url", f"{server.url}/services")
    return server
