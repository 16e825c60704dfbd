"""From specs to servers that answer: in the order of their needs, at the same time where none waits."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from deepfakestream.errors import ServerError
from deepfakestream.host.signals import signals_held
from deepfakestream.local.catalogue import ServerSpec, common_environment
from deepfakestream.local.child import Child, Listener
from deepfakestream.local.liveness import answers
from deepfakestream.settings import Settings

START_TIMEOUT_S = 180.0
_ANSWER_TIMEOUT_S = 2.0
_POLL_S = 0.2


@dataclass(slots=True)
class _Starting:
    spec: ServerSpec
    child: Child
    deadline: float
    ready: bool = False


def start(specs: Sequence[ServerSpec], settings: Settings, listener: Listener, children: list[Child]) -> None:
    """Start every server and return when each answers.

    Args:
        specs: what to start.
        settings: given to every server in its environment.
        listener: gets every line that a server prints.
        children: is filled in starting order, so that the caller can stop them whatever happens here.

    Raises:
        ServerError: a server ended or did not answer in time.
    """
    waiting = list(specs)
    started: dict[str, _Starting] = {}
    while waiting or not all(one.ready for one in started.values()):
        ready = {name for name, one in started.items() if one.ready}
        for spec in [
            spec for spec in waiting if ({other.name for other in specs} & set(spec.needs)) <= ready
        ]:
            waiting.remove(spec)
            with signals_held():
                children.append(launch(spec, settings, listener))
            started[spec.name] = _Starting(spec, children[-1], time.monotonic() + START_TIMEOUT_S)
        for one in started.values():
            url, words = one.spec.ready_url, one.spec.ready_words
            if not one.ready:
                one.ready = answers(url, _ANSWER_TIMEOUT_S) if url else one.child.has_said(words)
            _require_hope(one)
        time.sleep(_POLL_S)


def ended(child: Child) -> ServerError | None:
    """Return the error that tells of a server that has ended, or None while it runs."""
    if child.exit_status is None:
        return None
    return ServerError(
        f"{child.name} ended with status {child.exit_status}; its whole log is {child.log}, "
        f"its last lines are\n{child.last_lines}"
    )


def launch(spec: ServerSpec, settings: Settings, listener: Listener) -> Child:
    """Start a server and return at once.

    Args:
        spec: what to run.
        settings: of the workspace.
        listener: is called with each line that it writes.
    """
    return Child(
        spec.name,
        spec.command,
        environment=common_environment(settings) | spec.environment,
        cwd=settings.workspace,
        log=settings.work_dir.resolve() / "logs" / f"{spec.log_name or spec.name}.log",
        listener=listener,
    )


def _require_hope(one: _Starting) -> None:
    if error := ended(one.child):
        raise error
    if not one.ready and time.monotonic() > one.deadline:
        raise ServerError(
            f"{one.spec.name} did not answer within {START_TIMEOUT_S:.0f} s; its whole log is "
            f"{one.child.log}, its last lines are\n{one.child.last_lines}"
        )
