"""The champion: which version it is, and how it is moved.

It is moved under a lock, only if it is still the one that was compared against: MLflow's aliases know no
compare-and-swap. The lock file serialises promotions from one workspace; between machines the check just
before the move leaves a window of milliseconds.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
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
    remove_tag,
    set_alias,
    tag_version,
)

PREVIOUS_TAG = "previous_champion"
"""Version that a promotion took the place of."""
CHAMPION_SINCE_TAG = "champion_since"
ROLLED_BACK_TAG = "rolled_back"
"""On a version that a rollback removed: when, by whom and why. The gate refuses it."""
PACKAGED_NUMBER = int(PACKAGED_VERSION)
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


@contextmanager
def champion_lock(store: Store) -> Iterator[None]:
    """Hold the lock under which the champion is moved, for the block."""
    with in_turn(store.work_dir / _LOCK_FILE):
        yield


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
    with champion_lock(store):
        current = get_alias(store, CHAMPION)
        if current != expected:
            raise GateError(
                f"{store.registered_model}: version {current} became champion while version {version} was "
                f"compared with {expected if expected is not None else 'no champion'}; run promote again"
            )
        _move(store, version, current, previous_tag=True)


def rollback_target(store: Store, current: int | None, *, to: int | None = None, anyway: bool = False) -> int:
    """Return the version that a rollback shall make champion.

    Args:
        store: where the registry is.
        current: the champion now.
        to: the version wished for, 0 for the model inside the package; None: the champion before.
        anyway: take also a version that the gate did not promote, or that was rolled back itself.

    Raises:
        DataError: the registry has no such version.
        GateError: there is no champion before, `to` is champion already, or is not fit and `anyway` is False.
        ServerError: the registry does not answer.
    """
    name = store.registered_model
    target = _before(store, current) if to is None else to
    if target is None:
        raise GateError(
            f"{name}: no previous champion to go back to; name a version with --to, 0 for the model that "
            "ships with the package"
        )
    if target == (current or PACKAGED_NUMBER):
        raise GateError(f"{name}: version {target} is champion already; name another one with --to")
    if target != PACKAGED_NUMBER and not anyway:
        tags = get_version(store, target).tags
        objections = []
        if ROLLED_BACK_TAG in tags:
            objections.append(f"it was rolled back ({tags[ROLLED_BACK_TAG]})")
        if (outcome := tags.get("gate_outcome", "PROMOTE")) != "PROMOTE":
            objections.append(
                f"the promotion gate said {outcome} ({tags.get('gate_reasons', 'no reasons kept')})"
            )
        elif CHAMPION_SINCE_TAG not in tags:
            objections.append("it never was champion")
        if objections:
            raise GateError(
                f"{name}: version {target} is no version to go back to: {'; '.join(objections)}; name "
                "another one with --to, or add --anyway"
            )
    return target


def roll_back(store: Store, version: int, current: int | None, *, mark: str) -> None:
    """Make an earlier version champion; mark the one that was, so that the gate does not promote it again.

    Call it inside `champion_lock`. What is cut off half-way is completed by the next call.

    Args:
        store: where the registry is.
        version: from `rollback_target`.
        current: the champion now.
        mark: when, by whom and why, for the readers of the tag.

    Raises:
        ServerError: the registry does not answer.
    """
    if current is not None:
        tag_version(store, current, {ROLLED_BACK_TAG: mark})
    _move(store, version, current, previous_tag=False)


def _before(store: Store, current: int | None) -> int | None:
    """Return the champion before.

    The alias `previous` does not tell it where a move was cut off between the two aliases, which left both at
    the present one, and where `previous` is what a rollback removed: then the present one's tag does.
    """
    previous = get_alias(store, PREVIOUS)
    if previous is None or current is None:
        return previous
    if previous != current and ROLLED_BACK_TAG not in get_version(store, previous).tags:
        return previous
    tag = get_version(store, current).tags.get(PREVIOUS_TAG, "none")
    return int(tag) if tag.isdecimal() else None


def _move(store: Store, version: int, current: int | None, *, previous_tag: bool) -> None:
    if version == current:
        return
    # The champion's alias moves last, next to the way back: the next call repeats what is cut off before.
    if version != PACKAGED_NUMBER:
        if get_alias(store, CHALLENGER) == version:
            set_alias(store, CHALLENGER, None)
        before = {PREVIOUS_TAG: str(current if current is not None else "none")} if previous_tag else {}
        since = datetime.now(UTC).isoformat(timespec="seconds")
        tag_version(store, version, {CHAMPION_SINCE_TAG: since, **before})
        if ROLLED_BACK_TAG in get_version(store, version).tags:
            remove_tag(store, version, ROLLED_BACK_TAG)
    if current is not None:
        set_alias(store, PREVIOUS, current)
    set_alias(store, CHAMPION, None if version == PACKAGED_NUMBER else version)
