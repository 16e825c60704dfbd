"""The door: what is refused by headers alone, what while the body comes in, and how refusals look."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send

from deepfakestream.service.admission import Admission, Policy, UploadSlots

POLICY = Policy(upload_bytes={"/up": 100}, other_bytes=10, max_concurrency=1, upload_timeout_s=0.2)
FORM = {"content-type": "multipart/form-data; boundary=x"}


@dataclass
class Door:
    """The middleware in front of an application that reads the body and says how much it read."""

    slots: UploadSlots = field(default_factory=UploadSlots)
    ready: bool = True
    reached: int = 0
    refused: list[str] = field(default_factory=list)
    inner: Callable[[Scope, Receive, Send], Awaitable[None]] | None = None

    async def _app(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.reached += 1
        size, more = 0, True
        while more:
            message = await receive()
            size += len(message.get("body", b""))
            more = message.get("more_body", False)
        await send(
            {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]}
        )
        await send({"type": "http.response.body", "body": str(size).encode()})

    def request(
        self, *chunks: bytes, path: str = "/up", method: str = "POST", delay_s: float = 0.0, **headers: str
    ) -> tuple[int, dict[str, str], Any]:
        names = {name.replace("_", "-"): value for name, value in {**FORM_NAMES, **headers}.items()}
        scope = {
            "type": "http", "method": method, "path": path,
            "headers": [(name.encode(), value.encode()) for name, value in names.items()],
        }  # fmt: skip
        return asyncio.run(self._exchange(scope, list(chunks) or [b""], delay_s))

    async def _exchange(
        self, scope: Scope, chunks: list[bytes], delay_s: float
    ) -> tuple[int, dict[str, str], Any]:
        sent: list[Message] = []

        async def receive() -> Message:
            await asyncio.sleep(delay_s)
            body = chunks.pop(0)
            return {"type": "http.request", "body": body, "more_body": bool(chunks)}

        async def send(message: Message) -> None:
            sent.append(message)

        door = Admission(
            self.inner or self._app, policy=lambda: POLICY, slots=self.slots, ready=lambda: self.ready,
            on_refusal=self.refused.append,
        )  # fmt: skip
        await door(scope, receive, send)
        headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
        body = b"".join(message.get("body", b"") for message in sent[1:])
        return sent[0]["status"], headers, json.loads(body)


FORM_NAMES = {"content_type": FORM["content-type"]}


def kind_of(document: dict[str, Any]) -> str:
    return str(document["type"]).rsplit(":", 1)[1]


@pytest.mark.parametrize(
    ("headers", "status", "kind"),
    [
        ({"content_length": "101"}, 413, "too-large"),
        ({"content_length": "99999999999999999999"}, 413, "too-large"),
        ({"content_length": "-5"}, 400, "bad-request"),
        ({"content_length": "many"}, 400, "bad-request"),
        ({"content_type": "application/json"}, 415, "unsupported-media-type"),
        ({"content_type": "multipart/form-database"}, 415, "unsupported-media-type"),
        ({"content_type": ""}, 415, "unsupported-media-type"),
        ({"content_encoding": "gzip"}, 415, "unsupported-media-type"),
    ],
)
def test_headers_alone_can_refuse_and_the_application_sees_nothing(
    headers: dict[str, str], status: int, kind: str
) -> None:
    door = Door()
    got, _, document = door.request(b"x", **headers)
    assert (got, kind_of(document)) == (status, kind)
    assert (door.reached, door.slots.in_work, door.refused) == (0, 0, [kind])


@pytest.mark.parametrize(
    "headers",
    [
        {"content_type": "Multipart/Form-Data; boundary=x"},
        {"content_type": "multipart/form-data ; boundary=x"},
        {"content_encoding": "Identity"},
    ],
)
def test_names_in_headers_are_the_same_in_upper_and_lower_case(headers: dict[str, str]) -> None:
    assert Door().request(b"x", **headers)[0] == 200


def test_a_body_up_to_the_limit_passes_and_one_byte_more_does_not() -> None:
    door = Door()
    assert door.request(b"x" * 60, b"x" * 40)[2] == 100
    status, headers, document = door.request(b"x" * 60, b"x" * 41, b"never read")
    assert (status, kind_of(document), document["max_bytes"]) == (413, "too-large", 100)
    assert headers["connection"] == "close"
    assert door.slots.in_work == 0


def test_a_length_that_lies_is_counted() -> None:
    assert Door().request(b"x" * 101, content_length="5")[0] == 413


def test_a_file_sent_elsewhere_is_told_where_files_go() -> None:
    large = {"content_length": "11", "content_type": "text/plain"}
    for sent in ({"path": "/other"}, {"path": "/up/"}, {"path": "/other", **large}):
        door = Door()
        status, _, document = door.request(b"x", **sent)
        assert door.reached == 0
        assert (status, kind_of(document), door.refused) == (404, "not-found", ["not-found"])
        assert document["detail"] == "This path takes no file; POST it to /up."
    assert Door().request(b"x" * 11, path="/other", content_type="text/plain")[0] == 404
    status, headers, document = Door().request(b"x", method="PUT")
    assert (status, kind_of(document), headers["allow"]) == (405, "method-not-allowed", "POST")


def test_a_question_by_a_client_that_names_the_form_always_is_answered() -> None:
    assert Door().request(b"", path="/other", method="GET")[0] == 200


def test_other_paths_take_a_small_body() -> None:
    assert Door().request(b"x" * 10, path="/other", content_type="text/plain")[0] == 200


def test_a_slow_body_is_given_up() -> None:
    door = Door()
    status, _, document = door.request(b"x", b"x", b"x", b"x", delay_s=0.08)
    assert (status, kind_of(document)) == (408, "slow-upload")
    assert door.slots.in_work == 0


def test_no_place_left() -> None:
    door = Door()
    door.slots.enter(1)
    status, headers, document = door.request(b"x")
    assert (status, kind_of(document), headers["retry-after"]) == (503, "overloaded", "2")
    assert door.request(b"x", path="/other", content_type="text/plain")[0] == 200
    door.slots.leave()
    assert door.request(b"x")[0] == 200


def test_not_ready() -> None:
    status, headers, document = Door(ready=False).request(b"x")
    assert (status, kind_of(document)) == (503, "model-not-ready")
    assert headers["retry-after"] == "2"


@pytest.mark.parametrize("given", ["", "a" * 129, "with space", "new\tline", "ü"])
def test_a_request_id_that_cannot_be_trusted_is_replaced(given: str) -> None:
    headers = Door().request(b"x", x_request_id=given)[1]
    assert len(headers["x-request-id"]) == 32


def test_a_request_id_is_kept() -> None:
    assert Door().request(b"x", x_request_id="Job-7.a_b")[1]["x-request-id"] == "Job-7.a_b"


async def _fails(scope: Scope, receive: Receive, send: Send) -> None:
    raise KeyError("secret")


async def _answers_in_other_words(scope: Scope, receive: Receive, send: Send) -> None:
    headers = [(b"content-type", b"text/plain"), (b"allow", b"GET")]
    await send({"type": "http.response.start", "status": 405, "headers": headers})
    await send({"type": "http.response.body", "body": b"Method Not"})
    await send({"type": "http.response.body", "body": b" Allowed"})


def test_an_exception_is_an_internal_problem_and_gives_its_place_back() -> None:
    door = Door(inner=_fails)
    status, _, document = door.request(b"x")
    assert (status, kind_of(document)) == (500, "internal-error")
    assert "secret" not in str(document)
    assert door.slots.in_work == 0


def test_a_failure_in_other_words_is_put_in_ours() -> None:
    door = Door(inner=_answers_in_other_words)
    status, headers, document = door.request(b"x", path="/other", content_type="text/plain")
    assert (status, kind_of(document), headers["allow"]) == (405, "method-not-allowed", "GET")
    assert "the header Allow names those" in document["detail"]
