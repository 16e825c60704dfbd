"""Webhooks to addresses that nothing can be sent to, and to receivers that do not come to an end."""

from __future__ import annotations

import socket
import threading
import time
from pathlib import Path

import pytest
import sqlalchemy as sa

from deepfakestream.host.database import Database
from deepfakestream.jobs import webhooks
from deepfakestream.jobs.tables import DELIVERIES, open_job_store
from deepfakestream.jobs.webhook_address import check_address
from deepfakestream.jobs.webhooks import Courier, post


@pytest.mark.parametrize(
    "url",
    [
        "https://two..dots/",
        "https://.begins-with-a-dot/",
        f"https://{'a' * 64}.org/",
        "https://a\x00b.org/",
        "https://a b.org/",
        "https://a.org/not ascii \u00e4",
        "https://a.org/?q=\u00e4",
        "https://a.org/\x7f",
        "https://a.org:0/",
        "https://a.org:port/",
        "https://[::1/",
    ],
)
@pytest.mark.parametrize("allow_private", [True, False])
def test_an_address_that_nothing_can_be_sent_to_is_refused(url: str, allow_private: bool) -> None:
    assert check_address(url, allow_private=allow_private)


@pytest.mark.parametrize(
    "url", ["https://a.org", "https://a.org:8443/b%C3%A4?c=d&e#f", "https://b\u00fccher.example/"]
)
def test_an_address_of_the_public_internet_is_taken(url: str) -> None:
    assert check_address(url, allow_private=False) is None


def queued(database: Database, identifier: str, url: str) -> None:
    with database.writing() as connection:
        connection.execute(
            sa.insert(DELIVERIES).values(
                id=identifier, analysis_id="an_1", owner="local", url=url, payload="{}", created_at=1.0,
                next_at=1.0, attempts=0, state="pending",
            )
        )  # fmt: skip


def test_one_address_that_cannot_be_used_holds_up_no_other(tmp_path: Path) -> None:
    database = open_job_store(f"sqlite:///{tmp_path}/jobs.db")
    with socket.create_server(("127.0.0.1", 0)) as receiver:

        def answer() -> None:
            connection, _ = receiver.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        queued(database, "a", "http://two..dots/")
        queued(database, "b", f"http://127.0.0.1:{receiver.getsockname()[1]}/\u00e4")
        queued(database, "c", f"http://127.0.0.1:{receiver.getsockname()[1]}/hook")
        assert Courier(database, allow_private=True, clock=lambda: 9.0).deliver_due() == 3
        thread.join()
    with database.reading() as connection:
        rows = connection.execute(sa.select(DELIVERIES.c.id, DELIVERIES.c.state)).all()
        states = {row.id: row.state for row in rows}
    assert states == {"a": "pending", "b": "pending", "c": "delivered"}
    database.close()


def test_a_receiver_that_sends_a_byte_at_a_time_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhooks, "TIMEOUT_S", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as receiver:

        def drip() -> None:
            connection, _ = receiver.accept()
            deadline = time.monotonic() + 60.0
            with connection:
                try:
                    while time.monotonic() < deadline:
                        connection.sendall(b"x")
                        time.sleep(0.02)
                except OSError:
                    pass

        thread = threading.Thread(target=drip)
        thread.start()
        with pytest.raises(TimeoutError):
            post(f"http://127.0.0.1:{receiver.getsockname()[1]}/", b"{}", {}, allow_private=True)
        thread.join()
