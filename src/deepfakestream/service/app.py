"""The HTTP endpoints, as an ASGI application that knows nothing of BentoML."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from fastapi.routing import APIRoute

from deepfakestream import __version__
from deepfakestream.errors import ServerError
from deepfakestream.service import openapi, problems
from deepfakestream.service.problems import Refused
from deepfakestream.service.routes import analyses, events, page, pictures, reports, service, uploads
from deepfakestream.service.runtime import Runtime

_LOG = logging.getLogger(__name__)


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
        description="Verdicts on the faces in images and videos.",
        version=__version__,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
    )
    for module in (uploads, analyses, events, pictures, reports, service):
        app.include_router(module.router(runtime), dependencies=[Depends(_check_parameter_names)])
    app.include_router(service.metrics_router(runtime))
    app.include_router(page.router())
    if docs_assets is not None:
        app.include_router(service.docs_router(docs_assets))
    openapi.install(app)
    app.add_exception_handler(Refused, _answer_refused)
    app.add_exception_handler(RequestValidationError, _answer_invalid)
    app.add_exception_handler(ServerError, _answer_away)
    return app


async def _check_parameter_names(request: Request) -> None:
    """Do nothing where the endpoint knows every query parameter; FastAPI would ignore the others.

    Raises:
        Refused: it does not know one, so what the client asked for would not be done.
    """
    route = cast("APIRoute", request.scope["route"])
    known = [field.alias for field in route.dependant.query_params]  # codespell:ignore dependant
    unknown = [name for name in request.query_params if name not in known]
    if unknown:
        raise Refused(problems.unknown_parameters(unknown, known))


async def _answer_refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    return _response(error.problem, request)


async def _answer_invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    texts = [
        f"the body is no JSON ({each['ctx']['error']} at character {each['loc'][-1]}); send an object"
        if each["type"] == "json_invalid"
        else f"{'.'.join(str(part) for part in each['loc'][1:])}: {each['msg']}"
        for each in error.errors()
    ]
    return _response(problems.bad_parameter("; ".join(texts) + "."), request)


async def _answer_away(request: Request, error: Exception) -> Response:
    _LOG.error("request %s: %s", request.state.request_id, error)
    return _response(problems.store_unavailable(), request)


def _response(problem: problems.Problem, request: Request) -> Response:
    return Response(
        problem.body(request.state.request_id),
        status_code=problem.status,
        media_type=problems.MEDIA_TYPE,
        headers=dict(problem.headers),
    )
