"""The inference service: `bentoml serve bentos.service:DeepfakeStream`.

BentoML runs the workers, gives each its device, and answers /livez and /readyz. The endpoints are a mounted
ASGI application and not BentoML methods, because a BentoML file field reads the whole upload into memory on
the event loop, downloads from an address where it gets text instead of a file, and answers a malformed form
with 500.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
from pathlib import Path
from typing import Any, cast

import bentoml
from bentoml._internal.server.http import traffic
from starlette.types import ASGIApp
from uvicorn.config import HTTP_PROTOCOLS

from deepfakestream.errors import DeepfakeStreamError
from deepfakestream.host.device import resolve_device
from deepfakestream.host.process_tree import end_with_parent
from deepfakestream.service.admission import Admission
from deepfakestream.service.app import create_app
from deepfakestream.service.runtime import Runtime

NAME = "deepfakestream"
REQUEST_TIMEOUT_S = 24 * 3600
"""BentoML's own limit on a request, not kept here: Admission limits uploads, and the runtime limits scans."""

BENTO_WORKSPACE = Path(__file__).parents[1] / "workspace"
"""What `bentos.build` puts into a bento; a checkout has no such folder."""

if BENTO_WORKSPACE.is_dir():
    os.environ.setdefault("DEEPFAKESTREAM_WORKSPACE", str(BENTO_WORKSPACE))
RUNTIME = Runtime()


def _without_timer(app: ASGIApp, timeout: float) -> ASGIApp:  # noqa: ARG001 - as BentoML calls it
    """Return the application as it is.

    BentoML's timer of a request is not cancelled by the answer: it holds 9 KB of memory until the limit.
    """
    return app


cast("Any", traffic).TimeoutMiddleware = _without_timer
# uvicorn takes httptools where it is installed, which reads headers without limit: gigabytes a connection.
HTTP_PROTOCOLS["auto"] = HTTP_PROTOCOLS["h11"]


def _resources(device: str) -> dict[str, Any]:
    """Return one GPU where the settings allow one and the machine has one; a CPU needs no request."""
    if device == "cpu" or not any(Path("/dev").glob("nvidia[0-9]*")):
        return {}
    return {"gpu": 1} if resolve_device("auto") == "cuda" else {}


@bentoml.service(
    name=NAME,
    workers=1,
    resources=_resources(RUNTIME.settings.device),
    traffic={"timeout": REQUEST_TIMEOUT_S},
    # BentoML's numbers have every path that was ever asked for as a label; /metrics is the application's own.
    metrics={"enabled": False},
    # BentoML's own default is every interface.
    http={"host": RUNTIME.settings.host, "port": RUNTIME.settings.service_port},
)
@bentoml.asgi_app(create_app(RUNTIME, docs_assets="static_content"))
class DeepfakeStream:
    """Verdicts on the faces in pictures and videos."""

    def __init__(self) -> None:
        """Let our own records through; BentoML's root handler takes them from INFO on."""
        end_with_parent(signal.SIGTERM)  # a killed `bentoml serve` would leave this worker on the port
        logging.getLogger("deepfakestream").setLevel(logging.INFO)

    @bentoml.on_deployment  # type: ignore[untyped-decorator]
    @staticmethod
    def check_workspace() -> None:
        """Refuse to start, in one sentence, where a worker of BentoML would fail to.

        A bento starts its workers for videos, too: DEEPFAKESTREAM_JOB_WORKERS, 1 by default.
        """
        try:
            RUNTIME.check()
            if BENTO_WORKSPACE.is_dir():
                from deepfakestream.local.attached_workers import attach_workers

                attach_workers(RUNTIME.settings)
        except DeepfakeStreamError as error:
            sys.exit(f"deepfakestream: {error}")

    def __is_alive__(self) -> bool:
        """Return whether a restart would not help; BentoML's /livez asks."""
        return RUNTIME.is_alive

    def __is_ready__(self) -> bool:
        """Return whether images can be answered; BentoML's /readyz asks."""
        return RUNTIME.not_ready is None


cast("Any", DeepfakeStream).add_asgi_middleware(Admission, host=RUNTIME)
