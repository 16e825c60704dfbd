"""HTTP as the demo speaks it: JSON to and from the local servers, files to the service."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
import uuid
from pathlib import Path
from typing import Any

from deepfakestream.errors import ServerError

_TIMEOUT_S = 60.0
_BUSY = 503
"""Prefect while its SQLite file is locked, the service while its queue is full: ask again."""
_BUSY_PATIENCE_S = 180.0
_BUSY_PAUSE_S = 0.5


def get_json(url: str) -> Any:
    """Return what the address answers.

    Raises:
        ServerError: it does not answer, or with an error.
    """
    return _exchange(urllib.request.Request(url), repeatable=True)  # noqa: S310 - our own servers


def query_json(url: str, body: object) -> Any:
    """Ask with a JSON body, as Prefect wants it for filters; unlike `post_json` it may ask twice.

    Raises:
        ServerError: it does not answer, or with an error.
    """
    return _exchange(_json_request(url, body), repeatable=True)


def post_json(url: str, body: object) -> Any:
    """Send JSON and return the answer.

    Raises:
        ServerError: it does not answer, or with an error.
    """
    return _exchange(_json_request(url, body), repeatable=False)


def post_file(url: str, path: Path) -> Any:
    """Send a file in the form field `file`, as a browser or curl does, and return the answer.

    Raises:
        ServerError: it does not answer, or refuses the file.
    """
    boundary = uuid.uuid4().hex
    head = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{path.name}"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n"
    )
    content = head.encode() + path.read_bytes() + f"\r\n--{boundary}--\r\n".encode()
    headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    return _exchange(urllib.request.Request(url, content, headers), repeatable=False)  # noqa: S310


def _json_request(url: str, body: object) -> urllib.request.Request:
    content = json.dumps(body).encode()
    return urllib.request.Request(url, content, {"Content-Type": "application/json"})  # noqa: S310


def _exchange(request: urllib.request.Request, *, repeatable: bool) -> Any:
    deadline = time.monotonic() + _BUSY_PATIENCE_S
    while True:
        try:
            with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as reply:  # noqa: S310
                return json.loads(reply.read() or b"null")
        except urllib.error.HTTPError as error:
            text = error.read().decode(errors="replace")[:300]
            if error.code != _BUSY or time.monotonic() > deadline:
                raise ServerError(f"{request.full_url} answered {error.code}: {text}") from error
        except (OSError, ValueError) as error:
            late = isinstance(error, TimeoutError) and repeatable
            if not late or time.monotonic() > deadline:
                raise ServerError(
                    f"{request.full_url} does not answer ({error}); see the logs in work/logs"
                ) from error
        time.sleep(_BUSY_PAUSE_S)
