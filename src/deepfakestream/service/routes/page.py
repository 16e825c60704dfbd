"""The page for people: static files of the package; everything on it comes from this server."""

from __future__ import annotations

from importlib.resources import files

from fastapi import APIRouter
from fastapi.responses import Response

from deepfakestream.service import problems
from deepfakestream.service.problems import Refused

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' blob:; "
    "media-src blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'"
)
"""Keeps a browser on this server, and text that came with a file from becoming a script."""
_FOLDER = files("deepfakestream.service") / "page"
_TYPES = {".css": "text/css", ".html": "text/html", ".js": "text/javascript", ".svg": "image/svg+xml"}


def router() -> APIRouter:
    """Return the page at `/`, and its files under `/page/`."""
    routes = APIRouter(include_in_schema=False)
    contents = {each.name: each.read_bytes() for each in _FOLDER.iterdir()}

    def answer(name: str) -> Response:
        if name not in contents:
            raise Refused(problems.of_status(404))
        media_type = _TYPES[name[name.rindex(".") :]]
        return Response(contents[name], media_type=media_type, headers={"Content-Security-Policy": POLICY})

    @routes.get("/")
    async def index() -> Response:
        return answer("index.html")

    @routes.get("/page/{name}")
    async def file(name: str) -> Response:
        return answer(name)

    return routes
