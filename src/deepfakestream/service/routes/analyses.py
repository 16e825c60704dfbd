"""`/v1/analyses`: the list, one analysis, its result by person and by frame, cancel and remove."""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
from datetime import datetime
from typing import Annotated, Any, cast

from fastapi import APIRouter, Path, Query, Request, Response

from deepfakestream.jobs.analyses import Filters
from deepfakestream.jobs.types import Analysis as StoredAnalysis
from deepfakestream.jobs.types import MediaKind, Status
from deepfakestream.monitoring.audit import append_audit
from deepfakestream.scanning.result import Verdict
from deepfakestream.service import problems
from deepfakestream.service.callers import Caller
from deepfakestream.service.openapi import failures
from deepfakestream.service.outcomes import to_problem
from deepfakestream.service.presentation import frame_faces, retry_after, show, summary, track_list
from deepfakestream.service.problems import Refused
from deepfakestream.service.runtime import Runtime
from deepfakestream.service.schemas import Analysis, AnalysisPage, AnalysisResult, FramePage, TrackList

AnalysisId = Annotated[
    str, Path(pattern=r"^an_[0-9a-f]{32}$", description="id of an analysis, as POST gave it")
]
Cursor = Annotated[str | None, Query(max_length=200, description="`next_cursor` of the part before")]
_AWAY = failures(404, 409, 410)


async def find(runtime: Runtime, request: Request, analysis_id: str) -> StoredAnalysis:
    """Return an analysis of the caller.

    Args:
        runtime: with the job store.
        request: says who calls.
        analysis_id: from the path.

    Raises:
        Refused: there is none of this id, or it is another caller's.
    """
    caller = cast("Caller", request.state.caller)
    found = await asyncio.to_thread(runtime.stores.analyses.get, analysis_id, owner=caller.sees)
    if found is None:
        raise Refused(problems.no_analysis())
    return found


async def find_scanned(runtime: Runtime, request: Request, analysis_id: str) -> StoredAnalysis:
    """Return an analysis of the caller that has a verdict.

    Args:
        runtime: with the job store.
        request: says who calls.
        analysis_id: from the path.

    Raises:
        Refused: there is none, or it has no verdict: not yet, not any more, or never.
    """
    found = await find(runtime, request, analysis_id)
    if found.status == "failed":
        assert found.failure is not None
        raise Refused(to_problem(found.failure))
    if found.status == "expired":
        raise Refused(problems.expired("The result was kept for as long as the service is set to keep it."))
    if found.status == "canceled":
        raise Refused(problems.no_result("canceled"))
    if found.result is None:
        state = await asyncio.to_thread(runtime.stores.queue.state)
        position = await asyncio.to_thread(runtime.stores.queue.position, analysis_id)
        wait_s = state.seconds_each if position is None else state.eta_s(position)
        raise Refused(problems.not_finished(found.status, min(300.0, wait_s)))
    return found


def router(runtime: Runtime) -> APIRouter:
    """Return the endpoints of analyses."""
    routes = APIRouter(prefix="/v1/analyses", tags=["analyses"])
    _add_list(routes, runtime)
    _add_one(routes, runtime)
    _add_parts(routes, runtime)
    return routes


def _add_list(routes: APIRouter, runtime: Runtime) -> None:
    @routes.get("", operation_id="list_analyses", responses=failures())
    async def list_analyses(  # noqa: PLR0913 - one a filter
        request: Request,
        status: Annotated[Status | None, Query(description="only analyses of this status")] = None,
        kind: Annotated[MediaKind | None, Query(description="only images, or only videos")] = None,
        verdict: Annotated[Verdict | None, Query(description="only analyses of this verdict")] = None,
        created_from: Annotated[datetime | None, Query(description="only those taken then or later")] = None,
        created_before: Annotated[datetime | None, Query(description="only those taken before")] = None,
        limit: Annotated[int, Query(ge=1, le=100, description="how many at most")] = 20,
        cursor: Cursor = None,
    ) -> AnalysisPage:
        """List analyses, the newest first, without their results."""
        caller = cast("Caller", request.state.caller)
        filters = Filters(
            owner=caller.sees,
            status=status,
            kind=kind,
            verdict=verdict,
            created_from=None if created_from is None else created_from.timestamp(),
            created_before=None if created_before is None else created_before.timestamp(),
        )
        before = None
        if cursor is not None:
            created_at, analysis_id = _opened(cursor, float, str)
            before = (created_at, analysis_id)
        found = await asyncio.to_thread(runtime.stores.analyses.find, filters, limit=limit + 1, before=before)
        page = found[:limit]
        more = len(found) > limit
        return AnalysisPage(
            items=[show(each, with_result=False) for each in page],
            next_cursor=_sealed(page[-1].created_at, page[-1].id) if more else None,
        )


def _add_one(routes: APIRouter, runtime: Runtime) -> None:
    @routes.get("/{analysis_id}", operation_id="get_analysis", responses=failures(404))
    async def get_analysis(request: Request, response: Response, analysis_id: AnalysisId) -> Analysis:
        """Return an analysis: its status, its progress, and the verdict in short once there is one."""
        found = await find(runtime, request, analysis_id)
        if found.is_final:
            return show(found)
        state = await asyncio.to_thread(runtime.stores.queue.state)
        position = await asyncio.to_thread(runtime.stores.queue.position, analysis_id)
        shown = show(found, queue=state, position=position)
        response.headers["Retry-After"] = retry_after(shown, at_most_s=60)
        return shown

    @routes.post("/{analysis_id}/cancel", operation_id="cancel_analysis", responses=failures(404))
    async def cancel_analysis(request: Request, analysis_id: AnalysisId) -> Analysis:
        """End an analysis that has no verdict yet; one that has ended stays as it is."""
        await find(runtime, request, analysis_id)
        canceled = await asyncio.to_thread(runtime.stores.analyses.cancel, analysis_id)
        if canceled is None:
            raise Refused(problems.no_analysis())
        return show(canceled)

    @routes.delete("/{analysis_id}", operation_id="delete_analysis", status_code=204, responses=failures(404))
    async def delete_analysis(request: Request, analysis_id: AnalysisId) -> None:
        """Remove an analysis with its media and all that was made from them; a running one is ended."""
        await find(runtime, request, analysis_id)
        await asyncio.to_thread(runtime.stores.analyses.remove, analysis_id)
        await asyncio.to_thread(runtime.stores.media.remove, analysis_id)
        caller = cast("Caller", request.state.caller)
        facts = {"analysis": analysis_id}
        await asyncio.to_thread(append_audit, runtime.settings.audit_file, "delete", facts, by=caller.client)


def _add_parts(routes: APIRouter, runtime: Runtime) -> None:
    @routes.get("/{analysis_id}/result", operation_id="get_result", responses=_AWAY)
    async def get_result(request: Request, analysis_id: AnalysisId) -> AnalysisResult:
        """Return the verdict in short, at most 2 KB. A failed analysis answers with its own problem."""
        return summary(await find_scanned(runtime, request, analysis_id))

    @routes.get("/{analysis_id}/tracks", operation_id="get_tracks", responses=_AWAY)
    async def get_tracks(request: Request, analysis_id: AnalysisId) -> TrackList:
        """Return every person over time, the most suspicious first, and every range without a score."""
        return track_list(await find_scanned(runtime, request, analysis_id))

    @routes.get("/{analysis_id}/frames", operation_id="get_frames", responses=_AWAY)
    async def get_frames(
        request: Request,
        analysis_id: AnalysisId,
        track: Annotated[int | None, Query(ge=0, le=1_000_000, description="only this person")] = None,
        limit: Annotated[int, Query(ge=1, le=500, description="how many at most")] = 100,
        cursor: Cursor = None,
    ) -> FramePage:
        """Return the scored faces of the searched frames, in order of time."""
        faces = frame_faces(await find_scanned(runtime, request, analysis_id))
        chosen = [face for face in faces if track is None or face.track_id == track]
        start = 0 if cursor is None else _opened(cursor, int)[0]
        end = start + limit
        return FramePage(
            items=chosen[start:end], next_cursor=_sealed(end) if start >= 0 and end < len(chosen) else None
        )


def _sealed(*values: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(values).encode()).decode().rstrip("=")


def _opened(cursor: str, *types: type) -> tuple[Any, ...]:
    """Return the values of a cursor.

    Raises:
        Refused: it is none of ours.
    """
    try:
        values = json.loads(
            base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        )
        right = [type(value) for value in values] == list(types) and all(
            not isinstance(value, int) or 0 <= value < 2**31 for value in values
        )
    except (binascii.Error, ValueError, TypeError, RecursionError):
        right = False
    if not right:
        raise Refused(
            problems.bad_parameter("cursor: not one that this service gave; leave it out to begin.")
        )
    return tuple(values)
