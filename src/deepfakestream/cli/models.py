"""The commands under `deepfakestream models`: what is registered, who was champion, how versions compare."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from deepfakestream.cli.extras import needs
from deepfakestream.cli.output import HELP_FLAGS, say
from deepfakestream.settings import load_settings

VersionNumber = Annotated[int, typer.Argument(min=0, help="number of a registered version")]
AsJson = Annotated[bool, typer.Option("--json", help="print one JSON object")]

models_app = typer.Typer(
    name="models",
    help="Look at the registered versions, at the history of champions, and compare two versions.",
    no_args_is_help=True,
    context_settings=HELP_FLAGS,
)


@models_app.command("list")
@needs("pipeline")
def list_models(as_json: AsJson = False) -> None:
    """Print every registered version with its role, its metrics and the promotion gate's last decision."""
    from deepfakestream.pipeline import model_versions

    found = model_versions.list_versions(load_settings())
    typer.echo(found.model_dump_json(indent=2)) if as_json else say(found.describe())


@models_app.command()
@needs("pipeline")
def show(version: VersionNumber, as_json: AsJson = False) -> None:
    """Print one version: metrics, tags, and every decision and rollback that concerned it."""
    from deepfakestream.pipeline import model_versions

    found = model_versions.show(load_settings(), version)
    typer.echo(found.model_dump_json(indent=2)) if as_json else say(found.describe())


@models_app.command(epilog="Example: deepfakestream models history --plot history.png")
@needs("pipeline")
def history(
    plot: Annotated[Path | None, typer.Option(help="PNG to draw the metrics of all versions into")] = None,
    as_json: AsJson = False,
) -> None:
    """Print who was champion when, who changed it and why."""
    from deepfakestream.pipeline import model_versions

    settings = load_settings()
    found = model_versions.history(settings)
    typer.echo(found.model_dump_json(indent=2)) if as_json else say(found.describe())
    if plot is not None:
        model_versions.write_plot(settings, plot)
        typer.echo(f"picture: {plot}", err=as_json)


@models_app.command(epilog="Example: deepfakestream models compare 3 4")
@needs("pipeline")
def compare(first: VersionNumber, second: VersionNumber, as_json: AsJson = False) -> None:
    """Print metrics and slices of two versions side by side."""
    from deepfakestream.pipeline import model_versions

    found = model_versions.compare(load_settings(), first, second)
    typer.echo(found.model_dump_json(indent=2)) if as_json else say(found.describe())
