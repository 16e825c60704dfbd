"""Proxies of the company network: what runs on this machine is reached without them."""

from __future__ import annotations

import os
from collections.abc import Mapping

_NAMES = ("no_proxy", "NO_PROXY")


def without_proxy(environment: Mapping[str, str], host: str) -> dict[str, str]:
    """Return the variables by which clients of any library reach this machine's own servers directly.

    Args:
        environment: where the hosts that need no proxy so far are read from.
        host: address that the servers listen on.
    """
    named = [each.strip() for name in _NAMES for each in environment.get(name, "").split(",")]
    hosts = ",".join(dict.fromkeys([*filter(None, named), host, "127.0.0.1", "localhost"]))
    return dict.fromkeys(_NAMES, hosts)


def bypass_proxy(host: str) -> None:
    """Let this process, and those that it starts, reach this machine's own servers directly."""
    os.environ.update(without_proxy(os.environ, host))
