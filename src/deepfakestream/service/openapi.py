"""The parts of the OpenAPI document that FastAPI does not write: problems, raw bodies, files as answers.

Every failure refers to one schema, `Problem`: clients are generated from this document, and some drop a
failure whose schema is written out again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from deepfakestream.service import problems
from deepfakestream.service.endpoints import LIVE_PATH, READY_PATH
from deepfakestream.service.schemas import ProblemDocument

Responses = dict[int | str, dict[str, Any]]
_PROBLEM = {problems.MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
_DESCRIPTIONS = {
    400: "empty or damaged file, no field `file`, or more than one file",
    401: "an API key is required, and this request has none that is valid",
    403: "the API key lacks the scope, or a page of another site sent the request",
    404: "there is no such analysis or part of it, or it belongs to another key",
    408: "the upload was too slow",
    409: "there is no result yet (see Retry-After), or none to come; or another label was given",
    410: "it is no longer kept",
    413: "the body is larger than the limit",
    415: "no file, an unsupported format, or the other kind of media",
    421: "the Host header names another service",
    422: "a parameter is unknown or not allowed, or the file can be read but not scanned; `reason` says why",
    429: "the key's rate or quota is used up; see Retry-After",
    500: "a fault of the service; its log has the rest under the request id",
    503: "busy, no model yet, or a store or what reads files is away; see Retry-After",
    504: "the scan took too long",
}
_ALWAYS = (400, 401, 403, 413, 421, 422, 429, 500, 503)
_RETRY_AFTER = {"Retry-After": {"description": "seconds to wait", "schema": {"type": "integer"}}}
_WITH_RETRY_AFTER = (409, 429, 503)
_FILE_TYPES = ("image/jpeg", "image/png", "image/webp", "application/octet-stream")
_CLIP_TYPES = ("video/mp4", "video/webm", "video/quicktime", "application/octet-stream")


def failures(*statuses: int) -> Responses:
    """Return the documentation of failures: those of every endpoint and the given ones."""
    return {
        status: {
            "description": _DESCRIPTIONS[status],
            "content": _PROBLEM,
            **({"headers": _RETRY_AFTER} if status in _WITH_RETRY_AFTER else {}),
        }
        for status in sorted({*_ALWAYS, *statuses})
    }


def binary(media_type: str, description: str) -> dict[str, Any]:
    """Return the documentation of an answer that is a file."""
    return {
        "description": description,
        "content": {media_type: {"schema": {"type": "string", "format": "binary"}}},
    }


def upload_body(kind: str) -> dict[str, Any]:
    """Return the documentation of a request that sends a file of a kind."""
    types = _FILE_TYPES if kind == "image" else _CLIP_TYPES
    a_file = {"type": "string", "format": "binary"}
    form = {
        "type": "object",
        "required": ["file"],
        "properties": {"file": {**a_file, "description": f"the {kind}"}},
    }
    content: Mapping[str, Any] = {
        "multipart/form-data": {"schema": form},
        **{media_type: {"schema": a_file} for media_type in types},
    }
    return {"requestBody": {"required": True, "content": content}}


def install(app: FastAPI) -> None:
    """Let the application answer `/openapi.json` with the whole document."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = get_openapi(
                title=app.title,
                version=app.version,
                description=app.description,
                routes=app.routes,
                tags=_TAGS,
            )
            components = document.setdefault("components", {})
            schemas = components.setdefault("schemas", {})
            schemas["Problem"] = ProblemDocument.model_json_schema(
                ref_template="#/components/schemas/{model}"
            ) | {"title": "Problem"}
            components["securitySchemes"] = {
                "bearer": {"type": "http", "scheme": "bearer", "description": "API key"},
                "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            }
            # None, as a service of one machine asks for none; or one of the two.
            document["security"] = [{}, {"bearer": []}, {"header": []}]
            for path in document["paths"].values():
                for operation in path.values():
                    responses = operation.get("responses", {})
                    default = responses.get("422", {}).get("content", {}).get("application/json")
                    if default is not None:  # FastAPI's own words for it, which we do not use
                        responses["422"] = failures(422)[422]
            document["paths"] |= _PROBES
            for name in ("HTTPValidationError", "ValidationError"):
                schemas.pop(name, None)
            app.openapi_schema = document
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _probe(name: str, description: str) -> dict[str, Any]:
    ok = {"description": "it is so", "content": {"text/plain": {"schema": {"type": "string"}}}}
    responses: Responses = {"200": ok, "503": failures(503)[503]}
    return {
        "get": {"operationId": name, "tags": ["service"], "description": description, "responses": responses}
    }


_PROBES = {
    LIVE_PATH: _probe(
        "get_livez", "Whether the process works: 503 once every thread has hung for minutes; restart it then."
    ),
    READY_PATH: _probe(
        "get_readyz", "Whether images can be answered: a model passed its canary, and not every thread hangs."
    ),
}
"""What BentoML answers."""

_TAGS = [
    {"name": "scan", "description": "Send a file."},
    {
        "name": "analyses",
        "description": "Look at analyses, their parts and their progress; end and remove them.",
    },
    {"name": "service", "description": "Models, usage, feedback, health."},
]
