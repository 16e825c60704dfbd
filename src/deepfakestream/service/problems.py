"""Every failure that a caller of the HTTP service can meet, as RFC 9457 problem details."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from deepfakestream.errors import Reason

MEDIA_TYPE = "application/problem+json"
TYPE_PREFIX = "urn:deepfakestream:problem:"
MAX_NAMES_SHOWN, MAX_NAME_LENGTH = 3, 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One failure: a stable type for programs, a sentence for people."""

    type: str
    """Stable name, e.g. `empty-file`; sent with `TYPE_PREFIX`."""
    status: int
    title: str
    detail: str
    headers: Mapping[str, str] = field(default_factory=dict)
    extensions: Mapping[str, Any] = field(default_factory=dict)
    """Further members, e.g. `max_bytes`."""

    def body(self, request_id: str) -> bytes:
        """Return the JSON document."""
        members = {
            "type": TYPE_PREFIX + self.type,
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "instance": f"urn:deepfakestream:request:{request_id}",
            **self.extensions,
        }
        return json.dumps(members).encode()


class Refused(Exception):  # noqa: N818 - not an error of the service
    """Ends a request with a problem."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.detail)
        self.problem = problem


_BY_REASON = {
    Reason.EMPTY_FILE: ("empty-file", 400, "The file is empty"),
    Reason.UNREADABLE: ("corrupt-media", 400, "The file cannot be read"),
    Reason.UNSUPPORTED_FORMAT: ("unsupported-media-type", 415, "The format is not supported"),
    Reason.NO_VIDEO_STREAM: ("no-video-stream", 422, "The file holds no pictures"),
    Reason.TOO_MANY_PIXELS: ("too-many-pixels", 422, "The picture is too large"),
    Reason.TOO_LONG: ("duration-exceeded", 422, "The video is too long"),
    Reason.TIME_BUDGET: ("decoder-timeout", 422, "The file takes too long to decode"),
    Reason.MEMORY_BUDGET: ("decoder-memory", 422, "The file takes too much memory to decode"),
    Reason.DECODER_CRASHED: ("decoder-crashed", 422, "Reading the file ended the program that read it"),
    Reason.TRUNCATED: ("truncated-media", 422, "The file ends before its first picture"),
}


def unusable_media(reason: Reason, detail: str) -> Problem:
    """Return the problem of a file that arrived whole but cannot be scanned.

    Args:
        reason: code of what is wrong with the file.
        detail: sentence for the client.
    """
    kind, status, title = _BY_REASON.get(reason, ("unusable-media", 422, "The file cannot be scanned"))
    return Problem(type=kind, status=status, title=title, detail=detail, extensions={"reason": str(reason)})


def empty_file() -> Problem:
    """Return the problem of a file without bytes, before anybody has tried to read it."""
    return unusable_media(Reason.EMPTY_FILE, "upload: the file is empty; get a whole copy")


def content_mismatch(*, found: str, expected: str) -> Problem:
    """Return the problem of a picture sent where a video belongs, or the other way round.

    Args:
        found: `image` or `video`, what the file is.
        expected: what the path takes.
    """
    found_words = f"an {found}" if found == "image" else f"a {found}"
    return Problem(
        type="content-mismatch",
        status=415,
        title="The file is of the other kind",
        detail=f"The file is {found_words} and this endpoint takes {expected}s; send it to /v1/{found}s.",
    )


def not_an_upload(detail: str) -> Problem:
    """Return the problem of a request without an uploaded file in the field `file`."""
    return Problem(type="unsupported-media-type", status=415, title="A file is expected", detail=detail)


def bad_form(detail: str) -> Problem:
    """Return the problem of a form that is damaged or holds too much."""
    return Problem(
        type="bad-request",
        status=400,
        title="The form cannot be taken",
        detail=f"{detail} Send one file a request, in the field 'file' of a multipart form.",
    )


def no_upload_here(endpoints: Iterable[str]) -> Problem:
    """Return the problem of a file sent to a path that takes none."""
    return Problem(
        type="not-found",
        status=404,
        title="No file is taken here",
        detail=f"This path takes no file; POST it to {' or '.join(sorted(endpoints))}.",
        headers={"Connection": "close"},
    )


def method_not_allowed() -> Problem:
    """Return the problem of a file that came by another method than POST."""
    return Problem(
        type="method-not-allowed",
        status=405,
        title="Method Not Allowed",
        detail="Files are taken by POST; send it again so.",
        headers={"Allow": "POST", "Connection": "close"},
    )


def client_gone() -> Problem:
    """Return the problem of a request whose sender did not wait; nobody reads it."""
    return Problem(
        type="client-gone",
        status=408,
        title="The client went away",
        detail="The connection was closed before the scan ended; send the file again.",
    )


def too_large(max_bytes: int) -> Problem:
    """Return the problem of a body over the limit."""
    return Problem(
        type="too-large",
        status=413,
        title="The request is too large",
        detail=f"The request body is larger than the limit of {max_bytes} bytes; send a smaller file.",
        headers={"Connection": "close"},
        extensions={"max_bytes": max_bytes},
    )


def slow_upload(min_bytes_s: int) -> Problem:
    """Return the problem of a body that comes too slowly or stopped coming."""
    return Problem(
        type="slow-upload",
        status=408,
        title="The upload is too slow",
        detail=f"The request body must arrive at {min_bytes_s} bytes a second or more; send it again.",
        headers={"Connection": "close"},
    )


def _later(seconds: float) -> dict[str, str]:
    """Return Retry-After for a moment that is at least a second away."""
    return {"Retry-After": str(max(1, math.ceil(seconds)))}


def overloaded(retry_after_s: float, *, capacity: int, what: str) -> Problem:
    """Return the problem of a service that already works on as much as it may.

    Args:
        retry_after_s: when a place is likely to be free.
        capacity: how many places there are.
        what: what they are for, e.g. `images in work`.
    """
    wait = _later(retry_after_s)
    return Problem(
        type="overloaded",
        status=503,
        title="The service is busy",
        detail=f"All {capacity} places for {what} are taken; try again in {wait['Retry-After']} seconds.",
        headers={
            **wait,
            "RateLimit-Policy": f'"capacity";q={capacity}',
            "RateLimit": f'"capacity";r=0;t={wait["Retry-After"]}',
        },
    )


def storage_full() -> Problem:
    """Return the problem of an upload that there is no room for."""
    return Problem(
        type="storage-full",
        status=503,
        title="There is no room for the file",
        detail="The storage of the service is full; try again later, or tell who runs it.",
        headers=_later(60),
    )


def store_unavailable() -> Problem:
    """Return the problem of a job store or prediction log that does not answer."""
    return Problem(
        type="store-unavailable",
        status=503,
        title="The database does not answer",
        detail="The database of the service does not answer; try again soon.",
        headers=_later(5),
    )


def decoder_unavailable() -> Problem:
    """Return the problem of a file that was not read because the processes that read media ended."""
    return Problem(
        type="decoder-unavailable",
        status=503,
        title="The file could not be read just now",
        detail="The processes of the service that read files ended; send the file again.",
        headers=_later(2),
    )


def unauthorized(detail: str) -> Problem:
    """Return the problem of a request without a key that opens anything."""
    return Problem(
        type="unauthorized",
        status=401,
        title="A valid API key is required",
        detail=f"{detail} Send it as 'Authorization: Bearer KEY' or 'X-API-Key: KEY'.",
        headers={"WWW-Authenticate": 'Bearer realm="deepfakestream"', "Connection": "close"},
    )


def forbidden(scope: str) -> Problem:
    """Return the problem of a key that does not open this."""
    return Problem(
        type="forbidden",
        status=403,
        title="The API key does not allow this",
        detail=f"This needs the scope '{scope}', which the key does not have; use a key that has it.",
        headers={"Connection": "close"},
    )


def keys_required() -> Problem:
    """Return the problem of a service without keys that is reached from another machine."""
    return Problem(
        type="keys-required",
        status=403,
        title="The service needs API keys",
        detail="The service is reached by an address other than this machine's own and asks for no keys; set "
        "DEEPFAKESTREAM_ACCESS=keys, or =open where something in front of it knows the callers.",
        headers={"Connection": "close"},
    )


def host_not_allowed() -> Problem:
    """Return the problem of a request for a name that is not this service's."""
    return Problem(
        type="host-not-allowed",
        status=421,
        title="The host name is not served here",
        detail="The Host header names another service; add the name to DEEPFAKESTREAM_ALLOWED_HOSTS.",
        headers={"Connection": "close"},
    )


def cross_site() -> Problem:
    """Return the problem of a page elsewhere that makes its visitor's browser send something here."""
    return Problem(
        type="cross-site",
        status=403,
        title="Pages of other sites may not send here",
        detail="A web page of another site sent this; send it from a program or this service's own page.",
        headers={"Connection": "close"},
    )


def rate_limited(retry_after_s: float, *, per_minute: int) -> Problem:
    """Return the problem of a caller who asks too often.

    Args:
        retry_after_s: seconds until the next request is allowed.
        per_minute: limit of the key.
    """
    wait = _later(retry_after_s)
    return Problem(
        type="rate-limited",
        status=429,
        title="Too many requests",
        detail=f"The key allows {per_minute} requests a minute; try again in {wait['Retry-After']} seconds.",
        headers={
            **wait,
            "RateLimit-Policy": f'"requests";q={per_minute};w=60',
            "RateLimit": f'"requests";r=0;t={wait["Retry-After"]}',
        },
    )


def quota_exceeded(retry_after_s: float, *, quota: int, what: str) -> Problem:
    """Return the problem of a caller who has used up the day.

    Args:
        retry_after_s: seconds until the quota begins again.
        quota: limit of the day.
        what: the thing that is counted, in words.
    """
    return Problem(
        type="quota-exceeded",
        status=429,
        title="The quota of the day is used up",
        detail=f"The key allows {quota} {what} a day (UTC); try again tomorrow, or ask for a larger quota.",
        headers={**_later(retry_after_s), "Connection": "close"},
    )


def too_many_at_once(retry_after_s: float, *, limit: int, what: str) -> Problem:
    """Return the problem of a caller who has too much in work at the same time.

    Args:
        retry_after_s: estimate in seconds.
        limit: how many are allowed.
        what: the thing that is counted, in words.
    """
    wait = _later(retry_after_s)
    return Problem(
        type="too-many-at-once",
        status=429,
        title="Too much at the same time",
        detail=f"One caller may have {limit} {what}; try again in {wait['Retry-After']} seconds.",
        headers={**wait, "Connection": "close"},
    )


def no_analysis() -> Problem:
    """Return the problem of an id that this caller has no analysis of."""
    return Problem(
        type="not-found",
        status=404,
        title="There is no such analysis",
        detail="There is no analysis of this id, or it belongs to another key, or it was removed.",
    )


def no_part(detail: str) -> Problem:
    """Return the problem of a part that the analysis does not have."""
    return Problem(type="not-found", status=404, title="There is no such part", detail=detail)


def not_finished(status: str, retry_after_s: float) -> Problem:
    """Return the problem of an analysis that has no result yet.

    Args:
        status: of the analysis.
        retry_after_s: estimate in seconds.
    """
    return Problem(
        type="not-ready",
        status=409,
        title="The analysis has no result yet",
        detail=f"The analysis is {status}; ask again later, or read its events.",
        headers=_later(retry_after_s),
    )


def no_result(status: str) -> Problem:
    """Return the problem of an analysis that will have no result."""
    return Problem(
        type="canceled",
        status=409,
        title="The analysis has no result",
        detail=f"The analysis is {status}; send the file again.",
    )


def expired(detail: str) -> Problem:
    """Return the problem of something that was kept for a while and is gone."""
    return Problem(type="expired", status=410, title="It is no longer kept", detail=detail)


def key_reused() -> Problem:
    """Return the problem of an idempotency key that came with another request."""
    return Problem(
        type="idempotency-mismatch",
        status=422,
        title="The idempotency key stands for another request",
        detail="This Idempotency-Key was used for another file or other options; make up a new key.",
    )


def bad_parameter(detail: str) -> Problem:
    """Return the problem of a parameter, header or body that is not as described."""
    return Problem(type="bad-parameter", status=422, title="A parameter is not allowed", detail=detail)


def unknown_parameters(unknown: Sequence[str], known: Sequence[str]) -> Problem:
    """Return the problem of query parameters that an endpoint does not have.

    Args:
        unknown: names as sent, at least one; the first few are named, shortened.
        known: names that the endpoint has.
    """
    shown = [repr(name[:MAX_NAME_LENGTH]) for name in unknown[:MAX_NAMES_SHOWN]]
    more = ["..."] if len(unknown) > MAX_NAMES_SHOWN else []
    rule = f"knows {', '.join(known)}; correct it or leave it out" if known else "has none; leave it out"
    return bad_parameter(f"query parameter {', '.join(shown + more)}: this endpoint {rule}.")


def unsafe_url(detail: str) -> Problem:
    """Return the problem of an address that nothing is sent to."""
    return Problem(type="unsafe-url", status=422, title="The address is not allowed", detail=detail)


def feedback_conflict(label: str) -> Problem:
    """Return the problem of a source that said the opposite before."""
    return Problem(
        type="feedback-conflict",
        status=409,
        title="This source gave another label",
        detail=f"This source called the prediction {label}; a label is given once a source.",
    )


def not_ready(retry_after_s: float) -> Problem:
    """Return the problem of a service that has no model yet."""
    return Problem(
        type="model-not-ready",
        status=503,
        title="The model is not loaded yet",
        detail=f"The service is starting; try again in {retry_after_s:g} seconds.",
        headers=_later(retry_after_s),
    )


def work_hangs(num_hanging: int, seconds: float) -> Problem:
    """Return the problem of a service whose every thread is at a scan that does not end.

    Args:
        num_hanging: scans that do not end.
        seconds: how long they have been in work, at least.
    """
    return Problem(
        type="work-hangs",
        status=503,
        title="Scans hang",
        detail=f"All {num_hanging} threads of the service have been at a scan for more than {seconds:g} "
        "seconds; send the file to another service, or restart this one.",
        headers=_later(seconds),
    )


def deadline(seconds: float) -> Problem:
    """Return the problem of a scan that did not end in time."""
    return Problem(
        type="deadline-exceeded",
        status=504,
        title="The scan took too long",
        detail=f"The scan did not end within {seconds:g} seconds; send a shorter or smaller file.",
    )


def internal() -> Problem:
    """Return the problem of a fault of ours; the log has the rest under the request id."""
    return Problem(
        type="internal-error",
        status=500,
        title="The service failed",
        detail="The service failed on this request; report it with the request id.",
    )


_REMEDIES = {
    404: "There is nothing at this path; /openapi.json lists the paths that there are.",
    405: "This path does not take the method; the header Allow names those that it takes.",
    503: "No model can answer yet; if that lasts, the log of the service says why.",
}


def of_status(status: int, detail: str = "") -> Problem:
    """Return the problem for a bare HTTP status, as a framework gives one.

    Args:
        status: HTTP status.
        detail: sentence for the client.
    """
    if status >= 500 and status != HTTPStatus.SERVICE_UNAVAILABLE:
        return internal()
    phrase = HTTPStatus(status).phrase
    return Problem(
        type=phrase.lower().replace(" ", "-"),
        status=status,
        title=phrase,
        detail=detail or _REMEDIES.get(status, f"{phrase}."),
    )
