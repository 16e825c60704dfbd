"""The stages of `dvc.yaml`, shared by the commands and the flows."""

from __future__ import annotations

import re
from pathlib import Path

from deepfakestream.data.versioning.repository import DvcRepo
from deepfakestream.errors import ParamsError
from deepfakestream.host.process_tree import Listener
from deepfakestream.host.whole_files import replacing
from deepfakestream.pipeline.locks import one_at_a_time
from deepfakestream.pipeline.trigger import Trigger
from deepfakestream.settings import Settings

STAGES = ("extract", "validate", "train", "evaluate")
_SEED = re.compile(r"^seed:[ \t]*(\d+)", flags=re.MULTILINE)


def reproduce(
    settings: Settings, stage: str, trigger: Trigger | None = None, listener: Listener | None = None
) -> bool:
    """Run a stage and what it needs where they are out of date; return whether anything changed.

    Callers in any process wait for each other.

    Args:
        settings: of the workspace.
        stage: name in `dvc.yaml`.
        trigger: what started it, for the run in MLflow; default: what started this process.
        listener: gets every line that DVC and the stage print, while they run.

    Raises:
        DataError: a stage failed, or `data/` is another version than the one that `data.dvc` names.
    """
    with one_at_a_time(settings):
        variables = settings.variables() | (trigger.variables() if trigger else {})
        repo = DvcRepo(settings.workspace, variables, listener)
        repo.require_named_data()
        return repo.repro(stage)


def renew(
    settings: Settings, stage: str, trigger: Trigger | None = None, listener: Listener | None = None
) -> None:
    """Run a stage for a retraining: as `reproduce`, but `train` always makes another model.

    Where neither data nor parameters changed DVC would keep the trained model, and training it again from the
    same seed would give it again. Then the next seed is written to params.yaml, so that the stage is out of
    date: the new model is another one, and dvc.lock and MLflow say what made it.

    Args:
        settings: of the workspace.
        stage: name in `dvc.yaml`.
        trigger: as in `reproduce`.
        listener: as in `reproduce`.
    """
    if not reproduce(settings, stage, trigger, listener) and stage == "train":
        draw_next_seed(settings.params_file)
        reproduce(settings, stage, trigger, listener)


def draw_next_seed(path: Path) -> int:
    """Add one to `seed` in a params.yaml, leave every other character as it is, and return the new seed.

    Raises:
        ParamsError: the file has no line `seed: <number>`.
    """
    text = path.read_text(encoding="utf-8")
    found = _SEED.search(text)
    if not found:
        raise ParamsError(f"{path}: no line 'seed: <number>' at top level; add one")
    seed = int(found[1]) + 1
    with replacing(path) as partial:
        partial.write_text(text[: found.start(1)] + str(seed) + text[found.end(1) :], encoding="utf-8")
    return seed
