"""Builds a bento that runs alone: `python -m bentos.build --help`.

It holds this package as a wheel, the locked requirements, and a small workspace with `params.yaml` and the
champion.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from contextlib import chdir
from pathlib import Path
from tempfile import TemporaryDirectory

import bentoml

from deepfakestream.errors import DataError, DeepfakeStreamError
from deepfakestream.model.folder import model_sha256
from deepfakestream.registry.kept import keep, version_folder
from deepfakestream.registry.lineage import LINEAGE
from deepfakestream.registry.versions import get_version
from deepfakestream.service.model_source import PACKAGED, ModelChoice, RegistrySource
from deepfakestream.settings import Settings, load_settings
from deepfakestream.telemetry import SWITCHES
from deepfakestream.wiring import mlflow_store

ROOT = Path(__file__).parents[1]
SERVICE = "bentos.service:DeepfakeStream"
WORKSPACE = "workspace"
"""Folder of the bento's sources that the service works in unless DEEPFAKESTREAM_WORKSPACE names another."""
LOCKS = {"cpu": "service", "cuda": "service-torch"}
"""Requirements by device; PyTorch's wheels bring CUDA, so both images begin with Python's."""


def main(arguments: list[str] | None = None) -> None:
    """Build a bento as the command line says and print its tag."""
    parser = argparse.ArgumentParser(prog="python -m bentos.build", description=__doc__)
    parser.add_argument("--device", choices=sorted(LOCKS), default="cpu", help="what the bento runs on")
    parser.add_argument("--export", type=Path, help="also write the bento to this file, e.g. service.bento")
    options = parser.parse_args(arguments)
    try:
        bento = build(load_settings(), device=options.device)
    except DeepfakeStreamError as error:
        sys.exit(f"deepfakestream: {error}")
    if options.export is not None:
        bento.export(str(options.export))
    sys.stdout.write(f"{bento.tag}\n{bento.path}\n")


def build(settings: Settings, *, device: str = "cpu") -> bentoml.Bento:
    """Return a new bento of BentoML's store, with the workspace's champion or else the packaged model.

    Args:
        settings: of the workspace that the champion and `params.yaml` are taken from.
        device: `cpu` or `cuda`: which requirements and which base image.

    Raises:
        DataError: this is not run in a checkout of the project.
        ServerError: the registry does not answer.
        WeightsError: the champion's files are not those that were registered.
    """
    if not (ROOT / "pyproject.toml").is_file():
        raise DataError(f"{ROOT}: no checkout of the project; a bento is built from one")
    source = RegistrySource(settings)
    choice = source.champion() or PACKAGED
    model_dir = source.directory(choice)
    with TemporaryDirectory() as scratch:
        context = Path(scratch)
        _write_sources(context, settings, choice, model_dir)
        command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
        subprocess.run([*command, "--wheel-dir", str(context / "wheels"), str(ROOT)], check=True)
        wheel = next((context / "wheels").glob("deepfakestream-*.whl"))
        shutil.copyfile(ROOT / "infra" / "locks" / f"{LOCKS[device]}.lock", context / "requirements.txt")
        with chdir(context):  # BentoML takes no files from elsewhere
            return bentoml.build(
                SERVICE,
                name=f"deepfakestream-{device}",
                build_ctx=str(context),
                include=["bentos/*.py", f"{WORKSPACE}/**"],
                labels=_labels(settings, choice, model_dir),
                python={
                    "requirements_txt": "requirements.txt",
                    "wheels": [f"wheels/{wheel.name}"],
                    "lock_packages": False,
                },
                docker={
                    "python_version": "3.11",
                    "env": {**SWITCHES, "DEEPFAKESTREAM_HOST": "0.0.0.0"},  # noqa: S104 - of a container
                },
            )


def _write_sources(context: Path, settings: Settings, choice: ModelChoice, model_dir: Path) -> None:
    """Write the service's module and its workspace: parameters, and the champion as the last to answer."""
    (context / "bentos").mkdir()
    for name in ("__init__.py", "service.py"):
        shutil.copyfile(ROOT / "bentos" / name, context / "bentos" / name)
    models_dir = context / WORKSPACE / "work" / "models"
    models_dir.mkdir(parents=True)
    shutil.copyfile(settings.params_file, context / WORKSPACE / "params.yaml")
    if choice.source == "registry":
        folder = version_folder(models_dir, int(choice.version), model_sha256(model_dir))
        shutil.copytree(model_dir, folder)
        keep(models_dir, int(choice.version), folder)


def _labels(settings: Settings, choice: ModelChoice, model_dir: Path) -> dict[str, str]:
    """Return where the model comes from; BentoML allows 63 characters a label."""
    labels = {"model_version": choice.version, "model_sha256": model_sha256(model_dir)}
    if choice.source == "registry":
        version = get_version(mlflow_store(settings), int(choice.version))
        labels |= {name: version.tags[name] for name in LINEAGE if name in version.tags}
        labels |= {"run_id": version.run_id} if version.run_id else {}
    return {name: value[:63] for name, value in labels.items()}


if __name__ == "__main__":
    main()
