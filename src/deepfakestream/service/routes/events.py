"""`/v1/analyses/{id}/events`: the progress of an analysis as server-sent events."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Header, Request
from fastapi.responses import StreamingResponse

from deepfakestream.jobs.types import FINAL
from deepfakestream.service import problems
from deepfakestream.service.openapi import failures
from deepfakestream.service.problems import Refused
from deepfakestream.service.routes.analyses import AnalysisId, find
from deepfakestream.service.runtime import Runtime

MAX_STREAMS = 100
"""Streams of one process at a time."""
POLL_S = 0.5
HEARTBEAT_S = 15.0
"""A comment is sent this often, so that nobody between takes the connection for dead."""
LONGEST_S = 3600.0
"""A stream ends then; a client goes on from its last event."""
_MEDIA_TYPE = "text/event-stream"


def router(runtime: Runtime) -> APIRouter:
    """Return the endpoint of events."""
    routes = APIRouter(prefix="/v1/analyses", tags=["analyses"])
    streams = asyncio.Semaphore(MAX_STREAMS)

    @routes.get(
        "/{analysis_id}/events",
        operation_id="get_events",
        response_class=StreamingResponse,
        responses={
            200: {
                "description": "events `status`, `progress` and `heatmaps`, each with an id and JSON data; "
                "the stream ends after the last one",
                "content": {_MEDIA_TYPE: {}},
            },
            **failures(404),
        },
    )
    async def get_events(
        request: Request,
        analysis_id: AnalysisId,
        last_event_id: Annotated[
            str | None, Header(max_length=20, description="id of the last event that the client has")
        ] = None,
    ) -> StreamingResponse:
        """Stream what happens to an analysis, from its first event or from the one after Last-Event-ID."""
        await find(runtime, request, analysis_id)
        if last_event_id is not None and not (last_event_id.isascii() and last_event_id.isdecimal()):
            raise Refused(
                problems.bad_parameter("Last-Event-ID: must be a number, as the id of an event is.")
            )
        if streams.locked():
            raise Refused(problems.overloaded(5.0, capacity=MAX_STREAMS, what="streams of events"))
        after = min(int(last_event_id or 0), 2**31 - 1)
        return StreamingResponse(_stream(runtime, analysis_id, after, streams), media_type=_MEDIA_TYPE)

    return routes


async def _stream(
    runtime: Runtime, analysis_id: str, after: int, streams: asyncio.Semaphore
) -> AsyncIterator[str]:
    async with streams:
        yield "retry: 2000\n\n"
        ends_at = time.monotonic() + LONGEST_S
        heard_at = time.monotonic()
        while time.monotonic() < ends_at:
            analysis = await asyncio.to_thread(runtime.stores.analyses.get, analysis_id)
            events = await asyncio.to_thread(runtime.stores.analyses.events, analysis_id, after=after)
            for event in events:
                after, heard_at = event.seq, time.monotonic()
                yield f"id: {event.seq}\nevent: {event.kind}\ndata: {json.dumps(event.data)}\n\n"
            # Read before its events: whatever it was waiting for then is among them.
            if analysis is None or (analysis.status in FINAL and analysis.heatmaps != "queued"):
                return
            if time.monotonic() - heard_at >= HEARTBEAT_S:
                heard_at = time.monotonic()
                yield ": still here\n\n"
            await asyncio.sleep(POLL_S)
