"""API keys in the job store's database: shown once, stored as digests, with scopes, a rate and quotas.

A key is 256 random bits, so a plain SHA-256 protects it as well as a slow hash would.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal, get_args

import sqlalchemy as sa

from deepfakestream.errors import DataError, ParamsError
from deepfakestream.host.database import Database

PREFIX = "dfs_live_"
Scope = Literal["scan", "read", "feedback", "metrics", "admin"]
SCOPES: tuple[Scope, ...] = get_args(Scope)
DEFAULT_SCOPES: tuple[Scope, ...] = ("scan", "read", "feedback")
RESERVED_NAME = "local"
"""Owner of what is done without a key."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")

_LAYOUT_1 = """
CREATE TABLE api_keys (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    digest TEXT NOT NULL UNIQUE,
    scopes TEXT NOT NULL,
    requests_per_minute INTEGER NOT NULL,
    images_per_day INTEGER,
    video_minutes_per_day INTEGER,
    created_at DOUBLE PRECISION NOT NULL,
    expires_at DOUBLE PRECISION,
    revoked_at DOUBLE PRECISION
)
"""
_KEYS = sa.Table(
    "api_keys",
    sa.MetaData(),
    *(
        sa.Column(name)
        for name in (
            "id", "name", "digest", "scopes", "requests_per_minute", "images_per_day",
            "video_minutes_per_day", "created_at", "expires_at", "revoked_at",
        )
    ),
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """A key without its secret."""

    id: str
    name: str
    """Also the owner of all that is done with it."""
    scopes: tuple[Scope, ...]
    requests_per_minute: int
    images_per_day: int | None
    """Quota; None for no limit."""
    video_minutes_per_day: int | None
    created_at: float
    expires_at: float | None
    revoked_at: float | None

    def is_active(self, now: float) -> bool:
        """Whether the key opens anything now."""
        return self.revoked_at is None and (self.expires_at is None or self.expires_at > now)


class KeyStore:
    """The keys of a database."""

    def __init__(self, url: str, *, clock: Callable[[], float] = time.time) -> None:
        """Open the database of the job store.

        Raises:
            DataError: the address is wrong, or the database cannot be used.
        """
        self._database = Database(url, what="key store", migrations=[_LAYOUT_1])
        self._clock = clock

    def close(self) -> None:
        """Close the connections; the next use opens others."""
        self._database.close()

    def create(
        self,
        name: str,
        *,
        scopes: Iterable[str] = DEFAULT_SCOPES,
        requests_per_minute: int = 120,
        images_per_day: int | None = None,
        video_minutes_per_day: int | None = None,
        expires_in_days: float | None = None,
    ) -> tuple[str, ApiKey]:
        """Make a key and return its secret, which is stored nowhere, and the key.

        Args:
            name: 1 to 64 letters, digits, dots, dashes and underscores; never used before.
            scopes: what it opens, out of `SCOPES`.
            requests_per_minute: rate.
            images_per_day: quota of images with a score.
            video_minutes_per_day: quota of minutes of video with a score.
            expires_in_days: when it stops working.

        Raises:
            ParamsError: the name or a scope is not allowed.
            DataError: there is or was a key of this name.
        """
        chosen = tuple(dict.fromkeys(scopes))
        unknown = [scope for scope in chosen if scope not in SCOPES]
        if unknown or not chosen:
            raise ParamsError(f"scope '{(unknown or [''])[0]}' is unknown; choose from {', '.join(SCOPES)}")
        if not _NAME.fullmatch(name) or name == RESERVED_NAME:
            raise ParamsError(
                f"key name '{name}': use 1 to 64 letters, digits, '.', '-' and '_', and not '{RESERVED_NAME}'"
            )
        secret, now = PREFIX + secrets.token_urlsafe(32), self._clock()
        values = {
            "id": f"key_{secrets.token_hex(6)}",
            "name": name,
            "digest": _digest(secret),
            "scopes": " ".join(chosen),
            "requests_per_minute": requests_per_minute,
            "images_per_day": images_per_day,
            "video_minutes_per_day": video_minutes_per_day,
            "created_at": now,
            "expires_at": None if expires_in_days is None else now + 86_400 * expires_in_days,
        }
        try:
            with self._database.writing() as connection:
                connection.execute(sa.insert(_KEYS).values(**values))
        except sa.exc.IntegrityError as error:
            raise DataError(
                f"there is or was a key '{name}'; its analyses are its own, so choose another name"
            ) from error
        found = self._where(_KEYS.c.name == name)
        return secret, found[0]

    def find(self, secret: str) -> ApiKey | None:
        """Return the active key of a secret, or None.

        Raises:
            ServerError: the database does not answer.
        """
        found = self._where(_KEYS.c.digest == _digest(secret))
        return found[0] if found and found[0].is_active(self._clock()) else None

    def all(self) -> list[ApiKey]:
        """Return every key that was ever made, the oldest first."""
        return self._where(sa.true())

    def any_active(self) -> bool:
        """Whether there is a key that opens anything."""
        now = self._clock()
        return any(key.is_active(now) for key in self.all())

    def revoke(self, name: str) -> ApiKey:
        """Let a key open nothing from now on; services notice within seconds.

        Raises:
            DataError: there is no active key of this name.
        """
        with self._database.writing() as connection:
            done = connection.execute(
                sa.update(_KEYS)
                .where(_KEYS.c.name == name, _KEYS.c.revoked_at.is_(None))
                .values(revoked_at=self._clock())
            )
        if not done.rowcount:
            raise DataError(f"there is no active key '{name}'; 'deepfakestream keys list' shows the keys")
        return self._where(_KEYS.c.name == name)[0]

    def _where(self, condition: Any) -> list[ApiKey]:
        with self._database.reading() as connection:
            rows = connection.execute(sa.select(_KEYS).where(condition).order_by(_KEYS.c.created_at)).all()
        keys = []
        for row in rows:
            values = dict(row._mapping)  # noqa: SLF001 - SQLAlchemy's public name for it
            del values["digest"]
            keys.append(ApiKey(**values | {"scopes": tuple(values["scopes"].split())}))
        return keys


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
