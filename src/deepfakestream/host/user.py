"""Who runs this process, for records of what people and schedules did."""

from __future__ import annotations

import getpass
import platform


def user_at_machine() -> str:
    """Return the user and the machine, as `user@machine`."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container may run as a number without a name
        user = "unknown"
    return f"{user}@{platform.node()}"
