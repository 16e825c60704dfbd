"""HTTP as the demo speaks it: JSON to and from the local servers, files to the service."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import requests

from deepfakestream.errors import ServerError

_TIMEOUT_S = 60.0
_BUSY = 503
"""Prefect while its SQLite file is locked, the service while its queue is full: ask again."""
_BUSY_PATIENCE_S = 180.0
_BUSY_PAUSE_S = 0.5
_VIDEO_TIMEOUT_S = 180.0
_VIDEO_PAUSE_S = 0.5


def get_json(url: str) -> Any:
    """Return the JSON value that the address answers with.

    Raises:
        ServerError: it does not answer, or answers with an error.
    """
    return _exchange("GET", url, repeatable=True)


def query_json(url: str, body: object) -> Any:
    """Post a filter as Prefect wants it; unlike `post_json` it may be sent twice.

    Raises:
        ServerError: it does not answer, or answers with an error.
    """
    return _exchange("POST", url, repeatable=True, json=body)


def post_json(url: str, body: object) -> Any:
    """Post JSON and return the answer.

    Raises:
        ServerError: it does not answer, or answers with an error.
    """
    return _exchange("POST", url, repeatable=False, json=body)


def post_file(url: str, path: Path) -> Any:
    """Send a file in the form field `file`, as a browser or curl does, and return the answer.

    Raises:
        ServerError: it does not answer, or refuses the file.
    """
    return _exchange("POST", url, repeatable=False, files={"file": (path.name, path.read_bytes())})


def analyse(service_url: str, path: Path) -> Any:
    """Send an image or a video to the service and return its verdict; a video is waited for.

    Raises:
        ServerError: the service does not answer, refuses the file, or has no verdict in time.
    """
    if path.suffix != ".mp4":
        return post_file(f"{service_url}/v1/images", path)
    sent = post_file(f"{service_url}/v1/videos", path)
    address = f"{service_url}{sent['links']['analysis']}"
    deadline = time.monotonic() + _VIDEO_TIMEOUT_S
    while (analysis := get_json(address))["status"] in {"queued", "running"}:
        if time.monotonic() > deadline:
            raise ServerError(
                f"{address} has no verdict after {_VIDEO_TIMEOUT_S:.0f} s; see the logs in work/logs"
            )
        time.sleep(_VIDEO_PAUSE_S)
    if analysis["result"] is None:
        raise ServerError(f"{address} has ended without a verdict: {analysis['error']}")
    return analysis["result"]


def _exchange(method: str, url: str, *, repeatable: bool, **content: Any) -> Any:
    deadline = time.monotonic() + _BUSY_PATIENCE_S
    while True:
        try:
            reply = requests.request(method, url, timeout=_TIMEOUT_S, **content)
            if reply.ok:
                return reply.json() if reply.content else None
            if reply.status_code != _BUSY or time.monotonic() > deadline:
                raise ServerError(f"{url} answered {reply.status_code}: {reply.text[:300]}")
        except requests.RequestException as error:
            late = isinstance(error, requests.Timeout) and repeatable
            if not late or time.monotonic() > deadline:
                raise ServerError(f"{url} does not answer ({error}); see the logs in work/logs") from error
        time.sleep(_BUSY_PAUSE_S)
