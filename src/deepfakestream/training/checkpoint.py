"""Checkpoints of a run in progress: everything needed to go on as if it had never stopped."""

from __future__ import annotations

import pickle
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from deepfakestream.errors import DataError
from deepfakestream.host.whole_files import replacing


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointStore:
    """The one checkpoint of a run; a run with other parameters or data has another directory."""

    directory: Path

    @property
    def _path(self) -> Path:
        return self.directory / "last.pt"

    def save(self, state: dict[str, Any]) -> None:
        """Replace the checkpoint; a kill at any moment leaves the old or the new one."""
        with replacing(self._path) as partial:
            torch.save(state, partial)

    def load(self) -> dict[str, Any] | None:
        """Return the state that was saved last, or None.

        Raises:
            DataError: the file is damaged.
        """
        if not self._path.exists():
            return None
        try:
            state: dict[str, Any] = torch.load(self._path, map_location="cpu", weights_only=True)
        except (RuntimeError, EOFError, pickle.UnpicklingError) as error:
            raise DataError(
                f"{self._path}: a damaged checkpoint; remove it, and training starts from its first epoch"
            ) from error
        return state

    def of_part(self, name: str) -> CheckpointStore:
        """Return the checkpoint of a part of the run, which goes with the run's own."""
        return CheckpointStore(directory=self.directory / name)

    def remove(self) -> None:
        """Forget the run once its result is stored."""
        shutil.rmtree(self.directory, ignore_errors=True)
