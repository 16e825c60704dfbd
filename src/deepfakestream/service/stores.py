"""What outlives a process of the service: the job store with its keys, and the media of jobs."""

from __future__ import annotations

from dataclasses import dataclass

from deepfakestream.access.keys import KeyStore
from deepfakestream.errors import DataError
from deepfakestream.host.database import Database
from deepfakestream.jobs.analyses import Analyses
from deepfakestream.jobs.media_store import FolderStore, MediaStore
from deepfakestream.jobs.queue import JobQueue
from deepfakestream.jobs.retention import Caretaker
from deepfakestream.jobs.tables import open_job_store
from deepfakestream.jobs.types import Retention
from deepfakestream.service.params import ServeParams
from deepfakestream.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Stores:
    """The stores of a workspace, opened."""

    database: Database
    analyses: Analyses
    queue: JobQueue
    media: MediaStore
    caretaker: Caretaker
    keys: KeyStore

    def close(self) -> None:
        """Close the connections; the next use opens others."""
        self.database.close()
        self.keys.close()


def open_stores(settings: Settings, params: ServeParams) -> Stores:
    """Open the job store and the folder of media, made where they are missing.

    Args:
        settings: of the workspace.
        params: section `serve`.

    Raises:
        DataError: one of them cannot be used.
    """
    database = open_job_store(settings.job_database_url)
    try:
        media = FolderStore(settings.job_media_dir)
    except OSError as error:
        database.close()
        raise DataError(
            f"DEEPFAKESTREAM_MEDIA_DIR {settings.job_media_dir}: cannot be used ({error.strerror}); "
            "name a folder that can be written"
        ) from error
    retention = Retention(media_h=params.media_kept_h, result_h=params.result_kept_h)
    analyses = Analyses(database, retention=retention)
    return Stores(
        database=database,
        analyses=analyses,
        queue=JobQueue(database, analyses),
        media=media,
        caretaker=Caretaker(database, media),
        keys=KeyStore(settings.job_database_url),
    )
