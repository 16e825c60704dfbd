"""Where the service finds the model to serve: the registry's champion, or the model inside the package."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, Protocol

from deepfakestream.errors import ServerError
from deepfakestream.model.packaged import PACKAGED_VERSION, packaged_model_dir
from deepfakestream.registry.kept import keep, kept
from deepfakestream.settings import Settings
from deepfakestream.wiring import mlflow_store


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelChoice:
    """A version that could be served."""

    version: str
    source: Literal["registry", "package"]


_LOG = logging.getLogger(__name__)
PACKAGED = ModelChoice(version=PACKAGED_VERSION, source="package")


class ModelSource(Protocol):
    """Knows which model should speak and where its files are. Both calls may block and may raise."""

    def champion(self) -> ModelChoice | None:
        """Return the champion, or None where none is registered."""
        ...

    def directory(self, choice: ModelChoice) -> Path:
        """Return the folder with the choice's files, fetched if needed."""
        ...

    def kept(self) -> ModelChoice | None:
        """Return the champion that answered last on this machine, or None."""
        ...

    def keep(self, choice: ModelChoice, directory: Path) -> None:
        """Note that the choice answers from now on."""
        ...


class RegistrySource:
    """The MLflow registry of the settings, and the package for version 0."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def champion(self) -> ModelChoice | None:
        """Return the champion, or None where none is registered.

        A workspace without a registry has the champion that was kept in it, if any: a bento is one.

        Raises:
            ServerError: the registry does not answer.
        """
        if not self._settings.has_registry:
            return self._kept_at_first
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

        try:
            if self._settings.has_registry:
                return fetch(mlflow_store(self._settings), int(choice.version))
            raise ServerError(f"{self._settings.mlflow_db}: missing; start in the workspace of the registry")
        except ServerError:
            found = kept(self._models_dir)
            if found is None or str(found[0]) != choice.version:
                raise
            return found[1]

    def kept(self) -> ModelChoice | None:
        """Return the champion that answered last on this machine, verified by digest, or None."""
        found = kept(self._models_dir)
        return None if found is None else ModelChoice(version=str(found[0]), source="registry")

    def keep(self, choice: ModelChoice, directory: Path) -> None:
        """Note that the choice answers from now on; the package needs no note, and a full disk stops nothing.

        Args:
            choice: version that answers.
            directory: folder with its files.
        """
        if choice.source == "registry":
            try:
                keep(self._models_dir, int(choice.version), directory)
            except OSError as error:
                _LOG.warning("%s: the champion is served, but not noted (%s)", self._models_dir, error)

    @cached_property
    def _kept_at_first(self) -> ModelChoice | None:
        """What `kept` says once: without a registry nothing changes it, and each look reads all files."""
        return self.kept()

    @property
    def _models_dir(self) -> Path:
        return self._settings.work_dir / "models"
