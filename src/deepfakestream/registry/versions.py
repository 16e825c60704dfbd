"""Versions of the detector in the MLflow model registry: what is registered, which is champion, its files.

Version 0 is the model inside the package; it is never registered and speaks while there is no champion.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepfakestream.errors import DataError, WeightsError
from deepfakestream.host.locks import in_turn
from deepfakestream.host.whole_files import replacing_folder
from deepfakestream.model.folder import ONNX_FILE, model_files, model_sha256
from deepfakestream.registry.description import DESCRIPTION
from deepfakestream.registry.kept import version_folder
from deepfakestream.registry.mlmodel import write_mlmodel
from deepfakestream.registry.store import (
    Store,
    answer_or_none,
    as_server_error,
    ensure_experiment,
    open_client,
)

if TYPE_CHECKING:
    from mlflow import MlflowClient

CHAMPION = "champion"
"""Alias of the version that is served."""
CHALLENGER = "challenger"
"""Alias of the version that was trained last and is not champion."""
PREVIOUS = "previous"
"""Alias of the champion before this one: where a rollback goes."""
DIGEST_TAG = "model_sha256"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelVersion:
    """One registered version and where it comes from."""

    number: int
    run_id: str | None
    tags: dict[str, str]
    aliases: tuple[str, ...]
    created_at: datetime
    description: str


def register(
    store: Store,
    *,
    run_id: str,
    model_dir: Path,
    tags: Mapping[str, str],
    attachments: Mapping[str, Path] | None = None,
    metrics: Mapping[str, float] | None = None,
    description: str = "",
) -> int:
    """Register a model folder as a new version and return its number.

    The version is an MLflow logged model of the run: ONNX graph with signature, safetensors, spec and card.

    Args:
        store: where the registry is.
        run_id: run that trained it.
        model_dir: folder with model.safetensors, model.onnx and spec.json.
        tags: lineage and results; the digest of the files is added.
        attachments: more files to keep with the version, by name, e.g. the drift reference.
        metrics: numbers shown with the version.
        description: what the version is, for readers of the MLflow page.

    Raises:
        WeightsError: a file of the model folder is missing.
        ServerError: the registry does not answer or refuses; a half-written version is marked failed.
    """
    files = model_files(model_dir)
    client = open_client(store)
    all_tags = {**tags, DIGEST_TAG: model_sha256(model_dir)}
    with as_server_error(store):
        _ensure_registered_model(client, store.registered_model)
        model_id = _log_model(
            client, store, run_id=run_id, files={**files, **(attachments or {})}, tags=all_tags
        )
        _log_model_metrics(client, run_id, model_id, metrics or {})
        version = client.create_model_version(
            store.registered_model,
            source=f"models:/{model_id}",
            run_id=run_id,
            tags=all_tags,
            description=description,
            model_id=model_id,
        )
    return int(version.version)


def find_version(store: Store, *, model_dir: Path) -> int | None:
    """Return the newest registered version with exactly the files of the model folder, or None.

    Args:
        store: the MLflow store.
        model_dir: model folder.
    """
    client = open_client(store)
    digest = model_sha256(model_dir)
    query = f"name = '{store.registered_model}' and tags.{DIGEST_TAG} = '{digest}'"
    with as_server_error(store):
        found = client.search_model_versions(query)
    return max((int(version.version) for version in found), default=None)


def get_version(store: Store, version: int) -> ModelVersion:
    """Return what the registry knows about a version.

    Args:
        store: the MLflow store.
        version: number of the version.

    Raises:
        DataError: there is no such version.
        ServerError: the registry does not answer.
    """
    client = open_client(store)
    found = answer_or_none(store, lambda: client.get_model_version(store.registered_model, str(version)))
    if found is None:
        raise DataError(
            f"{store.registered_model}: the registry has no version {version}; name one that it has"
        )
    return _as_model_version(found)


def tag_version(store: Store, version: int, tags: Mapping[str, str]) -> None:
    """Set tags of a version.

    Args:
        store: the MLflow store.
        version: number of the version.
        tags: name to value.
    """
    client = open_client(store)
    with as_server_error(store):
        for key, value in tags.items():
            client.set_model_version_tag(store.registered_model, str(version), key, value)


def remove_tag(store: Store, version: int, name: str) -> None:
    """Remove a tag of a version that has it.

    Args:
        store: the MLflow store.
        version: number of the version.
        name: of the tag.
    """
    client = open_client(store)
    with as_server_error(store):
        client.delete_model_version_tag(store.registered_model, str(version), name)


def list_versions(store: Store) -> list[ModelVersion]:
    """Return every registered version, the oldest first; none where nothing is registered.

    Raises:
        ServerError: the registry does not answer.
    """
    client = open_client(store)
    aliases: dict[int, list[str]] = {}
    found: list[Any] = []
    with as_server_error(store):
        # Searched versions carry no aliases (MLflow 3).
        for model in client.search_registered_models(f"name = '{store.registered_model}'"):
            for alias, number in model.aliases.items():
                aliases.setdefault(int(number), []).append(alias)
        token: str | None = None
        while True:
            page = client.search_model_versions(f"name = '{store.registered_model}'", page_token=token)
            found += page
            token = page.token
            if not token:
                break
    numbered = {int(version.version): _as_model_version(version) for version in found}
    return [
        replace(version, aliases=tuple(sorted(aliases.get(number, []))))
        for number, version in sorted(numbered.items())
    ]


def write_notes(store: Store, *, model: str, by_version: Mapping[int, str]) -> None:
    """Write the descriptions that MLflow's pages show of the registered model and of versions.

    Args:
        store: the MLflow store.
        model: text of the registered model, Markdown.
        by_version: number of a version to its text.

    Raises:
        ServerError: the registry does not answer.
    """
    client = open_client(store)
    with as_server_error(store):
        client.update_registered_model(store.registered_model, description=model)
        for version, text in by_version.items():
            client.update_model_version(store.registered_model, str(version), description=text)


def get_alias(store: Store, alias: str) -> int | None:
    """Return the version that an alias points to, or None where it points to none.

    Args:
        store: the MLflow store.
        alias: champion, challenger or previous.

    Raises:
        ServerError: the registry does not answer.
    """
    client = open_client(store)
    found = answer_or_none(store, lambda: client.get_model_version_by_alias(store.registered_model, alias))
    return None if found is None else int(found.version)


def set_alias(store: Store, alias: str, version: int | None) -> None:
    """Point an alias to a version; None removes the alias.

    Args:
        store: the MLflow store.
        alias: champion, challenger or previous.
        version: number of the version; None: none.
    """
    client = open_client(store)
    with as_server_error(store):
        if version is None:
            client.delete_registered_model_alias(store.registered_model, alias)
        else:
            client.set_registered_model_alias(store.registered_model, alias, str(version))


def fetch(store: Store, version: int) -> Path:
    """Return a local folder with the version's files; downloaded once, verified by digest, never half there.

    Args:
        store: the MLflow store.
        version: number of the version.

    Raises:
        DataError: there is no such version.
        WeightsError: the files are not those that were registered.
        ServerError: the registry or its file store does not answer.
    """
    known = get_version(store, version)
    digest = known.tags.get(DIGEST_TAG, "")
    folder = version_folder(store.work_dir / "models", version, digest)
    if _holds(folder, digest):
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with in_turn(store.work_dir / "models.lock"):
        if _holds(folder, digest):  # another process has fetched it meanwhile
            return folder
        with replacing_folder(folder) as partial:  # one that is there is damaged
            _download(store, version, partial)
            if model_sha256(partial) != digest:
                raise WeightsError(
                    f"{store.registered_model} version {version}: its files are not those registered "
                    f"(tag {DIGEST_TAG}); register the model again"
                )
    return folder


def _as_model_version(found: Any) -> ModelVersion:
    return ModelVersion(
        number=int(found.version),
        run_id=found.run_id,
        tags=dict(found.tags),
        aliases=tuple(found.aliases),
        created_at=datetime.fromtimestamp(found.creation_timestamp / 1000, UTC),
        description=found.description or "",
    )


def read_attachment(store: Store, version: int, name: str) -> bytes:
    """Return one file of a version, without the others.

    Args:
        store: the MLflow store.
        version: number of the version.
        name: of the file, e.g. metrics.json.

    Raises:
        DataError: there is no such version, or it has no such file.
        ServerError: the registry or its file store does not answer.
    """
    from mlflow.artifacts import download_artifacts, list_artifacts

    get_version(store, version)
    uri = f"models:/{store.registered_model}/{version}"
    with as_server_error(store), tempfile.TemporaryDirectory() as scratch:
        files = list_artifacts(artifact_uri=uri, tracking_uri=store.uri)
        if name not in {Path(each.path).name for each in files}:
            raise DataError(
                f"{store.registered_model} version {version}: has no {name}; it was registered without an "
                "evaluation"
            )
        path = download_artifacts(
            artifact_uri=f"{uri}/{name}", dst_path=scratch, tracking_uri=store.uri, registry_uri=store.uri
        )
        return Path(path).read_bytes()


def read_metrics(store: Store, version: int) -> dict[str, float]:
    """Return the numbers that were logged with a version, by name; none for a version without a model.

    Args:
        store: the MLflow store.
        version: number of the version.

    Raises:
        ServerError: the registry does not answer.
    """
    client = open_client(store)
    found = answer_or_none(store, lambda: client.get_model_version(store.registered_model, str(version)))
    source = "" if found is None else str(found.source)
    if not source.startswith("models:/m-"):
        return {}
    model = answer_or_none(store, lambda: client.get_logged_model(source.removeprefix("models:/")))
    return {metric.key: float(metric.value) for metric in (model.metrics or [])} if model else {}


def _holds(folder: Path, digest: str) -> bool:
    try:
        return model_sha256(folder) == digest
    except WeightsError:
        return False


def _download(store: Store, version: int, target: Path) -> None:
    from mlflow.artifacts import download_artifacts

    with as_server_error(store):
        download_artifacts(
            artifact_uri=f"models:/{store.registered_model}/{version}",
            dst_path=str(target),
            tracking_uri=store.uri,
            registry_uri=store.uri,
        )


def _ensure_registered_model(client: MlflowClient, name: str) -> None:
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name, description=DESCRIPTION)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def _log_model_metrics(
    client: MlflowClient, run_id: str, model_id: str, metrics: Mapping[str, float]
) -> None:
    from mlflow.entities import Metric

    now_ms = int(time.time() * 1000)
    entries = [
        Metric(name, value, now_ms, 0, model_id=model_id, run_id=run_id) for name, value in metrics.items()
    ]
    if entries:
        client.log_batch(run_id, metrics=entries)


def _log_model(
    client: MlflowClient, store: Store, *, run_id: str, files: Mapping[str, Path], tags: dict[str, str]
) -> str:
    from mlflow.entities import LoggedModelOutput

    model: Any = client.create_logged_model(
        ensure_experiment(client, store),
        name="detector",
        source_run_id=run_id,
        tags=tags,
        model_type="onnx",
    )
    try:
        with tempfile.TemporaryDirectory() as scratch:
            model_dir = files[ONNX_FILE].parent
            write_mlmodel(Path(scratch), model_dir, model_id=model.model_id, run_id=run_id)
            for name, path in files.items():
                shutil.copyfile(path, Path(scratch) / name)
            client.log_model_artifacts(model.model_id, scratch)
    except BaseException:
        client.finalize_logged_model(model.model_id, "FAILED")
        raise
    client.finalize_logged_model(model.model_id, "READY")
    client.log_outputs(run_id, [LoggedModelOutput(model.model_id, 0)])
    return str(model.model_id)
