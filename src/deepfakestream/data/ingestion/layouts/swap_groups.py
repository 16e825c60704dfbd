"""Source groups of sources in which every fake joins two videos."""

from __future__ import annotations

from collections.abc import Iterable


def connect(pairs: Iterable[tuple[str, ...]]) -> dict[str, str]:
    """Return the group of each name: what pairs connect, directly or by way of others, is one group.

    Args:
        pairs: names that belong together; a name alone is a group unless another pair has it.

    Returns:
        Each name's group, called after the first of its names in sorted order.
    """
    parent: dict[str, str] = {}

    def root(name: str) -> str:
        while parent.setdefault(name, name) != name:
            parent[name] = parent[parent[name]]
            name = parent[name]
        return name

    for pair in filter(None, pairs):
        first, *others = sorted({root(name) for name in pair})
        parent.update(dict.fromkeys(others, first))
    return {name: root(name) for name in parent}
