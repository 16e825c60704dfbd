"""Where the service finds the model to serve: the registry's champion, or the model inside the package."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from deepfakestream.model.packaged import PACKAGED_VERSION, packaged_model_dir
from deepfakestream.settings import Settings
from deepfakestream.wiring import mlflow_store


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelChoice:
    """A version that could be served."""

    version: str
    source: Literal["registry", "package"]


PACKAGED = ModelChoice(version=PACKAGED_VERSION, source="package")


class ModelSource(Protocol):
    """Knows which model should speak and where its files are. Both calls may block and may raise."""

    def champion(self) -> ModelChoice | None:
        """Return the champion, or None where none is registered."""
        ...

    def directory(self, choice: ModelChoice) -> Path:
        """Return the folder with the choice's files, fetched if needed."""
        ...


class RegistrySource:
    """The MLflow registry of the settings, and the package for version 0."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def champion(self) -> ModelChoice | None:
        """Return the champion, or None where none is registered or the workspace has no registry yet.

        Raises:
            ServerError: the registry does not answer.
        """
        if self._settings.tracking_uri is None and not self._settings.mlflow_db.exists():
            return None  # asking would make an empty registry
        from deepfakestream.registry.versions import CHAMPION, get_alias

        version = get_alias(mlflow_store(self._settings), CHAMPION)
        return None if version is None else ModelChoice(version=str(version), source="registry")

    def directory(self, choice: ModelChoice) -> Path:
        """Return the local folder of the choice, verified by digest.

        Raises:
            DataError: the registry does not know the version.
            WeightsError: the files are not those that were registered.
            ServerError: the registry does not answer.
        """
        if choice.source == "package":
            return packaged_model_dir()
        from deepfakestream.registry.versions import fetch

        return fetch(mlflow_store(self._settings), int(choice.version))
