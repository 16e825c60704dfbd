"""Which addresses webhooks may go to: https on the public internet, unless private ones are allowed."""

from __future__ import annotations

import ipaddress
import socket
from urllib.parse import SplitResult, urlsplit

from deepfakestream.errors import DataError

_LOCAL_SUFFIXES = (".localhost", ".local", ".internal", ".home.arpa")


def check_address(url: str, *, allow_private: bool) -> str | None:
    """Return why nothing may be sent to an address, as the end of a sentence, or None where it may.

    Names are looked up when something is sent, not here.

    Args:
        url: that a client named.
        allow_private: also take http and addresses of this machine or network.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return "is no address"
    if parts.scheme != "https" and not (allow_private and parts.scheme == "http"):
        return "must begin with https://"
    if not parts.hostname or port == 0 or not _is_host_name(parts.hostname):
        return "is no address"
    if not all("!" <= character <= "~" for character in parts.path + parts.query):
        return "holds characters that must be percent-encoded"
    if parts.username is not None or parts.password is not None:
        return "must not hold a user name or password"
    host = parts.hostname
    if allow_private:
        return None
    if host == "localhost" or host.endswith(_LOCAL_SUFFIXES):
        return "names a host of this machine or network"
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        # A resolver takes "127.1", "0x7f000001" and "2130706433" for addresses, too.
        numeric = all(part.isdecimal() or part.startswith("0x") for part in host.split("."))
        return "names its host by a number that is no address" if numeric else None
    return None if is_public(address) else "names a host of this machine or network"


def resolve(parts: SplitResult, *, allow_private: bool) -> tuple[str, int]:
    """Return the one IP address and port to connect to, so that no second look-up can give another.

    Args:
        parts: the split address.
        allow_private: also take addresses of this machine or network.

    Raises:
        DataError: the name has no address, or only some that nothing may be sent to.
    """
    assert parts.hostname
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        found = socket.getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise DataError(f"{parts.hostname}: has no address ({error.strerror})") from error
    for *_, address in found:
        ip = ipaddress.ip_address(str(address[0]).partition("%")[0])
        if allow_private or is_public(ip):
            return str(ip), port
    raise DataError(f"{parts.hostname}: is a host of this machine or network")


def _is_host_name(host: str) -> bool:
    """Return whether a name can be looked up: resolvers and TLS fail on others with an error of their own."""
    try:
        host.encode("idna")
    except UnicodeError:
        return False
    return all(character.isprintable() and not character.isspace() for character in host)


def is_public(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Tell whether an address is one of the public internet, also where IPv6 wraps one of IPv4."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if inner is None and address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(inner)
    return address.is_global and not address.is_multicast


_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
