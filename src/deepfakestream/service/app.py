"""The HTTP endpoints, as an ASGI application that knows nothing of BentoML."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import APIRouter, FastAPI, File, Request, UploadFile
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from deepfakestream import __version__
from deepfakestream.media.types import MediaKind
from deepfakestream.service import problems
from deepfakestream.service.docs_page import docs_html
from deepfakestream.service.problems import Refused
from deepfakestream.service.runtime import IMAGES_PATH, VIDEOS_PATH, Runtime
from deepfakestream.service.schemas import ModelDescription, Prediction, ProblemDocument
from deepfakestream.service.upload_form import OneFileRoute

_PROBLEM: dict[str, Any] = {"content": {problems.MEDIA_TYPE: {"schema": ProblemDocument.model_json_schema()}}}
_PROBLEMS: dict[int | str, dict[str, Any]] = {
    400: {**_PROBLEM, "description": "empty or damaged file, no field 'file', or more than one file"},
    408: {**_PROBLEM, "description": "the upload took too long"},
    413: {**_PROBLEM, "description": "the body is larger than the limit"},
    415: {**_PROBLEM, "description": "not a file, an unsupported format, or the other kind of media"},
    422: {**_PROBLEM, "description": "the file is readable but cannot be scanned; `reason` says why"},
    500: {**_PROBLEM, "description": "a fault of the service; its log has the rest under the request id"},
    503: {**_PROBLEM, "description": "busy, or no model yet; see Retry-After"},
    504: {**_PROBLEM, "description": "the scan took too long"},
}


def create_app(runtime: Runtime, *, docs_assets: str | None = None) -> FastAPI:
    """Return the application; the runtime is started and stopped with it.

    Args:
        runtime: what the endpoints work with.
        docs_assets: path on this server that has `swagger-ui.css` and `swagger-ui-bundle.js`; without it
            there is no page at `/docs`.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        runtime.start()
        yield
        await asyncio.to_thread(runtime.stop)

    app = FastAPI(
        title="DeepfakeStream",
        description="Verdicts on the faces in pictures and videos.",
        version=__version__,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
    )
    _add_predictions(app, runtime)
    _add_model(app, runtime)
    if docs_assets is not None:
        _add_docs(app, docs_assets)
    app.add_exception_handler(Refused, _answer_refused)
    app.add_exception_handler(RequestValidationError, _answer_invalid)
    return app


def _add_predictions(app: FastAPI, runtime: Runtime) -> None:
    router = APIRouter(route_class=OneFileRoute)

    @router.post(IMAGES_PATH, response_model=Prediction, responses=_PROBLEMS)
    async def scan_image(
        request: Request, file: Annotated[UploadFile, _file("JPEG, PNG, WebP ...")]
    ) -> Response:
        """Scan one picture and answer with the verdict."""
        return await _predict(runtime, request, file, "image")

    @router.post(VIDEOS_PATH, response_model=Prediction, responses=_PROBLEMS)
    async def scan_video(
        request: Request, file: Annotated[UploadFile, _file("MP4, MOV, MKV, WebM ...")]
    ) -> Response:
        """Scan one video and answer with the verdict, within the time limit."""
        return await _predict(runtime, request, file, "video")

    app.include_router(router)


def _file(description: str) -> Any:
    """Return what the specification says about an upload."""
    # The format is OpenAPI 3.0's word for a file; without it the page at /docs offers a line of text.
    return File(description=description, json_schema_extra={"format": "binary"})


def _add_model(app: FastAPI, runtime: Runtime) -> None:
    @app.get("/v1/model", responses={503: _PROBLEMS[503]})
    async def model() -> ModelDescription:
        """Return the model that answers now, and what its thresholds mean."""
        served = runtime.provider.current
        if served is None:
            raise Refused(problems.not_ready(runtime.policy.retry_after_s))
        spec = served.engine.scorer.spec
        return ModelDescription(
            **dict(served.engine.model),
            source=served.choice.source,
            operating_point=served.engine.operating_point,
            operating_points=spec.operating_points,
            trained_on=spec.trained_on,
            card=served.card,
        )


def _add_docs(app: FastAPI, assets: str) -> None:
    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        page, policy = docs_html(assets)
        return HTMLResponse(page, headers={"Content-Security-Policy": policy})

    @app.get("/", include_in_schema=False)
    async def index() -> RedirectResponse:
        return RedirectResponse("/docs")


async def _predict(runtime: Runtime, request: Request, file: UploadFile, kind: MediaKind) -> Response:
    prediction = await runtime.predict(
        file.file, kind=kind, request_id=request.state.request_id, is_gone=request.is_disconnected
    )
    timing = ", ".join(f"{stage};dur={ms:g}" for stage, ms in prediction.timings_ms.items())
    return Response(
        prediction.model_dump_json(), media_type="application/json", headers={"Server-Timing": timing}
    )


async def _answer_refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    return _response(error.problem, request)


async def _answer_invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    is_text = any(each["type"] != "missing" for each in error.errors())
    problem = (
        problems.not_an_upload(
            "The field 'file' must be an uploaded file; text and addresses are not fetched."
        )
        if is_text
        else problems.of_status(400, "The request has no field 'file'; send the media file in it.")
    )
    return _response(problem, request)


def _response(problem: problems.Problem, request: Request) -> Response:
    return Response(
        problem.body(request.state.request_id),
        status_code=problem.status,
        media_type=problems.MEDIA_TYPE,
        headers=dict(problem.headers),
    )
