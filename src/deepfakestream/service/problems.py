"""Every failure that a caller of the HTTP service can meet, as RFC 9457 problem details."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from deepfakestream.errors import Reason

MEDIA_TYPE = "application/problem+json"
TYPE_PREFIX = "urn:deepfakestream:problem:"


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
    Reason.TRUNCATED: ("truncated-media", 422, "The file ends before its first picture"),
}


def unusable_media(reason: Reason, detail: str) -> Problem:
    """Return the problem of a file that arrived whole but cannot be scanned."""
    kind, status, title = _BY_REASON.get(reason, ("unusable-media", 422, "The file cannot be scanned"))
    return Problem(type=kind, status=status, title=title, detail=detail, extensions={"reason": str(reason)})


def content_mismatch(*, found: str, expected: str) -> Problem:
    """Return the problem of a picture sent where a video belongs, or the other way round."""
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


def slow_upload(seconds: float) -> Problem:
    """Return the problem of a body that did not arrive in time."""
    return Problem(
        type="slow-upload",
        status=408,
        title="The upload took too long",
        detail=f"The request body did not arrive within {seconds:g} seconds; send it again.",
        headers={"Connection": "close"},
    )


def overloaded(retry_after_s: int) -> Problem:
    """Return the problem of a service that already works on as much as it may."""
    return Problem(
        type="overloaded",
        status=503,
        title="The service is busy",
        detail=f"All places are taken; try again in {retry_after_s} seconds.",
        headers={"Retry-After": str(retry_after_s)},
    )


def not_ready(retry_after_s: int) -> Problem:
    """Return the problem of a service that has no model yet."""
    return Problem(
        type="model-not-ready",
        status=503,
        title="The model is not loaded yet",
        detail=f"The service is starting; try again in {retry_after_s} seconds.",
        headers={"Retry-After": str(retry_after_s)},
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
    """Return the problem for a bare HTTP status, as a framework gives one."""
    if status >= 500 and status != HTTPStatus.SERVICE_UNAVAILABLE:
        return internal()
    phrase = HTTPStatus(status).phrase
    return Problem(
        type=phrase.lower().replace(" ", "-"),
        status=status,
        title=phrase,
        detail=detail or _REMEDIES.get(status, f"{phrase}."),
    )
