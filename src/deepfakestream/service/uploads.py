"""An upload that arrives: streamed into one file of ours, as a form with one file or as the bare file.

The file name, the declared type and other fields of a form are not kept. A form is refused as soon as it
holds more than it may.
"""

from __future__ import annotations

import errno
import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header

from deepfakestream.service import problems
from deepfakestream.service.problems import Refused

FIELD = "file"
MAX_FIELDS = 8
"""Fields next to the file; they are not read."""
MAX_FIELD_BYTES = 65_536
MAX_HEADER_BYTES = 4096
"""Of the headers of one part of a form."""
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """A file that arrived whole."""

    path: Path
    sha256: str
    size_bytes: int


async def receive(chunks: AsyncIterator[bytes], content_type: str, path: Path) -> Upload:
    """Write an upload to a path and return what it is. Where it fails, nothing is left at the path.

    Args:
        chunks: the body of the request.
        content_type: its type; a form has the file in the field `file`, any other body is the file.
        path: where nothing is yet.

    Raises:
        Refused: the form is damaged or holds too much, or there is no room for the file.
    """
    kind, options = parse_options_header(content_type)
    try:
        with path.open("xb") as file:
            sink = _Sink(file)
            if kind == b"multipart/form-data":
                await _read_form(chunks, options.get(b"boundary", b""), sink)
            else:
                async for chunk in chunks:
                    sink.write(chunk)
        return Upload(path=path, sha256=sink.digest.hexdigest(), size_bytes=sink.size_bytes)
    except BaseException as error:
        path.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno in _NO_ROOM:
            raise Refused(problems.storage_full()) from error
        raise


@dataclass(slots=True)
class _Sink:
    file: BinaryIO
    size_bytes: int = 0
    digest: hashlib._Hash = field(default_factory=hashlib.sha256)

    def write(self, chunk: bytes) -> None:
        self.file.write(chunk)
        self.digest.update(chunk)
        self.size_bytes += len(chunk)


async def _read_form(chunks: AsyncIterator[bytes], boundary: bytes, sink: _Sink) -> None:
    if not boundary:
        raise Refused(problems.bad_form("The Content-Type has no boundary."))
    form = _Form(sink)
    parser = MultipartParser(
        boundary,
        {
            "on_part_begin": form.begin_part,
            "on_header_field": form.header_name,
            "on_header_value": form.header_value,
            "on_header_end": form.end_header,
            "on_headers_finished": form.end_headers,
            "on_part_data": form.data,
            "on_end": form.end,
        },
    )
    try:
        async for chunk in chunks:
            parser.write(chunk)
    except MultipartParseError as error:
        raise Refused(problems.bad_form("The form is malformed.")) from error
    if not form.ended:
        raise Refused(problems.bad_form("The form is malformed or ends early."))
    if not form.has_file:
        raise Refused(problems.of_status(400, "The request has no field 'file'; send the media file in it."))


class _Form:
    """What the parser tells, part by part."""

    def __init__(self, sink: _Sink) -> None:
        self._sink = sink
        self._name = self._value = b""
        self._disposition = b""
        self._header_bytes = self._num_fields = self._field_bytes = 0
        self._in_file = False
        self.num_files = 0
        self.has_file = False
        self.ended = False

    def begin_part(self) -> None:
        self._name = self._value = self._disposition = b""
        self._header_bytes = self._field_bytes = 0
        self._in_file = False

    def header_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]
        self._count_header(end - start)

    def header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]
        self._count_header(end - start)

    def end_header(self) -> None:
        if self._name.lower() == b"content-disposition":
            self._disposition = self._value
        self._name = self._value = b""

    def end_headers(self) -> None:
        _, options = parse_options_header(self._disposition)
        if b"filename" not in options:
            if options.get(b"name") == FIELD.encode():
                text = "The field 'file' must be an uploaded file; text and addresses are not fetched."
                raise Refused(problems.not_an_upload(text))
            self._num_fields += 1
            if self._num_fields > MAX_FIELDS:
                raise Refused(problems.bad_form(f"The form holds more than {MAX_FIELDS} fields."))
            return
        self.num_files += 1
        if self.num_files > 1:
            raise Refused(problems.bad_form("The form holds more than one file."))
        self._in_file = self.has_file = options.get(b"name") == FIELD.encode()

    def data(self, data: bytes, start: int, end: int) -> None:
        if self._in_file:
            self._sink.write(data[start:end])
            return
        if self.num_files and not self.has_file:
            return  # a file in another field: what is wrong with the form is said at its end
        self._field_bytes += end - start
        if self._field_bytes > MAX_FIELD_BYTES:
            raise Refused(problems.bad_form(f"A field of the form is longer than {MAX_FIELD_BYTES} bytes."))

    def end(self) -> None:
        self.ended = True

    def _count_header(self, size: int) -> None:
        self._header_bytes += size
        if self._header_bytes > MAX_HEADER_BYTES:
            raise Refused(problems.bad_form("A part of the form has too long headers."))
