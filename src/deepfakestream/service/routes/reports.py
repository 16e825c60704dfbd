"""Reports of an analysis: as a page, as JSON and to print."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response

from deepfakestream import __version__
from deepfakestream.jobs.types import Analysis
from deepfakestream.reports.content import Report
from deepfakestream.reports.html import html_report
from deepfakestream.reports.pdf import pdf_report
from deepfakestream.service.openapi import binary, failures
from deepfakestream.service.pictures import heatmap_name
from deepfakestream.service.presentation import scan_result, show
from deepfakestream.service.routes.analyses import AnalysisId, find_scanned
from deepfakestream.service.runtime import Runtime

_PAGE_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
_PDF = "application/pdf"


def router(runtime: Runtime) -> APIRouter:
    """Return the endpoints of reports."""
    routes = APIRouter(prefix="/v1/analyses/{analysis_id}", tags=["analyses"])

    @routes.get(
        "/report.html",
        operation_id="get_report_html",
        response_class=HTMLResponse,
        responses={
            200: {"description": "the report", "content": {"text/html": {"schema": {"type": "string"}}}},
            **failures(404, 409, 410),
        },
    )
    async def get_report_html(request: Request, analysis_id: AnalysisId) -> HTMLResponse:
        """Return the report as one page that refers to nothing elsewhere."""
        report = await _report(runtime, request, analysis_id)
        page = await asyncio.to_thread(html_report, report)
        return HTMLResponse(page, headers={"Content-Security-Policy": _PAGE_POLICY})

    @routes.get(
        "/report.json",
        operation_id="get_report_json",
        response_class=JSONResponse,
        responses={
            200: {
                "description": "the analysis, the whole result, and the numbers of the heat maps",
                "content": {"application/json": {"schema": {"type": "object"}}},
            },
            **failures(404, 409, 410),
        },
    )
    async def get_report_json(request: Request, analysis_id: AnalysisId) -> JSONResponse:
        """Return everything that is known of an analysis."""
        found = await find_scanned(runtime, request, analysis_id)
        content = {
            "report_version": 1,
            "service_version": __version__,
            "analysis": show(found).model_dump(mode="json"),
            "scan": scan_result(found).model_dump(mode="json"),
            "heatmaps": found.explanation,
        }
        return JSONResponse(content)

    @routes.get(
        "/report.pdf",
        operation_id="get_report_pdf",
        response_class=Response,
        responses={200: binary(_PDF, "the report"), **failures(404, 409, 410)},
    )
    async def get_report_pdf(request: Request, analysis_id: AnalysisId) -> Response:
        """Return the report to print."""
        report = await _report(runtime, request, analysis_id)
        content = await asyncio.to_thread(pdf_report, report)
        name = f'attachment; filename="{analysis_id}.pdf"'
        return Response(content, media_type=_PDF, headers={"Content-Disposition": name})

    return routes


async def _report(runtime: Runtime, request: Request, analysis_id: str) -> Report:
    found = await find_scanned(runtime, request, analysis_id)
    return Report(
        id=found.id,
        created_at=found.created_at,
        media_sha256=found.media_sha256,
        service_version=__version__,
        result=scan_result(found),
        faces=found.explanation,
        pictures=await asyncio.to_thread(_pictures, runtime, found),
    )


def _pictures(runtime: Runtime, found: Analysis) -> tuple[bytes, ...]:
    names = [heatmap_name(number) for number in range(1, len(found.explanation) + 1)]
    try:
        return tuple(runtime.stores.media.read(found.id, name) for name in names)
    except FileNotFoundError:
        return ()
