"""Addresses of SQLite files, as SQLAlchemy takes them, for paths of any characters."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import quote, unquote_to_bytes

_URI_PREFIX = "file:"


def sqlite_url(path: Path, *, driver: str = "") -> str:
    """Return the address of an SQLite file.

    SQLAlchemy ends the path at a question mark, and `URL.create` does not escape one; so such a path, and one
    that is not valid UTF-8, is written as a URI of SQLite's own.

    Args:
        path: the file; the address holds its absolute path.
        driver: SQLAlchemy's name of the driver; default: the one of the standard library.
    """
    absolute = str(path.resolve())
    if any(character == "?" or "\ud800" <= character <= "\udfff" for character in absolute):
        # MLflow makes the folder that follows "sqlite:///", so the driver is always named here.
        return f"sqlite+{driver or 'pysqlite'}:///{_URI_PREFIX}{quote(os.fsencode(absolute))}?uri=true"
    return f"sqlite{driver and f'+{driver}'}:///{absolute}"


def sqlite_path(database: str) -> Path:
    """Return the file that an address of `sqlite_url` leads to.

    Args:
        database: what SQLAlchemy calls so: the address between `sqlite:///` and the question mark.
    """
    if not database.startswith(_URI_PREFIX):
        return Path(database)
    return Path(os.fsdecode(unquote_to_bytes(database.removeprefix(_URI_PREFIX))))
