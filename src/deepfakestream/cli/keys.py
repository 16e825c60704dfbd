"""The commands under `deepfakestream keys`: make, list and revoke the service's API keys."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from deepfakestream.cli.extras import needs
from deepfakestream.cli.output import HELP_FLAGS, say
from deepfakestream.host.text_table import text_table
from deepfakestream.settings import load_settings

if TYPE_CHECKING:
    from deepfakestream.access.keys import ApiKey, KeyStore

keys_app = typer.Typer(
    name="keys",
    help="Make, list and revoke the API keys of the service.",
    no_args_is_help=True,
    context_settings=HELP_FLAGS,
)


@keys_app.command(epilog="Example: deepfakestream keys create newsroom --video-minutes-per-day 600")
@needs("serve")
def create(
    name: Annotated[str, typer.Argument(help="who uses it; also owns all that is done with it")],
    scope: Annotated[
        list[str] | None,
        typer.Option(
            help="scan, read, feedback, metrics or admin; repeat for more; default: the first three"
        ),
    ] = None,
    requests_per_minute: Annotated[int, typer.Option(min=1, help="rate")] = 120,
    images_per_day: Annotated[int | None, typer.Option(min=0, help="quota; default: none")] = None,
    video_minutes_per_day: Annotated[int | None, typer.Option(min=0, help="quota; default: none")] = None,
    expires_in_days: Annotated[
        float | None, typer.Option(min=0.0, help="default: it does not expire")
    ] = None,
) -> None:
    """Make a key and print it; it is stored as a digest only and cannot be shown again."""
    from deepfakestream.access.keys import DEFAULT_SCOPES
    from deepfakestream.jobs.tables import open_job_store
    from deepfakestream.jobs.webhooks import webhook_secret

    with _keys() as keys:
        secret, key = keys.create(
            name,
            scopes=scope or DEFAULT_SCOPES,
            requests_per_minute=requests_per_minute,
            images_per_day=images_per_day,
            video_minutes_per_day=video_minutes_per_day,
            expires_in_days=expires_in_days,
        )
    database = open_job_store(load_settings().job_database_url)
    try:
        signing = webhook_secret(database, key.name)
    finally:
        database.close()
    _audit("created", key)
    say(f"key {key.name} ({key.id}): {secret}\nits webhooks are signed with: {signing}")


@keys_app.command("list")
@needs("serve")
def list_keys() -> None:
    """Print every key that was ever made, without its secret."""
    with _keys() as keys:
        found = keys.all()
    headings = (
        "name",
        "id",
        "state",
        "scopes",
        "a minute",
        "images a day",
        "video min a day",
        "created",
        "expires",
    )
    say("\n".join(text_table(headings, [_row(key) for key in found])) if found else "there are no keys")


@keys_app.command()
@needs("serve")
def revoke(name: Annotated[str, typer.Argument(help="name of the key")]) -> None:
    """Let a key open nothing any more; running services notice within seconds."""
    with _keys() as keys:
        key = keys.revoke(name)
    _audit("revoked", key)
    say(f"key {key.name} ({key.id}) is revoked")


@keys_app.command("webhook-secret")
@needs("serve")
def webhook_secret_of(
    name: Annotated[str, typer.Argument(help="name of the key; local: of a service without keys")] = "local",
) -> None:
    """Print the secret that the webhooks of a key are signed with."""
    from deepfakestream.jobs.tables import open_job_store
    from deepfakestream.jobs.webhooks import webhook_secret

    database = open_job_store(load_settings().job_database_url)
    try:
        say(webhook_secret(database, name))
    finally:
        database.close()


def _audit(done: str, key: ApiKey) -> None:
    from deepfakestream.monitoring.audit import append_audit

    facts = {"done": done, "name": key.name, "id": key.id, "scopes": list(key.scopes)}
    append_audit(load_settings().audit_file, "key", facts)


@contextmanager
def _keys() -> Iterator[KeyStore]:
    from deepfakestream.access.keys import KeyStore

    keys = KeyStore(load_settings().job_database_url)
    try:
        yield keys
    finally:
        keys.close()


def _row(key: ApiKey) -> tuple[object, ...]:
    state = "revoked" if key.revoked_at else "active" if key.is_active(time.time()) else "expired"
    return (
        key.name,
        key.id,
        state,
        " ".join(key.scopes),
        key.requests_per_minute,
        key.images_per_day,
        key.video_minutes_per_day,
        _day(key.created_at),
        _day(key.expires_at),
    )


def _day(seconds: float | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d")
