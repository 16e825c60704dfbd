"""Models, usage, feedback, metrics and the page of the API."""

from __future__ import annotations

import asyncio
import time
from typing import Annotated, cast

from fastapi import APIRouter, Path, Request
from fastapi.responses import HTMLResponse, PlainTextResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST

from deepfakestream.jobs.feedback import Feedback, add_feedback
from deepfakestream.jobs.usage import day_of, read_usage
from deepfakestream.service import problems
from deepfakestream.service.callers import Caller
from deepfakestream.service.docs_page import docs_html
from deepfakestream.service.openapi import failures
from deepfakestream.service.presentation import moment
from deepfakestream.service.problems import Refused
from deepfakestream.service.runtime import Runtime
from deepfakestream.service.schemas import (
    FeedbackIn,
    FeedbackOut,
    ModelDescription,
    ModelList,
    Usage,
    UsageDay,
)

USAGE_DAYS = 31
_MARKDOWN = "text/markdown"


def router(runtime: Runtime) -> APIRouter:
    """Return the endpoints about the service itself."""
    routes = APIRouter(prefix="/v1", tags=["service"])
    _add_models(routes, runtime)
    _add_usage(routes, runtime)
    _add_feedback(routes, runtime)
    return routes


def metrics_router(runtime: Runtime) -> APIRouter:
    """Return the endpoint that Prometheus reads."""
    routes = APIRouter(tags=["service"])

    @routes.get(
        "/metrics",
        operation_id="get_metrics",
        response_class=PlainTextResponse,
        responses={
            200: {
                "description": "Prometheus text format",
                "content": {"text/plain": {"schema": {"type": "string"}}},
            },
            **failures(),
        },
    )
    async def get_metrics() -> Response:
        """Return the numbers of the service for Prometheus; with keys, it takes the scope `metrics`."""

        def render() -> bytes:
            return runtime.metrics.render() + runtime.loop.render()

        return Response(await asyncio.to_thread(render), media_type=CONTENT_TYPE_LATEST)

    return routes


def docs_router(assets: str) -> APIRouter:
    """Return the page that shows the API.

    Args:
        assets: path on this server that has `swagger-ui.css` and `swagger-ui-bundle.js`.
    """
    routes = APIRouter(include_in_schema=False)

    @routes.get("/docs")
    async def docs() -> HTMLResponse:
        page, policy = docs_html(assets)
        return HTMLResponse(page, headers={"Content-Security-Policy": policy})

    return routes


def _add_models(routes: APIRouter, runtime: Runtime) -> None:
    def current() -> ModelDescription:
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

    @routes.get("/model", operation_id="get_model", responses=failures())
    async def get_model() -> ModelDescription:
        """Return the model that answers now, and what its thresholds mean."""
        return current()

    @routes.get("/models", operation_id="list_models", responses=failures())
    async def list_models() -> ModelList:
        """Return the models that answer; at present there is one at a time."""
        return ModelList(items=[current()])

    @routes.get(
        "/models/{version}/card",
        operation_id="get_model_card",
        response_class=PlainTextResponse,
        responses={
            200: {"description": "the card", "content": {_MARKDOWN: {"schema": {"type": "string"}}}},
            **failures(404),
        },
    )
    async def get_model_card(
        version: Annotated[str, Path(max_length=64, description="version of a model that answers")],
    ) -> Response:
        """Return the card of a model: what it is for, how it was measured, where it fails. Markdown."""
        found = current()
        if version != found.version or found.card is None:
            raise Refused(
                problems.no_part(
                    f"No model that answers has this version and a card; the version is {found.version}."
                )
            )
        return PlainTextResponse(found.card, media_type=_MARKDOWN)


def _add_usage(routes: APIRouter, runtime: Runtime) -> None:
    @routes.get("/usage", operation_id="get_usage", responses=failures())
    async def get_usage(request: Request) -> Usage:
        """Return what the caller used in the last 31 days, and its limits."""
        caller = cast("Caller", request.state.caller)
        since = day_of(time.time() - (USAGE_DAYS - 1) * 86_400)
        days = await asyncio.to_thread(read_usage, runtime.stores.database, caller.owner, since=since)
        waiting = await asyncio.to_thread(runtime.stores.queue.num_waiting, caller.owner)
        key = caller.key
        return Usage(
            owner=caller.owner,
            days=[
                UsageDay(day=each.day, kind=each.kind, items=each.items, media_s=each.media_s)
                for each in days
            ],
            images_per_day=key and key.images_per_day,
            video_minutes_per_day=key and key.video_minutes_per_day,
            requests_per_minute=key and key.requests_per_minute,
            scopes=list(key.scopes) if key else None,
            max_image_bytes=runtime.params.max_image_bytes,
            max_video_bytes=runtime.params.max_video_bytes,
            max_video_s=runtime.params.max_duration_s,
            videos_waiting=waiting,
        )


def _add_feedback(routes: APIRouter, runtime: Runtime) -> None:
    @routes.post("/feedback", operation_id="give_feedback", status_code=201, responses=failures(404, 409))
    async def give_feedback(request: Request, body: FeedbackIn) -> FeedbackOut:
        """Tell the true label of a prediction: once a source; the same label again changes nothing."""
        caller = cast("Caller", request.state.caller)
        known = await asyncio.to_thread(runtime.stores.analyses.get, body.prediction_id, owner=caller.sees)
        if known is None:
            raise Refused(problems.no_analysis())
        given = Feedback(
            prediction_id=body.prediction_id,
            source=body.source or caller.owner,
            label=body.label,
            note=body.note,
            owner=caller.owner,
            created_at=time.time(),
        )
        kept = await asyncio.to_thread(add_feedback, runtime.stores.database, given)
        if kept.label != given.label:
            raise Refused(problems.feedback_conflict(kept.label))
        return FeedbackOut(
            prediction_id=kept.prediction_id,
            label=kept.label,
            source=kept.source,
            note=kept.note,
            created_at=moment(kept.created_at),
        )
