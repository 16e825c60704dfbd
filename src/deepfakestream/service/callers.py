"""Who calls: hosts and sites that are allowed, API keys, scopes and rates; decided by the headers alone."""

from __future__ import annotations

import asyncio
import ipaddress
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import Scope

from deepfakestream.access.keys import ApiKey, KeyStore
from deepfakestream.access.rates import RateLimiter, RateState
from deepfakestream.jobs.types import LOCAL_OWNER
from deepfakestream.service import problems
from deepfakestream.service.endpoints import READY_PATH
from deepfakestream.service.problems import Refused

AccessMode = Literal["auto", "keys", "open"]
OPEN_PATHS = frozenset({"/", "/docs", "/openapi.json", "/livez", READY_PATH, "/healthz"})
"""Paths that ask for no key: exactly these, and the page's files."""
OPEN_FOLDERS = ("/static_content/", "/page/")
KEY_CACHE_S = 5.0
"""How long a key is taken to be what it was; so a revoked one opens nothing after that."""
_LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")
_SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
_SAME_SITE = ("same-origin", "none")


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who sent a request, and what that opens."""

    owner: str
    client: str
    """Whom limits on things at the same time count for: the key, or the address."""
    key: ApiKey | None
    rate: RateState | None

    def can(self, scope: str) -> bool:
        """Whether the caller has a scope; where no keys are asked for, everybody has all."""
        return self.key is None or scope in self.key.scopes

    @property
    def sees(self) -> str | None:
        """Whose analyses the caller sees; None for all."""
        return None if self.key is None or "admin" in self.key.scopes else self.owner


class AccessControl:
    """Decides who may call, and as whom."""

    def __init__(
        self, keys: KeyStore, *, mode: AccessMode, host: str, allowed_hosts: Sequence[str] = ()
    ) -> None:
        """Remember the rules.

        Args:
            keys: the API keys.
            mode: `keys` asks for one always, `open` never, `auto` wherever the service listens beyond this
                machine.
            host: the address that the service listens on, as it was configured.
            allowed_hosts: further names that the service goes by.
        """
        self._keys = keys
        self._mode = mode
        self._rates = RateLimiter()
        self._cache: dict[str, tuple[float, ApiKey | None]] = {}
        self.asks_for_keys = mode == "keys" or (mode == "auto" and not is_loopback(host))
        names = [*_LOOPBACK_NAMES, host, *allowed_hosts]
        # Keys keep strangers out by themselves, and a browser that was led here has none.
        self._hosts = None if self.asks_for_keys and not allowed_hosts else {name.lower() for name in names}

    def check_site(self, scope: Scope, headers: Headers) -> None:
        """Do nothing where host and origin are allowed.

        Args:
            scope: ASGI scope of the request.
            headers: of the request.

        Raises:
            Refused: the Host header names another service, or a page of another site sends something.
        """
        host = headers.get("host", "")
        name, colon, port = host.rpartition(":")
        without_port = (name if colon and port.isdecimal() else host).lower()
        if self._hosts is not None and without_port not in self._hosts:
            raise Refused(problems.host_not_allowed())
        if scope["method"] in _SAFE_METHODS:
            return
        site = headers.get("sec-fetch-site")
        origin = headers.get("origin")
        if (site is not None and site not in _SAME_SITE) or (
            origin is not None and urlsplit(origin).netloc.lower() != host.lower()
        ):
            raise Refused(problems.cross_site())

    async def caller(self, scope: Scope, headers: Headers) -> Caller:
        """Return who sends a request.

        Args:
            scope: ASGI scope of the request.
            headers: of the request.

        Raises:
            Refused: a key is needed and there is none, it does not open this path, or it asks too often.
            ServerError: the store of the keys does not answer.
        """
        address = scope["client"][0] if scope.get("client") else "unknown"
        kind, _, value = headers.get("authorization", "").partition(" ")
        secret = value.strip() if kind.lower() == "bearer" else headers.get("x-api-key", "").strip()
        path = str(scope["path"])
        if path in OPEN_PATHS or path.startswith(OPEN_FOLDERS) or not (self.asks_for_keys or secret):
            # Refuse what comes from beyond this machine where the service believed to listen here only.
            believes_local = self._mode == "auto" and not self.asks_for_keys
            server = scope.get("server") or ("localhost", None)
            if believes_local and path not in OPEN_PATHS and not is_loopback(str(server[0])):
                raise Refused(problems.keys_required())
            # Everybody on this machine has the same address: there it tells nothing apart.
            client = "" if is_loopback(address) else f"address {address}"
            return Caller(owner=LOCAL_OWNER, client=client, key=None, rate=None)
        if not secret:
            raise Refused(problems.unauthorized("This service asks for an API key."))
        key = await self._find(secret)
        if key is None:
            raise Refused(problems.unauthorized("The API key is unknown, expired or revoked."))
        needed = needed_scope(scope["method"], path)
        if needed not in key.scopes:
            raise Refused(problems.forbidden(needed))
        rate = self._rates.take(key.name, key.requests_per_minute)
        if not rate.allowed:
            raise Refused(problems.rate_limited(rate.seconds_to_next, per_minute=rate.limit))
        return Caller(owner=key.name, client=f"key {key.name}", key=key, rate=rate)

    async def _find(self, secret: str) -> ApiKey | None:
        now = time.monotonic()
        until, key = self._cache.get(secret, (0.0, None))
        if until < now:
            key = await asyncio.to_thread(self._keys.find, secret)
            if len(self._cache) > 1000:  # so many can only be guesses
                self._cache.clear()
            self._cache[secret] = (now + KEY_CACHE_S, key)
        return key


def needed_scope(method: str, path: str) -> str:
    """Return the scope that a request needs.

    Args:
        method: of the request.
        path: of the request.
    """
    if path == "/metrics":
        return "metrics"
    if path == "/v1/feedback":
        return "feedback"
    return "read" if method in _SAFE_METHODS else "scan"


def is_loopback(host: str) -> bool:
    """Tell whether an address is of this machine alone; what is no address but a name counts, if local."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host in {"localhost", "testserver", "testclient"}
