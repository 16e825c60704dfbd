"""Whether a port is free, and a sentence for a user who has to choose another."""

from __future__ import annotations

import socket

import psutil

from deepfakestream.errors import ServerError
from deepfakestream.host.terminal import one_line

_MAX_COMMAND_CHARS = 120


def require_free(host: str, port: int, *, server: str, setting: str) -> None:
    """Return if a server could listen on the port.

    Args:
        host: name or address.
        port: number.
        server: name for the message.
        setting: variable that sets the port.

    Raises:
        ServerError: something else listens there, or the host is not an address of this machine.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except OSError as error:
        raise ServerError(
            f"DEEPFAKESTREAM_HOST: '{host}' is no address of this machine ({error.strerror}); unset it, or "
            "name one, e.g. 127.0.0.1"
        ) from error
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # As servers do: a port whose last connections are still closing is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
        except OSError as error:
            raise ServerError(
                f"{server}: port {port} on {host} cannot be used ({error.strerror}); "
                f"{_remedy(port)}, or set {setting} to a free port"
            ) from error


def _remedy(port: int) -> str:
    """Return how to free the port, with the process that listens there where the system names it."""
    try:
        found = [each for each in psutil.net_connections("tcp") if each.status == psutil.CONN_LISTEN]
        listener = next(psutil.Process(each.pid) for each in found if each.laddr.port == port and each.pid)
        command = one_line(" ".join(listener.cmdline()))[:_MAX_COMMAND_CHARS]
    except (psutil.Error, OSError, StopIteration):
        return "stop what listens there"
    return f"process {listener.pid} listens there ({command}): end it, e.g. with 'kill {listener.pid}'"
