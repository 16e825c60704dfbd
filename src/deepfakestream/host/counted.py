"""Numbers with their noun."""

from __future__ import annotations


def counted(number: int, noun: str) -> str:
    """Return e.g. `1 item`, `5 items` or `2 entries`.

    Args:
        number: how many.
        noun: in the singular.
    """
    if number == 1:
        return f"1 {noun}"
    plural = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{number} {plural}"
