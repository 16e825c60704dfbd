"""What started a training; stages that DVC runs in processes of their own get it by one variable."""

from __future__ import annotations

import os
from collections.abc import Mapping

from pydantic import Field, ValidationError

from deepfakestream.errors import ParamsError
from deepfakestream.frozen import Strict
from deepfakestream.host.user import user_at_machine
from deepfakestream.monitoring.governor_rules import Occasion

VARIABLE = "TRAINING_TRIGGER"
"""Environment variable that holds a trigger as JSON."""
_PREFIX = "trigger_"


class Trigger(Strict):
    """Why a model was trained, by whom, and where that is recorded."""

    occasion: Occasion = "manual"
    reason: str = ""
    """For people: what started it."""
    by: str = Field(default_factory=user_at_machine)
    """User and machine of the process that started it."""
    claim: str = ""
    """Id of the governor's claim; empty where nobody asked the governor."""
    flow_run_id: str = ""
    """Prefect's id of the flow run; empty outside a flow."""
    flow_run_name: str = ""

    def variables(self) -> dict[str, str]:
        """Return the environment variable that hands this on to a child process."""
        return {VARIABLE: self.model_dump_json()}

    def tags(self) -> dict[str, str]:
        """Return the tags for an MLflow run, one for each field that is known."""
        return {f"{_PREFIX}{name}": value for name, value in self.model_dump().items() if value}


def read_trigger() -> Trigger:
    """Return what started this process: the trigger of the variable, else a person at this machine.

    Raises:
        ParamsError: the variable holds something else.
    """
    text = os.environ.get(VARIABLE)
    if text is None:
        return Trigger()
    try:
        return Trigger.model_validate_json(text)
    except ValidationError as error:
        raise ParamsError(f"{VARIABLE}: holds no trigger of a training; unset the variable") from error


def trigger_of(tags: Mapping[str, str]) -> Trigger | None:
    """Return the trigger that a run's tags hold; None where they hold none, as those of an earlier release.

    Args:
        tags: of an MLflow run.
    """
    found = {name: tags[key] for name in Trigger.model_fields if (key := f"{_PREFIX}{name}") in tags}
    return Trigger.model_validate({"by": "", **found}) if f"{_PREFIX}occasion" in tags else None
