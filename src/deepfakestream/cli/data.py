"""The commands under `deepfakestream data`: the dataset, its quarantine, versions and removal."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from deepfakestream.cli.extras import needs
from deepfakestream.cli.output import HELP_FLAGS, say
from deepfakestream.errors import Reason
from deepfakestream.host.counted import counted
from deepfakestream.host.terminal import terminal_safe
from deepfakestream.params import load_params
from deepfakestream.settings import load_settings

_REASON_HELP = "entries with this reason code, e.g. no_face"
EntryReason = Annotated[Reason | None, typer.Option(metavar="CODE", help=_REASON_HELP)]
EntrySource = Annotated[str | None, typer.Option(help="entries of this source")]
EntryName = Annotated[str | None, typer.Option(help="the entry with this name in its source")]
WithoutAsking = Annotated[bool, typer.Option("--yes", help="do not ask")]

data_app = typer.Typer(
    name="data",
    help="Look at the dataset and its quarantine, and take items out of both.",
    no_args_is_help=True,
    context_settings=HELP_FLAGS,
)
quarantine_app = typer.Typer(
    name="quarantine",
    help="Look at what was refused, have it tried again, or drop it.",
    no_args_is_help=True,
    context_settings=HELP_FLAGS,
)
data_app.add_typer(quarantine_app)


@data_app.command()
@needs("pipeline")
def stats(
    plots: Annotated[Path | None, typer.Option(help="folder to write pictures into")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print one JSON object")] = False,
) -> None:
    """Print what is in the dataset: items by source, label, method, split, sizes, codecs, licences, faces."""
    from deepfakestream.data.card.report import describe
    from deepfakestream.pipeline import data_stats

    settings = load_settings()
    found = data_stats.statistics(settings)
    typer.echo(json.dumps(found.as_json(), indent=2) if as_json else terminal_safe(describe(found)))
    if plots is not None:
        for path in data_stats.write_plots(plots, settings=settings):
            typer.echo(f"picture: {path}", err=as_json)


@data_app.command()
@needs("pipeline")
def card(
    directory: Annotated[
        Path | None, typer.Option(help="folder for the page and its pictures; default: work/data-card")
    ] = None,
    to_stdout: Annotated[
        bool, typer.Option("--print", help="print what the manifest alone tells, write nothing")
    ] = False,
) -> None:
    """Write the data card: one Markdown page with pictures about sources, contents, limits and the gate."""
    from deepfakestream.pipeline import data_stats

    settings = load_settings()
    if to_stdout:
        typer.echo(data_stats.card_text(settings), nl=False)
        return
    page = data_stats.card(directory or settings.work_dir / "data-card", settings=settings)
    say(f"data card: {page}")


@data_app.command()
@needs("pipeline")
def from_feedback(
    media: Annotated[
        Path | None, typer.Option(help="folder with files that were sent to the service, under any names")
    ] = None,
    licence: Annotated[str, typer.Option(help="licence note kept with every item")] = "not stated",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="show what would be ingested")] = False,
    yes: WithoutAsking = False,
) -> None:
    """Show the files whose true label people gave to the service, ask, and ingest them as source 'feedback'.

    The service keeps images and videos only for a while. Files are found by their sha256, among the media
    that it still keeps and in the folder of --media.
    """
    from deepfakestream.pipeline import from_feedback as step

    settings = load_settings()
    params = load_params(settings.params_file)
    found = step.plan(settings, media)
    say(found.describe())
    if dry_run or not found.files:
        return
    if not yes:
        typer.confirm(f"Ingest {counted(len(found.files), 'file')} with these labels?", abort=True)
    say(step.run(found, params=params.ingest, settings=settings, licence=licence).describe())


@data_app.command()
@needs("pipeline")
def forget(
    items: Annotated[
        list[str] | None,
        typer.Argument(help="source/name or first digits of a sha256; none: finish what was begun"),
    ] = None,
    reason: Annotated[str, typer.Option(help="why; kept in the tombstone")] = "on request",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="say what would be removed, change nothing")
    ] = False,
    yes: WithoutAsking = False,
) -> None:
    """Remove items for good: from the dataset, the face store, the quarantine, DVC's cache and its remotes.

    A tombstone stays (digest, time, reason), so that the same bytes are refused. Every tombstone is enforced,
    also those that came with a pull or that a killed run left.
    """
    from deepfakestream.pipeline import forget as step

    settings = load_settings()
    meant = step.plan(items or [], settings=settings)
    if text := meant.describe():
        say(text)
    media_ids = list(meant.items["media_id"])
    if dry_run:
        say(step.preview(media_ids, settings=settings).describe())
        return
    if media_ids and not yes:
        typer.confirm(f"Forget {counted(len(media_ids), 'item')}? Nothing brings them back", abort=True)
    say(step.run(media_ids, reason=reason, settings=settings).describe())


@data_app.command()
@needs("pipeline")
def push() -> None:
    """Copy the recorded version of data/ and the outputs of stages to the remote; may be repeated."""
    from deepfakestream.pipeline import transfer

    say(transfer.push(load_settings()).describe())


@data_app.command()
@needs("pipeline")
def pull() -> None:
    """Fetch the recorded version of data/ and the outputs of stages from the remote, e.g. in a clone."""
    from deepfakestream.pipeline import transfer

    say(transfer.pull(load_settings()).describe())


@quarantine_app.command("list")
@needs("pipeline")
def list_quarantine(
    reason: Annotated[Reason | None, typer.Option(metavar="CODE", help=_REASON_HELP)] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print one JSON object a line")] = False,
) -> None:
    """Print every refused item with its reason, when it was first and last seen, and what to do."""
    from deepfakestream.data.quarantine import Quarantine, describe_entries

    entries = Quarantine(load_settings().quarantine_db).list(reason=reason)
    if as_json:
        for entry in entries:
            typer.echo(json.dumps(asdict(entry)))
        return
    say(describe_entries(entries))


@quarantine_app.command()
@needs("pipeline")
def requeue(
    reason: EntryReason = None,
    source: EntrySource = None,
    name: EntryName = None,
) -> None:
    """Try refused items again: examine them in their source now, or look for faces at the next extraction."""
    from deepfakestream.pipeline import requeue as step

    _require_choice(reason, source, name)
    settings = load_settings()
    params = load_params(settings.params_file)
    report = step.run(params=params.ingest, settings=settings, reason=reason, source=source, name=name)
    say(report.describe())


@quarantine_app.command()
@needs("pipeline")
def drop(
    reason: EntryReason = None,
    source: EntrySource = None,
    name: EntryName = None,
    yes: WithoutAsking = False,
) -> None:
    """Drop entries, e.g. of files that are gone; those about items of the dataset stay."""
    from deepfakestream.pipeline import drop as step

    _require_choice(reason, source, name)
    settings = load_settings()
    meant = step.plan(settings=settings, reason=reason, source=source, name=name)
    say(meant.describe())
    if not meant.entries:
        return
    if not yes:
        typer.confirm(f"Drop {counted(len(meant.entries), 'entry')}?", abort=True)
    say(step.run(meant.entries, settings=settings))


def _require_choice(reason: Reason | None, source: str | None, name: str | None) -> None:
    if reason is None and source is None and name is None:
        raise typer.BadParameter("say which entries: --reason, --source or --name")
