"""Signed webhooks after Standard Webhooks: one a finished analysis, tried again for a day.

The body is a hint, not the result: the receiver asks the service. Headers are `webhook-id`,
`webhook-timestamp` and `webhook-signature` (`v1,` and the base64 of the HMAC-SHA256 of `id.timestamp.body`).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import logging
import random
import secrets
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

import sqlalchemy as sa

from deepfakestream.errors import DataError
from deepfakestream.host.database import Database
from deepfakestream.jobs.analyses import Clock
from deepfakestream.jobs.tables import DELIVERIES, WEBHOOK_SECRETS
from deepfakestream.jobs.webhook_address import check_address, resolve

SECRET_PREFIX = "whsec_"  # noqa: S105 - the prefix of every secret
BACKOFF_S = (5, 60, 300, 1800, 7200, 18_000, 28_800, 28_800)
"""Waits between the attempts: a day in all."""
TIMEOUT_S = 15.0
"""Longest time that a receiver may take in all, from the connection to the status."""
_LEASE_S = 60.0
_GONE = 410
_LOG = logging.getLogger(__name__)


def sign(secret: str, message_id: str, timestamp: int, body: bytes) -> str:
    """Return the value of `webhook-signature`.

    Args:
        secret: as `webhook_secret` gives it.
        message_id: value of `webhook-id`.
        timestamp: value of `webhook-timestamp`, seconds since 1970.
        body: the body as sent.
    """
    key = base64.b64decode(secret.removeprefix(SECRET_PREFIX))
    signed = f"{message_id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()


def webhook_secret(database: Database, owner: str) -> str:
    """Return the secret that an owner's webhooks are signed with, made when it is first asked for.

    Args:
        database: the job store.
        owner: name of the API key.
    """
    query = sa.select(WEBHOOK_SECRETS.c.secret).where(WEBHOOK_SECRETS.c.owner == owner)
    with database.reading() as connection:
        found = connection.execute(query).scalar()
    if found is not None:
        return str(found)
    made = SECRET_PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()
    try:
        with database.writing() as connection:
            connection.execute(sa.insert(WEBHOOK_SECRETS).values(owner=owner, secret=made))
    except sa.exc.IntegrityError:  # another process was faster
        return webhook_secret(database, owner)
    return made


@dataclass(frozen=True, slots=True, kw_only=True)
class _Message:
    id: str
    owner: str
    url: str
    payload: str
    created_at: float
    attempts: int


class Courier:
    """Sends what is due. Any number of them, in any process, send each message from one place at a time."""

    def __init__(self, database: Database, *, allow_private: bool, clock: Clock = time.time) -> None:
        self._database = database
        self._allow_private = allow_private
        self._clock = clock

    def deliver_due(self) -> int:
        """Try every message that is due, and return how many attempts that were.

        Raises:
            ServerError: the store does not answer.
        """
        attempts = 0
        while (message := self._claim()) is not None:
            self._note(message, self._attempt(message))
            attempts += 1
        return attempts

    def _claim(self) -> _Message | None:
        now = self._clock()
        with self._database.writing() as connection:
            row = connection.execute(
                sa.select(DELIVERIES)
                .where(DELIVERIES.c.state == "pending", DELIVERIES.c.next_at <= now)
                .order_by(DELIVERIES.c.next_at, DELIVERIES.c.id)
                .limit(1)
                .with_for_update(skip_locked=True)
            ).first()
            if row is None:
                return None
            connection.execute(
                sa.update(DELIVERIES)
                .where(DELIVERIES.c.id == row.id)
                .values(next_at=now + _LEASE_S, attempts=row.attempts + 1)
            )
        return _Message(
            id=row.id,
            owner=row.owner,
            url=row.url,
            payload=row.payload,
            created_at=row.created_at,
            attempts=row.attempts + 1,
        )

    def _attempt(self, message: _Message) -> str | int:
        """Return the status that the receiver answered, or why there is none."""
        body = message.payload.encode()
        timestamp = int(self._clock())
        headers = {
            "content-type": "application/json",
            "user-agent": "deepfakestream-webhook",
            "webhook-id": message.id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": sign(
                webhook_secret(self._database, message.owner), message.id, timestamp, body
            ),
        }
        try:
            return post(message.url, body, headers, allow_private=self._allow_private)
        except (OSError, ValueError, http.client.HTTPException, DataError) as error:
            return str(error) or type(error).__name__

    def _note(self, message: _Message, answer: str | int) -> None:
        delivered = isinstance(answer, int) and 200 <= answer < 300
        given_up = answer == _GONE or message.attempts > len(BACKOFF_S)
        values: dict[str, object] = {"last_error": None if delivered else str(answer)}
        if delivered or given_up:
            values["state"] = "delivered" if delivered else "failed"
        else:
            wait_s = BACKOFF_S[message.attempts - 1] * random.uniform(0.9, 1.1)  # noqa: S311 - spreads load only
            values["next_at"] = self._clock() + wait_s
        if not delivered:
            _LOG.warning(
                "webhook %s: attempt %d failed (%s)%s",
                message.id,
                message.attempts,
                answer,
                "; given up" if given_up else "",
            )
        with self._database.writing() as connection:
            connection.execute(sa.update(DELIVERIES).where(DELIVERIES.c.id == message.id).values(**values))


def post(url: str, body: bytes, headers: dict[str, str], *, allow_private: bool) -> int:
    """Post to an address, following no redirect, and return the status.

    Args:
        url: that a client named.
        body: JSON.
        headers: names and values, the signature among them.
        allow_private: also take http and addresses of this machine or network.

    Raises:
        DataError: nothing may be sent there.
        OSError: it cannot be reached, or takes longer than `TIMEOUT_S`.
        ValueError: the address holds characters that cannot be sent.
        HTTPException: it does not speak HTTP.
    """
    if reason := check_address(url, allow_private=allow_private):
        raise DataError(f"the address {reason}")
    parts = urlsplit(url)
    address = resolve(parts, allow_private=allow_private)
    assert parts.hostname
    # The client would look the name up again; this socket goes to the address that was checked.
    raw = socket.create_connection(address, timeout=TIMEOUT_S)
    with _time_limit(raw, TIMEOUT_S):
        try:
            if parts.scheme == "https":
                raw = ssl.create_default_context().wrap_socket(raw, server_hostname=parts.hostname)
            connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=TIMEOUT_S)
            connection.sock = raw
            target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            connection.request("POST", target, body=body, headers=headers)
            return connection.getresponse().status
        finally:
            raw.close()


@contextmanager
def _time_limit(connected: socket.socket, limit_s: float) -> Iterator[None]:
    """Shut a connection down after a time: its own timeout holds for each read, and a byte is enough for one.

    Raises:
        TimeoutError: the time was over before the block ended.
    """
    same = connected.dup()  # TLS takes the socket itself over
    is_late = threading.Event()

    def cut_off() -> None:
        is_late.set()
        with suppress(OSError):
            same.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(limit_s, cut_off)
    timer.daemon = True
    timer.start()
    try:
        yield
    except (OSError, http.client.HTTPException) as error:
        if is_late.is_set():
            raise TimeoutError(f"no answer within {limit_s:g} s") from error
        raise
    finally:
        timer.cancel()
        timer.join()
        same.close()
