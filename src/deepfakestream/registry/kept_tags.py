"""A tag wherever the registry has it: on versions of the detector and on runs."""

from __future__ import annotations

from deepfakestream.registry.store import Store, as_server_error, open_client
from deepfakestream.registry.versions import list_versions


def read_tag(store: Store, name: str) -> dict[str, str]:
    """Return the values of a tag by what has it: `version 3`, `run 0f3a…`.

    Args:
        store: the MLflow store.
        name: of the tag.

    Raises:
        ServerError: the registry does not answer.
    """
    found = {f"version {one.number}": one.tags[name] for one in list_versions(store) if name in one.tags}
    client = open_client(store)
    token: str | None = None
    with as_server_error(store):
        experiment = client.get_experiment_by_name(store.experiment)
        if experiment is None:
            return found
        while True:
            page = client.search_runs([experiment.experiment_id], f"tags.{name} != ''", page_token=token)
            found |= {f"run {run.info.run_id}": run.data.tags[name] for run in page}
            token = page.token
            if not token:
                return found
