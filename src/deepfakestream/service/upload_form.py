"""The form of an upload: one file and a few short fields, refused as soon as it holds more.

FastAPI parses up to a thousand files and fields of a form and keeps each below a megabyte in memory, so many
small parts would hold a whole upload there; and of two files in one field it gives the last.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request
from fastapi.responses import Response
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from deepfakestream.service import problems
from deepfakestream.service.problems import Refused

MAX_FIELDS = 8
"""Fields besides the file; they are not read."""
MAX_FIELD_BYTES = 65_536


class OneFileRoute(APIRoute):
    """A route whose form holds one file."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the handler of a request.

        It raises `Refused` where the form is damaged or holds more than one file or too many fields.
        """
        handle = super().get_route_handler()

        async def handle_one_file(request: Request) -> Response:
            try:
                return await handle(_OneFileRequest(request.scope, request.receive))
            except HTTPException as error:
                if error.status_code != 400:
                    raise
                raise Refused(problems.bad_form(str(error.detail))) from error

        return handle_one_file


class _OneFileRequest(Request):
    def form(self, **_: Any) -> Any:
        return super().form(max_files=1, max_fields=MAX_FIELDS, max_part_size=MAX_FIELD_BYTES)
