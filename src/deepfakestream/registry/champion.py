"""The champion: which version it is, and how it is moved.

It is moved under a lock, only if it is still the one that was compared against: MLflow's aliases know no
compare-and-swap. The lock file serialises promotions from one workspace; between machines the check just
before the move leaves a window of milliseconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from deepfakestream.errors import GateError
from deepfakestream.host.locks import in_turn
from deepfakestream.model.packaged import PACKAGED_VERSION, packaged_model_dir
from deepfakestream.registry.versions import (
    CHALLENGER,
    CHAMPION,
    PREVIOUS,
    fetch,
    get_alias,
    get_version,
    set_alias,
    tag_version,
)
from deepfakestream.settings import Settings

PREVIOUS_TAG = "previous_champion"
_LOCK_FILE = "promotion.lock"


@dataclass(frozen=True, slots=True)
class Champion:
    """The version that is served, and its files on this machine."""

    version: str
    directory: Path


def champion_version(settings: Settings) -> str:
    """Return the champion's version; that of the model inside the package where there is no champion.

    Raises:
        ServerError: the registry does not answer.
    """
    number = get_alias(settings, CHAMPION)
    return PACKAGED_VERSION if number is None else str(number)


def find_champion(settings: Settings) -> Champion:
    """Return the registry's champion, fetched and verified, or the model inside the package.

    Raises:
        WeightsError: the files are not those that were registered.
        ServerError: the registry or its file store does not answer.
    """
    version = champion_version(settings)
    if version == PACKAGED_VERSION:
        return Champion(version, packaged_model_dir())
    return Champion(version, fetch(settings, int(version)))


def make_champion(settings: Settings, version: int, *, expected: int | None) -> None:
    """Make a version champion; the one before becomes `previous`.

    Args:
        settings: where the registry is.
        version: the new champion.
        expected: the champion that it was compared against; None where there was none.

    Raises:
        GateError: another version became champion in the meantime; nothing is moved.
        ServerError: the registry does not answer.
    """
    with in_turn(settings.work_dir / _LOCK_FILE):
        current = get_alias(settings, CHAMPION)
        if current != expected:
            raise GateError(
                f"{settings.registered_model}: version {current} became champion while version {version} was "
                f"compared with {expected if expected is not None else 'no champion'}; run promote again"
            )
        _move(settings, version, current)


def rollback(settings: Settings) -> int:
    """Make the previous champion champion again, the present one `previous`, and return the new champion.

    Raises:
        GateError: there is no previous champion.
        ServerError: the registry does not answer.
    """
    with in_turn(settings.work_dir / _LOCK_FILE):
        current = get_alias(settings, CHAMPION)
        previous = _before(settings, current)
        if previous is None:
            raise GateError(
                f"{settings.registered_model}: no previous champion to go back to; promote a version first"
            )
        _move(settings, previous, current)
    return previous


def _before(settings: Settings, current: int | None) -> int | None:
    """Return the champion before; a move cut off between the two aliases left both at the present one."""
    previous = get_alias(settings, PREVIOUS)
    if previous is None or previous != current:
        return previous
    tag = get_version(settings, current).tags.get(PREVIOUS_TAG, "none")
    return int(tag) if tag.isdecimal() else None


def _move(settings: Settings, version: int, current: int | None) -> None:
    if version == current:
        return
    # The champion's alias moves last, next to the way back: the next call repeats what is cut off before.
    if get_alias(settings, CHALLENGER) == version:
        set_alias(settings, CHALLENGER, None)
    tag_version(
        settings,
        version,
        {
            "champion_since": datetime.now(UTC).isoformat(timespec="seconds"),
            PREVIOUS_TAG: str(current if current is not None else "none"),
        },
    )
    if current is not None:
        set_alias(settings, PREVIOUS, current)
    set_alias(settings, CHAMPION, version)
