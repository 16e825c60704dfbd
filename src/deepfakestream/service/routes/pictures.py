"""Pictures of an analysis: searched frames, faces, their noise, and heat maps, drawn when asked for."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Path, Request
from fastapi.responses import JSONResponse, Response

from deepfakestream.jobs.analyses import drawn_faces
from deepfakestream.jobs.types import Analysis, FaceKey
from deepfakestream.scanning.pictures import face_name, frame_name, noise_name
from deepfakestream.service import problems
from deepfakestream.service.openapi import binary, failures
from deepfakestream.service.pictures import heatmap_name, overlay_name
from deepfakestream.service.presentation import frame_faces, heatmap_list
from deepfakestream.service.problems import Refused
from deepfakestream.service.routes.analyses import AnalysisId, find_scanned
from deepfakestream.service.runtime import Runtime
from deepfakestream.service.schemas import FaceIn, HeatMapList, HeatMapPending

RETRY_AFTER_S = 15
MAX_NUMBER = 10_000
_JPEG, _PNG = "image/jpeg", "image/png"

FrameNumber = Annotated[
    int, Path(ge=0, le=MAX_NUMBER, description="number of the searched frame, as in coverage.frames")
]
TrackNumber = Annotated[int, Path(ge=0, le=MAX_NUMBER, description="number of the person")]
FaceNumber = Annotated[int, Path(ge=1, le=MAX_NUMBER, description="1 is the most suspicious face")]
MapNumber = Annotated[int, Path(ge=1, le=99, description="place in `maps` of the face, from 1")]


def router(runtime: Runtime) -> APIRouter:
    """Return the endpoints of pictures and heat maps."""
    routes = APIRouter(prefix="/v1/analyses/{analysis_id}", tags=["analyses"])
    _add_pictures(routes, runtime)
    _add_heatmaps(routes, runtime)
    _add_heatmap_pictures(routes, runtime)
    return routes


def _add_pictures(routes: APIRouter, runtime: Runtime) -> None:
    async def answer(request: Request, analysis_id: str, name: str, media_type: str) -> Response:
        found = await find_scanned(runtime, request, analysis_id)
        if found.pictures == "kept" and not found.has_media:
            raise Refused(problems.expired("The file is no longer kept, nor are pictures of it."))
        if not found.has_pictures:
            raise Refused(problems.no_part("No pictures were kept; send the file again with pictures=true."))
        return await _stored(runtime, found, name, media_type)

    @routes.get(
        "/pictures/frames/{frame}.jpg",
        operation_id="get_frame_picture",
        response_class=Response,
        responses={
            200: binary(_JPEG, "the upright frame, at most 960 pixels wide and high"),
            **failures(404, 409, 410),
        },
    )
    async def get_frame_picture(request: Request, analysis_id: AnalysisId, frame: FrameNumber) -> Response:
        """Return a searched frame. A box of /frames, in parts of the media's size, has its place in it."""
        return await answer(request, analysis_id, frame_name(frame), _JPEG)

    @routes.get(
        "/pictures/faces/{frame}-{track_id}.png",
        operation_id="get_face_picture",
        response_class=Response,
        responses={200: binary(_PNG, "the face"), **failures(404, 409, 410)},
    )
    async def get_face_picture(
        request: Request, analysis_id: AnalysisId, frame: FrameNumber, track_id: TrackNumber
    ) -> Response:
        """Return a face as the network sees it."""
        return await answer(request, analysis_id, face_name(frame, track_id), _PNG)

    @routes.get(
        "/pictures/noise/{frame}-{track_id}.png",
        operation_id="get_noise_picture",
        response_class=Response,
        responses={200: binary(_PNG, "three residuals next to each other"), **failures(404, 409, 410)},
    )
    async def get_noise_picture(
        request: Request, analysis_id: AnalysisId, frame: FrameNumber, track_id: TrackNumber
    ) -> Response:
        """Return the noise residuals of a face that the network sees: grey 128 is as predicted."""
        return await answer(request, analysis_id, noise_name(frame, track_id), _PNG)


def _add_heatmaps(routes: APIRouter, runtime: Runtime) -> None:
    @routes.get("/heatmaps", operation_id="list_heatmaps", responses=failures(404, 409, 410))
    async def list_heatmaps(request: Request, analysis_id: AnalysisId) -> HeatMapList:
        """Return the faces with heat maps and the tests of each map; nothing is drawn by this."""
        return heatmap_list(await find_scanned(runtime, request, analysis_id))

    @routes.post(
        "/heatmaps",
        operation_id="draw_heatmaps",
        response_model=HeatMapList,
        responses={
            202: {"model": HeatMapPending, "description": "being drawn; see Retry-After, or the events"},
            **failures(404, 409, 410),
        },
    )
    async def draw_heatmaps(request: Request, analysis_id: AnalysisId, body: FaceIn) -> Response:
        """Have the heat maps of one face drawn; 200 where they are. One face is drawn at a time."""
        found = await find_scanned(runtime, request, analysis_id)
        face = (body.frame, body.track_id)
        if face not in {(each.frame, each.track_id) for each in frame_faces(found)}:
            raise Refused(problems.no_part("There is no such face; /frames has those that were scored."))
        if face in drawn_faces(found.explanation):
            return JSONResponse(heatmap_list(found).model_dump(mode="json"))
        await _ask(runtime, found, face)
        return _pending()


def _add_heatmap_pictures(routes: APIRouter, runtime: Runtime) -> None:
    @routes.get(
        "/heatmaps/{number}.png",
        operation_id="get_heatmap",
        response_class=Response,
        responses={
            200: binary(_PNG, "the face, the evidence drawn on it, and whether to trust that"),
            202: {"model": HeatMapPending, "description": "it is being drawn; see Retry-After"},
            **failures(404, 409, 410),
        },
    )
    async def get_heatmap(request: Request, analysis_id: AnalysisId, number: FaceNumber) -> Response:
        """Return the picture of a face with its heat maps; the first request has them drawn."""
        found = await find_scanned(runtime, request, analysis_id)
        state = await _ask(runtime, found, None) if found.heatmaps == "none" else found.heatmaps
        if number <= len(found.explanation):
            return await _stored(runtime, found, heatmap_name(number), _PNG)
        if state == "queued":
            return _pending()
        raise Refused(problems.no_part(f"There are {len(found.explanation)} heat maps of this analysis."))

    @routes.get(
        "/heatmaps/{number}/{map_number}.png",
        operation_id="get_heatmap_of_stream",
        response_class=Response,
        responses={200: binary(_PNG, "the face in grey under the map"), **failures(404, 409, 410)},
    )
    async def get_heatmap_of_stream(
        request: Request, analysis_id: AnalysisId, number: FaceNumber, map_number: MapNumber
    ) -> Response:
        """Return one map over a face: red speaks for a fake, blue for a real face."""
        found = await find_scanned(runtime, request, analysis_id)
        maps = found.explanation[number - 1]["maps"] if number <= len(found.explanation) else ()
        if map_number > len(maps):
            raise Refused(problems.no_part("There is no such map; /heatmaps lists those that are drawn."))
        return await _stored(runtime, found, overlay_name(number, map_number), _PNG)


async def _ask(runtime: Runtime, found: Analysis, face: FaceKey | None) -> str:
    """Have heat maps drawn where they are not, and return the state then.

    Raises:
        Refused: the file is no longer kept.
    """
    if not found.has_media:
        raise Refused(problems.expired("The file is no longer kept, so no heat maps can be drawn."))
    asked = await asyncio.to_thread(runtime.stores.analyses.ask_for_heatmaps, found.id, face)
    return asked or found.heatmaps


def _pending() -> Response:
    pending = HeatMapPending(heatmaps="queued", detail="Ask again later, or read the events.")
    return JSONResponse(pending.model_dump(), status_code=202, headers={"Retry-After": str(RETRY_AFTER_S)})


async def _stored(runtime: Runtime, found: Analysis, name: str, media_type: str) -> Response:
    try:
        content = await asyncio.to_thread(runtime.stores.media.read, found.id, name)
    except FileNotFoundError as error:
        raise Refused(problems.no_part("There is no such picture of this analysis.")) from error
    return Response(content, media_type=media_type)
