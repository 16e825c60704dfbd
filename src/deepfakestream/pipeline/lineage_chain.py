"""The chain from a prediction or version to all that it comes from, as a value that is printed or JSON."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from deepfakestream.frozen import Frozen
from deepfakestream.host.text_table import in_words


class Link(Frozen):
    """One link of the chain: what is known, and what is not."""

    name: str
    """prediction, model version, run, code, data, parameters, trigger, decisions, alerts or audit."""
    facts: dict[str, Any] = Field(default_factory=dict)
    entries: tuple[str, ...] = ()
    """A sentence each, the oldest first: decisions, alerts and entries of the audit record."""
    pages: dict[str, str] = Field(default_factory=dict)
    """Addresses to open, by what they show."""
    not_recorded: tuple[str, ...] = ()
    """What is not known, and why."""

    def describe(self) -> list[str]:
        """Return the link as lines."""
        known = {name: value for name, value in self.facts.items() if value not in (None, "", (), [])}
        rows = {**known, **{f"page of the {shown}": address for shown, address in self.pages.items()}}
        width = max(map(len, rows), default=0)
        lines = [f"  {name:<{width}}  {in_words(value)}" for name, value in rows.items()]
        lines += [f"  {entry}" for entry in self.entries]
        return [self.name, *lines, *(f"  not recorded: {text}" for text in self.not_recorded)]


class Lineage(Frozen):
    """The whole chain."""

    subject: str
    links: tuple[Link, ...]
    note: str = ""
    """What a reader of the addresses must know."""

    def link(self, name: str) -> Link:
        """Return the link of a name.

        Raises:
            KeyError: the chain has none.
        """
        return {link.name: link for link in self.links}[name]

    def describe(self) -> str:
        """Return the chain as a heading and a paragraph for each link."""
        lines = [f"lineage of {self.subject}"]
        for link in self.links:
            lines += ["", *link.describe()]
        return "\n".join([*lines, *(["", self.note] if self.note else [])])
