"""The BentoML service is put together as documented, without starting anything."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from deepfakestream.errors import ParamsError
from deepfakestream.service.admission import Admission
from deepfakestream.service.runtime import Runtime
from deepfakestream.settings import Settings


def test_the_door_stands_in_front_of_every_route() -> None:
    from bentos.service import DeepfakeStream

    assert DeepfakeStream.name == "deepfakestream"
    assert [middleware for middleware, _ in DeepfakeStream.middlewares] == [Admission]
    assert [path for _, path, _ in DeepfakeStream.mount_apps] == ["/"]
    assert DeepfakeStream.apis == {}


def test_a_wrong_workspace_is_found_before_a_worker_starts(tmp_path: Path) -> None:
    from bentos.service import DeepfakeStream

    hook = DeepfakeStream.inner.check_workspace
    assert hook.__bentoml_deployment_hook__
    with pytest.raises(ParamsError, match=r"params\.yaml: "):
        Runtime(settings=lambda: Settings(workspace=tmp_path)).check()


def test_without_options_it_listens_where_the_settings_say() -> None:
    """BentoML's own default is every interface."""
    from bentos.service import DeepfakeStream

    assert DeepfakeStream.config["http"] == {"host": Settings().host, "port": Settings().service_port}
    assert Settings.model_fields["host"].default == "127.0.0.1"


def test_a_cpu_asks_for_nothing() -> None:
    from bentos.service import _resources

    assert _resources("cpu") == {}


@pytest.mark.slow
def test_importing_the_service_loads_no_model_and_no_tracking() -> None:
    code = "import sys, bentos.service; print(sorted({'torch', 'mlflow', 'onnxruntime'} & set(sys.modules)))"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=120, check=True)
    assert done.stdout.strip() == "[]"
