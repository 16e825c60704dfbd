"""The door of the service: decides before a body is read, counts while it is read, and words every refusal.

BentoML and FastAPI read a body of any size, queue without bound, and answer failures in three formats. This
ASGI middleware wraps them: an upload is refused by its headers (kind, length), by the number already in
work, or as soon as it has sent too much or too slowly; and whatever fails behind it leaves as a problem
document with a request id.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from deepfakestream.service import problems
from deepfakestream.service.problems import Problem

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
_WITHOUT_BODY = {"GET", "HEAD"}
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What may come in."""

    upload_bytes: Mapping[str, int]
    """Most bytes of a request body, by path of each endpoint that takes a file."""
    other_bytes: int = 65_536
    """Most bytes of a body sent anywhere else."""
    max_concurrency: int
    """Uploads in work at a time; more are turned away."""
    upload_timeout_s: float = 120.0
    """Longest time from a request's headers to the end of its body."""
    retry_after_s: int = 2


class UploadSlots:
    """Counts the uploads in work. Used from the event loop alone."""

    def __init__(self) -> None:
        self.in_work = 0

    def enter(self, capacity: int) -> bool:
        """Take a place; False where all are taken."""
        if self.in_work >= capacity:
            return False
        self.in_work += 1
        return True

    def hold(self) -> None:
        """Take a place for work that goes on after its request was answered."""
        self.in_work += 1

    def leave(self) -> None:
        """Give a place back."""
        self.in_work -= 1


class Admission:
    """ASGI middleware; see the module."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        policy: Callable[[], Policy],
        slots: UploadSlots,
        ready: Callable[[], bool],
        on_refusal: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Wrap an application.

        Args:
            app: the application.
            policy: gives the limits; asked at every request.
            slots: counts the uploads in work.
            ready: whether uploads can be answered.
            on_refusal: called with the type of each problem that this middleware itself raised.
        """
        self._app = app
        self._policy = policy
        self._slots = slots
        self._ready = ready
        self._on_refusal = on_refusal

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        policy = self._policy()
        headers = Headers(scope=scope)
        given = headers.get("x-request-id", "")
        request_id = given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
        exchange = _Exchange(
            receive=receive,
            send=send,
            policy=policy,
            request_id=request_id,
            method=scope["method"],
            path=scope["path"],
        )
        scope["state"] = {**scope.get("state", {}), "request_id": exchange.request_id}
        refusal = self._refusal(headers, exchange)
        if refusal is not None:
            exchange.refusal = refusal
            await exchange.refuse(refusal)
        else:
            await self._pass_on(scope, exchange)
        if exchange.refusal is not None:
            self._on_refusal(exchange.refusal.type)

    def _refusal(self, headers: Headers, exchange: _Exchange) -> Problem | None:
        """Return what the headers alone forbid; takes a place where they forbid nothing."""
        length = headers.get("content-length", "0")
        if not length.isdecimal():
            return problems.of_status(400, "Content-Length is not a number.")
        if int(length) > exchange.max_bytes:
            return exchange.too_much()
        is_form = _media_type(headers) == "multipart/form-data"
        if not exchange.is_upload:
            return exchange.misplaced() if is_form and exchange.method not in _WITHOUT_BODY else None
        if headers.get("content-encoding", "identity").lower() != "identity":
            return problems.not_an_upload("Compressed request bodies are not taken; send the file as it is.")
        if not is_form:
            return problems.not_an_upload("Send multipart/form-data with the media file in the field 'file'.")
        policy = exchange.policy
        if not self._ready():
            return problems.not_ready(policy.retry_after_s)
        return (
            None if self._slots.enter(policy.max_concurrency) else problems.overloaded(policy.retry_after_s)
        )

    async def _pass_on(self, scope: Scope, exchange: _Exchange) -> None:
        try:
            await self._app(scope, exchange.receive_counted, exchange.send_worded)
        except _BodyRefused:
            if exchange.refusal is not None:
                await exchange.refuse(exchange.refusal)
        except Exception:  # noqa: BLE001 - whatever fails behind the door leaves as a problem
            _LOG.exception("request %s failed", exchange.request_id)
            await exchange.refuse(problems.internal())
        finally:
            if exchange.is_upload:
                self._slots.leave()


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
    refusal: Problem | None = None
    _num_bytes: int = 0
    _body_ended: bool = False
    _started: bool = False
    _muted: bool = False
    _deadline: float = field(init=False)

    def __post_init__(self) -> None:
        self._deadline = time.monotonic() + self.policy.upload_timeout_s

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

    async def receive_counted(self) -> Message:
        """Pass the next message on; refuse the request once its body is too large or too late."""
        if self._body_ended:
            return await self.receive()
        try:
            async with asyncio.timeout(self._deadline - time.monotonic()):
                message = await self.receive()
        except TimeoutError as error:
            self.refusal = problems.slow_upload(self.policy.upload_timeout_s)
            raise _BodyRefused from error
        self._num_bytes += len(message.get("body", b""))
        self._body_ended = not message.get("more_body", False)
        if self._num_bytes > self.max_bytes:
            self.refusal = self.too_much()
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
                await self.refuse(problems.of_status(message["status"]), keep=headers)
                return
            self._decorate(headers)
            self._started = True
        await self.send(message)

    async def refuse(self, problem: Problem, keep: Headers | None = None) -> None:
        """Answer with the problem, unless an answer is already on its way."""
        self._muted = True
        if self._started:
            return
        self._started = True
        body = problem.body(self.request_id)
        headers = MutableHeaders({"content-type": problems.MEDIA_TYPE, "content-length": str(len(body))})
        headers.update({name: keep[name] for name in ("allow", "retry-after") if keep and name in keep})
        headers.update(problem.headers)
        self._decorate(headers)
        await self.send({"type": "http.response.start", "status": problem.status, "headers": headers.raw})
        await self.send({"type": "http.response.body", "body": body})

    def _decorate(self, headers: MutableHeaders) -> None:
        headers["x-request-id"] = self.request_id
        headers["x-content-type-options"] = "nosniff"
        headers.setdefault("cache-control", "no-store")


def _media_type(headers: Headers) -> str:
    """Return the type without its parameters; upper and lower case mean the same."""
    return headers.get("content-type", "").partition(";")[0].strip().lower()
