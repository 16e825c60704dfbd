"""Decides before a body is read, counts while it is read, and words every refusal.

BentoML and FastAPI read a body of any size, queue without bound, and answer failures in three formats. This
ASGI middleware wraps them: a request is refused by its headers (host, site, key, kind, length), by what is
already in work, or as soon as it has sent too much or too slowly; and whatever fails behind it leaves as a
problem document with a request id.
"""

from __future__ import annotations

import asyncio
import logging
import math
import re
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from deepfakestream.access.rates import PERIOD_S
from deepfakestream.errors import ServerError
from deepfakestream.service import problems
from deepfakestream.service.callers import Caller
from deepfakestream.service.places import UploadPlaces, WorkPlace
from deepfakestream.service.problems import Problem, Refused

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
_WITHOUT_BODY = {"GET", "HEAD"}
_FILE_TYPE = re.compile(r"(image|video)/[a-z0-9.+-]+|application/octet-stream")
_FORM = "multipart/form-data"
MAX_IDLE_S = 20.0
"""Longest time without a byte of a body that is not complete."""
GRACE_S = 10.0
"""Time from the headers in which a body may come as slowly as it likes."""
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What may come in."""

    upload_bytes: Mapping[str, int]
    """Most bytes of a request body, by path of each endpoint that takes a file."""
    other_bytes: int = 65_536
    """Most bytes of a body sent anywhere else."""
    max_uploads: int
    """Uploads of a kind that arrive at a time; more are turned away."""
    max_uploads_per_client: int
    """Of these, uploads of one caller."""
    min_bytes_s: int
    """Slowest mean rate of an upload."""
    max_idle_s: float = MAX_IDLE_S
    grace_s: float = GRACE_S
    retry_after_s: float = 2.0


class Host(Protocol):
    """What stands behind the middleware: `deepfakestream.service.runtime.Runtime`."""

    @property
    def policy(self) -> Policy:
        """What may come in."""
        ...

    async def identify(self, scope: Scope, headers: Headers) -> Caller:
        """Return who sends a request.

        Args:
            scope: ASGI scope of the request.
            headers: of the request.

        Raises:
            Refused: host, site, key or rate forbid it.
        """
        ...

    async def make_room(self, path: str, caller: Caller) -> WorkPlace | None:
        """Return the place of an upload, or None where it needs none.

        Args:
            path: of the request.
            caller: who sends it.

        Raises:
            Refused: there is no model yet, no place, or the caller's quota is used up.
        """
        ...

    def problem_of(self, path: str, status: int) -> Problem:
        """Return the problem for a bare status that came from behind the middleware.

        Args:
            path: of the request.
            status: of the answer.
        """
        ...

    def refused(self, kind: str) -> None:
        """Count a problem that the middleware itself raised, by its type."""
        ...

    def answered(self, method: str, path: str, status: int, seconds: float) -> None:
        """Count an answer.

        Args:
            method: of the request.
            path: of the request.
            status: of the answer.
            seconds: from the headers to the start of the answer.
        """
        ...


class Admission:
    """ASGI middleware; see the module."""

    def __init__(self, app: ASGIApp, *, host: Host) -> None:
        """Wrap an application."""
        self._app = app
        self._host = host
        self._uploads = UploadPlaces()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        given = headers.get("x-request-id", "")
        request_id = given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
        exchange = _Exchange(
            receive=receive,
            send=send,
            policy=self._host.policy,
            request_id=request_id,
            method=scope["method"],
            path=scope["path"],
            problem_of=self._host.problem_of,
        )
        place = None
        try:
            caller = await self._host.identify(scope, headers)
            exchange.caller = caller
            place = await self._admit(headers, exchange, caller)
        except Refused as refused:
            exchange.refusal = refused.problem
        except ServerError:
            _LOG.exception("request %s: the store does not answer", exchange.request_id)
            exchange.refusal = problems.store_unavailable()
        state = {"request_id": exchange.request_id, "caller": exchange.caller, "place": place}
        scope["state"] = {**scope.get("state", {}), **state}
        if exchange.refusal is not None:
            await exchange.refuse(exchange.refusal)
        else:
            await self._pass_on(scope, exchange, place)
        if exchange.refusal is not None:
            self._host.refused(exchange.refusal.type)
        self._host.answered(exchange.method, exchange.path, exchange.status, exchange.seconds)

    async def _admit(self, headers: Headers, exchange: _Exchange, caller: Caller) -> WorkPlace | None:
        """Take the places that an upload needs.

        Raises:
            Refused: the headers forbid it, or there is no room.
        """
        _check_headers(headers, exchange)
        if not exchange.is_upload:
            return None
        policy, path, client = exchange.policy, exchange.path, caller.client
        if not self._uploads.has_room(path, policy.max_uploads):
            raise Refused(
                problems.overloaded(
                    policy.retry_after_s, capacity=policy.max_uploads, what="uploads that arrive"
                )
            )
        limit = policy.max_uploads_per_client
        if client and self._uploads.num_of(client) >= limit:
            raise Refused(problems.too_many_at_once(policy.retry_after_s, limit=limit, what="uploads"))
        # Taken before the question below waits, or several requests would see the same free place.
        self._uploads.enter(path, client)
        exchange.on_body_end = lambda: self._uploads.leave(path, client)
        try:
            return await self._host.make_room(path, caller)
        except BaseException:
            exchange.end_body()
            raise

    async def _pass_on(self, scope: Scope, exchange: _Exchange, place: WorkPlace | None) -> None:
        if place is not None:
            place.lend_while_uploading()
        try:
            await self._app(scope, exchange.receive_counted, exchange.send_worded)
        except _BodyRefused:
            if exchange.refusal is not None:
                await exchange.refuse(exchange.refusal)
        except Exception:  # noqa: BLE001 - whatever fails behind the middleware leaves as a problem
            _LOG.exception("request %s failed", exchange.request_id)
            await exchange.refuse(problems.internal())
        finally:
            exchange.end_body()
            if place is not None:
                place.release()


def _check_headers(headers: Headers, exchange: _Exchange) -> None:
    """Do nothing where a request could be what its path takes.

    Raises:
        Refused: its length or its type forbid it.
    """
    length = headers.get("content-length", "0")
    if not length.isdecimal():
        raise Refused(problems.of_status(400, "Content-Length is not a number."))
    if int(length) > exchange.max_bytes:
        raise Refused(exchange.too_much())
    media_type = _media_type(headers)
    is_file = media_type == _FORM or _FILE_TYPE.fullmatch(media_type) is not None
    if not exchange.is_upload:
        if is_file and exchange.method not in _WITHOUT_BODY:
            raise Refused(exchange.misplaced())
        return
    if headers.get("content-encoding", "identity").lower() != "identity":
        text = "Compressed request bodies are not taken; send the file as it is."
        raise Refused(problems.not_an_upload(text))
    if not is_file:
        text = "Send the file as the body with its type, e.g. image/jpeg, or in the field 'file' of a form."
        raise Refused(problems.not_an_upload(text))


class _BodyRefused(Exception):  # noqa: N818 - carries control, not an error
    """Stops the reader of the body."""


@dataclass(slots=True, kw_only=True)
class _Exchange:
    """One request and its response."""

    receive: Receive
    send: Send
    policy: Policy
    request_id: str
    method: str
    path: str
    problem_of: Callable[[str, int], Problem]
    caller: Caller | None = None
    refusal: Problem | None = None
    on_body_end: Callable[[], None] | None = None
    """Is called once, when the body is complete or will not be read any more."""
    _num_bytes: int = 0
    _body_ended: bool = False
    status: int = 499
    """Of the answer; where none was sent, the client was gone."""
    seconds: float = 0.0
    """From the headers to the begin of the answer."""
    _started: bool = False
    _muted: bool = False
    _began_at: float = field(default_factory=time.monotonic)

    @property
    def is_upload(self) -> bool:
        """Whether this is how files are taken."""
        return self.method == "POST" and self.path in self.policy.upload_bytes

    @property
    def max_bytes(self) -> int:
        """Most bytes of the body."""
        return self.policy.upload_bytes[self.path] if self.is_upload else self.policy.other_bytes

    def too_much(self) -> Problem:
        """Return what is wrong with a body over `max_bytes`."""
        return problems.too_large(self.max_bytes) if self.is_upload else self.misplaced()

    def misplaced(self) -> Problem:
        """Return what is wrong with a file that came where none is taken: its method or its path."""
        if self.path in self.policy.upload_bytes:
            return problems.method_not_allowed()
        return problems.no_upload_here(self.policy.upload_bytes)

    def end_body(self) -> None:
        """Note that no more of the body will be read."""
        self._body_ended = True
        if self.on_body_end is not None:
            self.on_body_end()
            self.on_body_end = None

    async def receive_counted(self) -> Message:
        """Pass the next message on; refuse the request once its body is too large or too slow."""
        if self._body_ended:
            return await self.receive()
        try:
            async with asyncio.timeout(self.policy.max_idle_s):
                message = await self.receive()
        except TimeoutError as error:
            self.refusal = problems.slow_upload(self.policy.min_bytes_s)
            raise _BodyRefused from error
        self._num_bytes += len(message.get("body", b""))
        if not message.get("more_body", False):
            self.end_body()
        if self._num_bytes > self.max_bytes:
            self.refusal = self.too_much()
            raise _BodyRefused
        late_s = time.monotonic() - self._began_at - self.policy.grace_s
        if not self._body_ended and self._num_bytes < late_s * self.policy.min_bytes_s:
            self.refusal = problems.slow_upload(self.policy.min_bytes_s)
            raise _BodyRefused
        return message

    async def send_worded(self, message: Message) -> None:
        """Pass a response on with our headers; replace one that fails in words other than ours."""
        if self._muted:
            return
        if message["type"] == "http.response.start":
            if self.refusal is not None:
                await self.refuse(self.refusal)
                return
            headers = MutableHeaders(raw=message["headers"])
            if message["status"] >= 400 and _media_type(headers) != problems.MEDIA_TYPE:
                await self.refuse(self.problem_of(self.path, message["status"]), keep=headers)
                return
            self._decorate(headers)
            self._begin(message["status"])
        await self.send(message)

    async def refuse(self, problem: Problem, keep: Headers | None = None) -> None:
        """Answer with the problem, unless an answer is already on its way."""
        self._muted = True
        if self._started:
            return
        self._begin(problem.status)
        body = problem.body(self.request_id)
        headers = MutableHeaders({"content-type": problems.MEDIA_TYPE, "content-length": str(len(body))})
        headers.update({name: keep[name] for name in ("allow", "retry-after") if keep and name in keep})
        headers.update(problem.headers)
        self._decorate(headers)
        await self.send({"type": "http.response.start", "status": problem.status, "headers": headers.raw})
        await self.send({"type": "http.response.body", "body": body})

    def _begin(self, status: int) -> None:
        self._started, self.status = True, status
        self.seconds = time.monotonic() - self._began_at

    def _decorate(self, headers: MutableHeaders) -> None:
        headers["x-request-id"] = self.request_id
        headers["x-content-type-options"] = "nosniff"
        headers.setdefault("cache-control", "no-store")
        rate = self.caller.rate if self.caller else None
        if rate is not None and "ratelimit" not in headers:
            headers["ratelimit-policy"] = f'"requests";q={rate.limit};w={PERIOD_S}'
            headers["ratelimit"] = f'"requests";r={rate.remaining};t={math.ceil(rate.seconds_to_next)}'


def _media_type(headers: Headers) -> str:
    """Return the type without its parameters; upper and lower case mean the same."""
    return headers.get("content-type", "").partition(";")[0].strip().lower()
