"""The door: what is refused by headers alone, what while the body comes in, and how refusals look."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send

from deepfakestream.access.rates import RateState
from deepfakestream.errors import ServerError
from deepfakestream.service import places, problems
from deepfakestream.service.admission import Admission, Policy
from deepfakestream.service.callers import Caller
from deepfakestream.service.places import WorkPlace, WorkPlaces
from deepfakestream.service.problems import Refused

POLICY = Policy(
    upload_bytes={"/up": 100, "/clips": 100}, other_bytes=10, max_uploads=3, max_uploads_per_client=2,
    min_bytes_s=50, max_idle_s=0.2, grace_s=0.1,
)  # fmt: skip
FORM = {"content-type": "multipart/form-data; boundary=x"}
CALLER = Caller(owner="local", client="address 192.0.2.1", key=None, rate=None)


@dataclass
class Door:
    """The middleware in front of an application that reads the body and says how much it read."""

    places: WorkPlaces = field(default_factory=WorkPlaces)
    refuse: Exception | None = None
    caller: Caller = CALLER
    reached: int = 0
    shed: list[str] = field(default_factory=list)
    counted: list[tuple[str, str, int]] = field(default_factory=list)
    inner: Callable[[Scope, Receive, Send], Awaitable[None]] | None = None
    policy: Policy = POLICY
    middleware: Admission = field(init=False)

    def __post_init__(self) -> None:
        self.middleware = Admission(lambda *args: (self.inner or self._app)(*args), host=self)

    async def identify(self, scope: Scope, headers: Any) -> Caller:
        return self.caller

    async def make_room(self, path: str, caller: Caller) -> WorkPlace | None:
        if self.refuse is not None:
            raise self.refuse
        place = self.places.enter(1)
        if place is None:
            raise Refused(problems.overloaded(3.2, capacity=1, what="images in work"))
        return place

    def problem_of(self, path: str, status: int) -> problems.Problem:
        return problems.not_ready(2) if path == "/readyz" else problems.of_status(status)

    def refused(self, kind: str) -> None:
        self.shed.append(kind)

    def answered(self, method: str, path: str, status: int, seconds: float) -> None:
        self.counted.append((method, path, status))

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

    def request(self, *chunks: bytes, **options: Any) -> tuple[int, dict[str, str], Any]:
        return asyncio.run(self.exchange(*chunks, **options))

    async def exchange(
        self, *chunks: bytes, path: str = "/up", method: str = "POST", delay_s: float = 0.0, **headers: str
    ) -> tuple[int, dict[str, str], Any]:
        names = {name.replace("_", "-"): value for name, value in {**FORM_NAMES, **headers}.items()}
        scope = {
            "type": "http", "method": method, "path": path,
            "headers": [(name.encode(), value.encode()) for name, value in names.items()],
        }  # fmt: skip
        waiting = list(chunks) or [b""]
        sent: list[Message] = []

        async def receive() -> Message:
            await asyncio.sleep(delay_s)
            body = waiting.pop(0)
            return {"type": "http.request", "body": body, "more_body": bool(waiting)}

        async def send(message: Message) -> None:
            sent.append(message)

        await self.middleware(scope, receive, send)
        answered = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
        body = b"".join(message.get("body", b"") for message in sent[1:])
        return sent[0]["status"], answered, json.loads(body)


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
    assert (door.reached, door.places.in_work, door.shed) == (0, 0, [kind])


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
    assert door.places.in_work == 0


def test_a_length_that_lies_is_counted() -> None:
    assert Door().request(b"x" * 101, content_length="5")[0] == 413


def test_a_file_sent_elsewhere_is_told_where_files_go() -> None:
    large = {"content_length": "11", "content_type": "text/plain"}
    for sent in ({"path": "/other"}, {"path": "/up/"}, {"path": "/other", **large}):
        door = Door()
        status, _, document = door.request(b"x", **sent)
        assert door.reached == 0
        assert (status, kind_of(document), door.shed) == (404, "not-found", ["not-found"])
        assert document["detail"] == "This path takes no file; POST it to /clips or /up."
    assert Door().request(b"x" * 11, path="/other", content_type="text/plain")[0] == 404
    status, headers, document = Door().request(b"x", method="PUT")
    assert (status, kind_of(document), headers["allow"]) == (405, "method-not-allowed", "POST")


def test_a_question_by_a_client_that_names_the_form_always_is_answered() -> None:
    assert Door().request(b"", path="/other", method="GET")[0] == 200


def test_other_paths_take_a_small_body() -> None:
    assert Door().request(b"x" * 10, path="/other", content_type="text/plain")[0] == 200


@pytest.mark.parametrize(
    ("chunks", "delay_s"),
    [([b"x"] * 8, 0.05), ([b"x" * 90, b"x"], 0.3)],
    ids=["slower than the mean rate", "nothing for too long"],
)
def test_a_slow_body_is_given_up(chunks: list[bytes], delay_s: float) -> None:
    door = Door()
    status, _, document = door.request(*chunks, delay_s=delay_s)
    assert (status, kind_of(document)) == (408, "slow-upload")
    assert door.places.in_work == 0


def test_a_body_at_the_mean_rate_may_take_long() -> None:
    assert Door().request(*[b"x" * 10] * 8, delay_s=0.06)[0] == 200


def test_no_place_left() -> None:
    door = Door()
    place = door.places.enter(1)
    assert place is not None
    status, headers, document = door.request(b"x")
    assert (status, kind_of(document), headers["retry-after"]) == (503, "overloaded", "4")
    assert headers["ratelimit"] == '"capacity";r=0;t=4'
    assert door.request(b"x", path="/other", content_type="text/plain")[0] == 200
    place.release()
    assert door.request(b"x")[0] == 200


def test_uploads_that_arrive_have_places_of_their_own_by_kind_and_caller() -> None:
    """Slow uploads of one kind or one caller keep nobody else out."""

    async def several() -> list[tuple[int, str | None]]:
        door = Door(policy=replace(POLICY, grace_s=5.0))
        slow = [asyncio.create_task(send("192.0.2.1", door)) for _ in range(2)]
        await asyncio.sleep(0.03)
        answers = [await send("192.0.2.1", door, delay_s=0)]  # a third of the same caller
        slow.append(asyncio.create_task(send("192.0.2.2", door)))
        await asyncio.sleep(0.03)
        answers.append(await send("192.0.2.3", door, delay_s=0))  # a fourth of the kind
        answers.append(await send("192.0.2.3", door, delay_s=0, path="/clips"))
        await asyncio.gather(*slow)
        answers.append(await send("192.0.2.1", door, delay_s=0))
        return answers

    async def send(address: str, door: Door, delay_s: float = 0.1, **options: str) -> tuple[int, str | None]:
        door.caller = replace(CALLER, client=f"address {address}")
        door.places = WorkPlaces()  # not what this is about
        status, _, document = await door.exchange(*[b"x"] * 3, delay_s=delay_s, **options)
        return status, kind_of(document) if status != 200 else None

    answers = asyncio.run(several())
    assert answers == [(429, "too-many-at-once"), (503, "overloaded"), (200, None), (200, None)]


def test_a_slow_upload_keeps_no_place_for_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "FAST_UPLOAD_S", 0.05)

    async def both() -> tuple[int, int, int]:
        door = Door(policy=replace(POLICY, grace_s=5.0))
        slow = asyncio.create_task(door.exchange(*[b"x"] * 4, delay_s=0.1))
        await asyncio.sleep(0.02)
        early = (await door.exchange(b"x"))[0]
        await asyncio.sleep(0.1)
        late = (await door.exchange(b"x"))[0]
        return early, late, (await slow)[0]

    assert asyncio.run(both()) == (503, 200, 200)


def test_a_place_that_was_given_back_is_taken_again_only_if_one_is_free() -> None:
    work = WorkPlaces()
    place = work.enter(1)
    assert place is not None
    place.release()
    place.release()
    other = work.enter(1)
    assert other is not None
    assert not place.upload_complete()
    other.release()
    assert place.upload_complete()
    assert work.in_work == 1


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (Refused(problems.not_ready(2)), 503, "model-not-ready"),
        (ServerError("the database is away"), 503, "store-unavailable"),
    ],
)
def test_what_stands_behind_may_refuse_before_the_body(error: Exception, status: int, kind: str) -> None:
    door = Door(refuse=error)
    got, headers, document = door.request(b"x")
    assert (got, kind_of(document), door.reached) == (status, kind, 0)
    assert int(headers["retry-after"]) >= 1
    door.refuse = None
    assert door.request(b"x")[0] == 200


def test_a_key_sees_what_is_left_of_its_rate_in_every_answer() -> None:
    rate = RateState(allowed=True, limit=60, remaining=12, seconds_to_next=0.4)
    door = Door(caller=replace(CALLER, rate=rate))
    for headers in (door.request(b"x")[1], door.request(b"x", content_type="text/plain")[1]):
        assert headers["ratelimit-policy"] == '"requests";q=60;w=60'
        assert headers["ratelimit"] == '"requests";r=12;t=1'


def test_every_answer_is_counted_with_its_status() -> None:
    door = Door()
    door.request(b"x")
    door.request(b"x", method="PUT")
    assert door.counted == [("POST", "/up", 200), ("PUT", "/up", 405)]


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


async def _is_not_ready(scope: Scope, receive: Receive, send: Send) -> None:
    headers = [(b"content-type", b"text/plain")]
    await send({"type": "http.response.start", "status": 503, "headers": headers})
    await send({"type": "http.response.body", "body": b"not ready"})


def test_an_exception_is_an_internal_problem_and_gives_its_place_back() -> None:
    door = Door(inner=_fails)
    status, _, document = door.request(b"x")
    assert (status, kind_of(document)) == (500, "internal-error")
    assert "secret" not in str(document)
    assert door.places.in_work == 0


def test_a_failure_in_other_words_is_put_in_ours() -> None:
    door = Door(inner=_answers_in_other_words)
    status, headers, document = door.request(b"x", path="/other", content_type="text/plain")
    assert (status, kind_of(document), headers["allow"]) == (405, "method-not-allowed", "GET")
    assert "the header Allow names those" in document["detail"]


def test_what_stands_behind_may_name_the_reason_of_a_bare_status() -> None:
    status, headers, document = Door(inner=_is_not_ready).request(b"", path="/readyz", method="GET")
    assert (status, kind_of(document), headers["retry-after"]) == (503, "model-not-ready", "2")
