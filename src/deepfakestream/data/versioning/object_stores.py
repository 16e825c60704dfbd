"""DVC's stores of file contents, the cache and the remotes, seen alike: list, read, delete.

A folder, an S3 bucket and any other remote of DVC are reached through DVC's own file systems; this is one of
the two places that know DVC (the other is `repository.py`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Protocol

from deepfakestream.data.versioning.remotes import explain_failure
from deepfakestream.errors import DataError


class ObjectStore(Protocol):
    """Contents by their name; a name that ends with `.dir` is a listing of a folder."""

    @property
    def name(self) -> str:
        """What messages call it, e.g. `cache` or `remote s3://bucket/path`."""
        ...

    def names(self) -> set[str]:
        """Return the names of all objects."""
        ...

    def open(self, name: str) -> IO[bytes]:
        """Open an object to read it, from any position."""
        ...

    def delete(self, names: Collection[str]) -> None:
        """Remove objects in this order, but listings last; one that is gone already is fine."""
        ...


class DvcStore:
    """One of DVC's object databases."""

    def __init__(self, name: str, database: Any) -> None:
        self._name = name
        self._database = database

    @property
    def name(self) -> str:
        """What messages call it."""
        return self._name

    def names(self) -> set[str]:
        """Return the names of all objects."""
        try:
            return set(self._database.all())
        except FileNotFoundError:  # nothing was ever stored there
            return set()

    def open(self, name: str) -> IO[bytes]:
        """Open an object to read it, from any position."""
        opened: IO[bytes] = self._database.fs.open(self._database.oid_to_path(name), "rb")
        return opened

    def delete(self, names: Collection[str]) -> None:
        """Remove objects one by one, in this order but listings last; one that is gone already is fine.

        Whatever ends it in between, the listings that tell what a content is are still there.
        """
        from dvc_data.hashfile.db import get_index

        if names:  # first: DVC must not remember what a kill left half-deleted as complete
            get_index(self._database).clear()
        for name in sorted(names, key=lambda name: name.endswith(".dir")):
            try:
                self._database.delete(name)
            except FileNotFoundError:
                continue


@contextmanager
def open_stores(root: Path) -> Iterator[list[DvcStore]]:
    """Yield the cache of a DVC repository and every remote that it is configured with, under DVC's lock.

    Raises:
        DataError: another process uses DVC here, or a remote cannot be used; the message says why.
    """
    from botocore.exceptions import BotoCoreError, ClientError
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    try:
        with Repo(str(root)) as repo, repo.lock:
            stores = [DvcStore("cache", repo.cache.local)]
            for remote in sorted(repo.config["remote"]):
                url = repo.config["remote"][remote]["url"]
                stores.append(DvcStore(f"remote {url}", repo.cloud.get_remote_odb(remote, "forget")))
            yield stores
            repo.drop_data_index()
    except (DvcException, BotoCoreError, ClientError, OSError) as error:
        cause = explain_failure(str(error)) or str(error)
        raise DataError(f"{root}: its DVC cache or a remote cannot be used: {cause}") from error
