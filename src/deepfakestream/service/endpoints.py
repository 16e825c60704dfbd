"""The paths of the service, and which of them a request's path belongs to."""

from __future__ import annotations

import re

IMAGES_PATH = "/v1/images"
VIDEOS_PATH = "/v1/videos"
LIVE_PATH = "/livez"
READY_PATH = "/readyz"
_EXACT = frozenset(
    {
        "/", "/docs", "/openapi.json", LIVE_PATH, READY_PATH, "/healthz", "/metrics", IMAGES_PATH,
        VIDEOS_PATH, "/v1/analyses", "/v1/model", "/v1/models", "/v1/usage", "/v1/feedback",
    }
)  # fmt: skip
_PATTERNS = (
    (re.compile(r"/v1/analyses/[^/]+"), "/v1/analyses/{id}"),
    (re.compile(r"/v1/analyses/[^/]+/heatmaps/[^/]+"), "/v1/analyses/{id}/heatmaps/{n}.png"),
    (re.compile(r"/v1/analyses/[^/]+/heatmaps/[^/]+/[^/]+"), "/v1/analyses/{id}/heatmaps/{n}/{map}.png"),
    (re.compile(r"/v1/analyses/[^/]+/pictures/[^/]+/[^/]+"), "/v1/analyses/{id}/pictures/{kind}/{n}"),
    (re.compile(r"/page/[^/]+"), "/page/{file}"),
    (re.compile(r"/v1/models/[^/]+/card"), "/v1/models/{version}/card"),
)
_PART = re.compile(
    r"/v1/analyses/[^/]+/(cancel|result|tracks|frames|heatmaps|events|report\.(?:html|json|pdf))"
)


def endpoint_of(path: str) -> str:
    """Return the endpoint of a path as documented, or `other`: so many names, whatever is asked for."""
    if path in _EXACT:
        return path
    if part := _PART.fullmatch(path):
        return f"/v1/analyses/{{id}}/{part[1]}"
    return next((name for pattern, name in _PATTERNS if pattern.fullmatch(path)), "other")
