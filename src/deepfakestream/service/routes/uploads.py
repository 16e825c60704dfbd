"""`POST /v1/images` and `POST /v1/videos`: an image is answered at once, a video becomes a job."""

from __future__ import annotations

import asyncio
import hashlib
import re
import time
from typing import Annotated, cast

from fastapi import APIRouter, Header, Query, Request, Response

from deepfakestream.jobs.analyses import Idempotency, KeyReusedError, new_id
from deepfakestream.jobs.types import PRIORITIES, NewAnalysis
from deepfakestream.jobs.webhook_address import check_address
from deepfakestream.service import problems
from deepfakestream.service.callers import Caller
from deepfakestream.service.endpoints import IMAGES_PATH, VIDEOS_PATH
from deepfakestream.service.openapi import failures, upload_body
from deepfakestream.service.places import WorkPlace
from deepfakestream.service.presentation import analysis_path, retry_after, show
from deepfakestream.service.problems import Refused
from deepfakestream.service.runtime import Runtime
from deepfakestream.service.schemas import Analysis, Prediction, Priority
from deepfakestream.service.uploads import Upload, receive

MAX_WAIT_S = 30
"""Longest time that `Prefer: wait` waits."""
_POLL_S = 0.2
_WAIT = re.compile(r"(?:^|[,;\s])wait\s*=\s*\"?(\d{1,4})\"?(?=$|[,;\s])")
_JPEG = b"\xff\xd8\xff"

IdempotencyKey = Annotated[
    str | None,
    Header(
        min_length=1,
        max_length=255,
        description="a name that the client makes up for a request; within 24 hours the same name gets the "
        "first answer, and 422 where the file or the options differ",
    ),
]
WithHeatMaps = Annotated[
    bool, Query(description="draw heat maps of the most suspicious faces once there is a verdict")
]
WithPictures = Annotated[
    bool,
    Query(description="keep pictures of the searched frames and faces, to look at, as long as the file"),
]


def router(runtime: Runtime) -> APIRouter:
    """Return the endpoints that take files."""
    routes = APIRouter(tags=["scan"])
    _add_images(routes, runtime)
    _add_videos(routes, runtime)
    return routes


def _add_images(routes: APIRouter, runtime: Runtime) -> None:
    @routes.post(
        IMAGES_PATH,
        operation_id="scan_image",
        response_model=Prediction,
        responses=failures(408, 415, 504),
        openapi_extra=upload_body("image"),
    )
    async def scan_image(
        request: Request,
        idempotency_key: IdempotencyKey = None,
        heatmaps: WithHeatMaps = False,
        pictures: WithPictures = False,
    ) -> Response:
        """Scan one image and answer with the verdict; `GET /v1/analyses/{id}` gives it again."""
        upload = await _receive(runtime, request)
        caller = cast("Caller", request.state.caller)
        new = NewAnalysis(
            id=new_id(),
            owner=caller.owner,
            kind="image",
            request_id=request.state.request_id,
            media_sha256=upload.sha256,
            media_bytes=upload.size_bytes,
            heatmaps=heatmaps,
            pictures=pictures,
        )
        key = _idempotency(idempotency_key, IMAGES_PATH, upload, heatmaps, pictures)
        try:
            earlier = None
            if key is not None:
                try:
                    earlier = await asyncio.to_thread(runtime.stores.analyses.known, caller.owner, key)
                except KeyReusedError as error:
                    raise Refused(problems.key_reused()) from error
            if earlier is not None:
                upload.path.unlink(missing_ok=True)
                return await _again(runtime, earlier, request.state.request_id)
            place = cast("WorkPlace", request.state.place)
            prediction = await runtime.predict(
                upload, new, place=place, is_gone=request.is_disconnected, idempotency=key
            )
        except Refused:
            raise
        except BaseException:
            upload.path.unlink(missing_ok=True)
            raise
        timing = ", ".join(f"{stage};dur={ms:g}" for stage, ms in prediction.timings_ms.items())
        return Response(
            prediction.model_dump_json(),
            media_type="application/json",
            headers={"Server-Timing": timing, "Location": analysis_path(prediction.id)},
        )


def _add_videos(routes: APIRouter, runtime: Runtime) -> None:
    @routes.post(
        VIDEOS_PATH,
        operation_id="scan_video",
        status_code=202,
        response_model=Analysis,
        responses={
            200: {"model": Analysis, "description": "`Prefer: wait` was long enough: the analysis has ended"},
            202: {
                "description": "the video waits for a worker; Location is where to ask, Retry-After when",
                "headers": {
                    "Location": {"description": "path of the analysis", "schema": {"type": "string"}},
                    "Retry-After": {"description": "estimated seconds", "schema": {"type": "integer"}},
                },
            },
            **failures(408, 415),
        },
        openapi_extra=upload_body("video"),
    )
    async def scan_video(
        request: Request,
        priority: Annotated[Priority, Query(description="live goes before batch")] = "live",
        webhook_url: Annotated[
            str | None,
            Query(
                max_length=2048,
                description="https address that gets a signed message at the end of the analysis",
            ),
        ] = None,
        heatmaps: WithHeatMaps = False,
        pictures: WithPictures = False,
        idempotency_key: IdempotencyKey = None,
        prefer: Annotated[
            str | None, Header(description="`wait=N` waits up to N seconds (30 at most) for the verdict")
        ] = None,
    ) -> Response:
        """Take one video, put it into the queue, and answer with the analysis."""
        if webhook_url is not None:
            check_webhook(webhook_url, runtime)
        upload = await _receive(runtime, request)
        try:
            _check_video(upload)
            caller = cast("Caller", request.state.caller)
            new = NewAnalysis(
                id=new_id(),
                owner=caller.owner,
                kind="video",
                request_id=request.state.request_id,
                media_sha256=upload.sha256,
                media_bytes=upload.size_bytes,
                priority=PRIORITIES[priority],
                webhook_url=webhook_url,
                heatmaps=heatmaps,
                pictures=pictures,
            )
            options = (priority, webhook_url, heatmaps, pictures)
            key = _idempotency(idempotency_key, VIDEOS_PATH, upload, *options)
            analysis_id = await asyncio.to_thread(runtime.submit, upload, new, key)
        except BaseException:
            upload.path.unlink(missing_ok=True)
            raise
        found = _WAIT.search(prefer or "")
        wait_s = min(MAX_WAIT_S, int(found[1])) if found else 0
        return await _accepted(runtime, request, analysis_id, wait_s)


def check_webhook(url: str, runtime: Runtime) -> None:
    """Do nothing where the service may send to an address.

    Raises:
        Refused: it is no https address, or names a host of this machine or network.
    """
    if reason := check_address(url, allow_private=runtime.settings.webhook_private):
        raise Refused(problems.unsafe_url(f"webhook_url {reason}."))


async def _receive(runtime: Runtime, request: Request) -> Upload:
    path = runtime.stores.media.incoming()
    return await receive(request.stream(), request.headers.get("content-type", ""), path)


def _check_video(upload: Upload) -> None:
    """Refuse at once what is surely no video; anything else is found out by a worker.

    Raises:
        Refused: the file is empty or a JPEG.
    """
    with upload.path.open("rb") as file:
        head = file.read(len(_JPEG))
    if not head:
        raise Refused(problems.empty_file())
    if head.startswith(_JPEG):
        raise Refused(problems.content_mismatch(found="image", expected="video"))


def _idempotency(key: str | None, path: str, upload: Upload, *options: object) -> Idempotency | None:
    if key is None:
        return None
    text = "\n".join([path, upload.sha256, *map(str, options)])
    return Idempotency(key=key, fingerprint=hashlib.sha256(text.encode()).hexdigest())


async def _again(runtime: Runtime, analysis_id: str, request_id: str) -> Response:
    """Return the answer that an image got before."""
    analysis = await asyncio.to_thread(runtime.stores.analyses.get, analysis_id)
    if analysis is None or analysis.result is None:
        raise Refused(problems.expired("The answer to this Idempotency-Key is no longer kept."))
    prediction = Prediction(
        **analysis.result,
        id=analysis.id,
        prediction_id=analysis.id,
        request_id=request_id,
        timings_ms=analysis.timings_ms,
    )
    return Response(
        prediction.model_dump_json(),
        media_type="application/json",
        headers={"Location": analysis_path(analysis.id)},
    )


async def _accepted(runtime: Runtime, request: Request, analysis_id: str, wait_s: int) -> Response:
    stores = runtime.stores
    until = time.monotonic() + wait_s
    while True:
        analysis = await asyncio.to_thread(stores.analyses.get, analysis_id)
        if analysis is None:  # removed meanwhile
            raise Refused(problems.no_analysis())
        if analysis.is_final or time.monotonic() >= until or await request.is_disconnected():
            break
        await asyncio.sleep(_POLL_S)
    headers = {"Location": analysis_path(analysis_id)}
    if wait_s:
        headers["Preference-Applied"] = f"wait={wait_s}"
    if analysis.is_final and wait_s:
        return Response(show(analysis).model_dump_json(), media_type="application/json", headers=headers)
    state = await asyncio.to_thread(stores.queue.state)
    position = await asyncio.to_thread(stores.queue.position, analysis_id)
    shown = show(analysis, queue=state, position=position)
    headers["Retry-After"] = retry_after(shown, at_most_s=300)
    return Response(shown.model_dump_json(), status_code=202, media_type="application/json", headers=headers)
