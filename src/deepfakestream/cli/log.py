"""The commands under `deepfakestream log`: what the service answered."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from deepfakestream.cli.extras import needs
from deepfakestream.cli.output import HELP_FLAGS, say
from deepfakestream.errors import DataError, ParamsError
from deepfakestream.settings import load_settings

log_app = typer.Typer(
    name="log",
    help="Take predictions out of the log.",
    no_args_is_help=True,
    context_settings=HELP_FLAGS,
)


@log_app.callback()
def group() -> None:
    """Take predictions out of the log."""


@log_app.command(
    epilog="Example: deepfakestream log export --since 2026-11-01 --until 2026-12-01 november.parquet"
)
@needs("serve")
def export(
    path: Annotated[Path, typer.Argument(help="Parquet file to write; it must not exist")],
    since: Annotated[
        str | None, typer.Option(help="first day or moment, UTC unless it says; default: all")
    ] = None,
    until: Annotated[
        str | None, typer.Option(help="day or moment after the last, UTC unless it says; default: now")
    ] = None,
) -> None:
    """Write the predictions of a time to a Parquet file: verdicts, scores, model, numbers of the drift check.

    Any number of them: memory holds a part at a time.
    """
    from deepfakestream.monitoring.prediction_export import export as export_log
    from deepfakestream.monitoring.prediction_log import PredictionLog

    begin, end = _moment("--since", since), _moment("--until", until)
    settings = load_settings()
    if not settings.has_prediction_log:
        raise DataError(
            f"{settings.prediction_log_db}: missing, so nothing was predicted here; run the command in the "
            "service's workspace, or set DEEPFAKESTREAM_PREDICTION_LOG_URL"
        )
    with PredictionLog(settings.prediction_database_url) as log:
        say(export_log(log, path, since=begin, until=end or datetime.now(UTC)).describe())


def _moment(option: str, text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise ParamsError(
            f"{option}: '{text}' is no date; write one as 2026-11-30 or 2026-11-30T18:00+01:00"
        ) from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
