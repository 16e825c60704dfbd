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
from deepfakestream.registry.store import Store
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

PREVIOUS_TAG = "previous_champion"
_LOCK_FILE = "promotion.lock"


@dataclass(frozen=True, slots=True)
class Champion:
    """The version that is served, and its files on this machine."""

    version: str
    directory: Path


def champion_version(store: Store) -> str:
    """Return the champion's version; that of the model inside the package where there is no champion.

    Raises:
        ServerError: the registry does not answer.
    """
    number = get_alias(store, CHAMPION)
    return PACKAGED_VERSION if number is None else str(number)


def find_champion(store: Store) -> Champion:
    """Return the registry's champion, fetched and verified, or the model inside the package.

    Raises:
        WeightsError: the files are not those that were registered.
        ServerError: the registry or its file store does not answer.
    """
    version = champion_version(store)
    if version == PACKAGED_VERSION:
        return Champion(version, packaged_model_dir())
    return Champion(version, fetch(store, int(version)))


def make_champion(store: Store, version: int, *, expected: int | None) -> None:
    """Make a version champion; the one before becomes `previous`.

    Args:
        store: where the registry is.
        version: the new champion.
        expected: the champion that it was compared against; None where there was none.

    Raises:
        GateError: another version became champion in the meantime; nothing is moved.
        ServerError: the registry does not answer.
    """
    with in_turn(store.work_dir / _LOCK_FILE):
        current = get_alias(store, CHAMPION)
        if current != expected:
            raise GateError(
                f"{store.registered_model}: version {current} became champion while version {version} was "
                f"compared with {expected if expected is not None else 'no champion'}; run promote again"
            )
        _move(store, version, current)


def rollback(store: Store) -> int:
    """Make the previous champion champion again, the present one `previous`, and return the new champion.

    Raises:
        GateError: there is no previous champion.
        ServerError: the registry does not answer.
    """
    with in_turn(store.work_dir / _LOCK_FILE):
        current = get_alias(store, CHAMPION)
        previous = _before(store, current)
        if previous is None:
            raise GateError(
                f"{store.registered_model}: no previous champion to go back to; promote a version first"
            )
        _move(store, previous, current)
    return previous


def _before(store: Store, current: int | None) -> int | None:
    """Return the champion before; a move cut off between the two aliases left both at the present one."""
    previous = get_alias(store, PREVIOUS)
    if previous is None or previous != current:
        return previous
    tag = get_version(store, current).tags.get(PREVIOUS_TAG, "none")
    return int(tag) if tag.isdecimal() else None


def _move(store: Store, version: int, current: int | None) -> None:
    if version == current:
        return
    # The champion's alias moves last, next to the way back: the next call repeats what is cut off before.
    if get_alias(store, CHALLENGER) == version:
        set_alias(store, CHALLENGER, None)
    tag_version(
        store,
        version,
        {
            "champion_since": datetime.now(UTC).isoformat(timespec="seconds"),
            PREVIOUS_TAG: str(current if current is not None else "none"),
        },
    )
    if current is not None:
        set_alias(store, PREVIOUS, current)
    set_alias(store, CHAMPION, version)
