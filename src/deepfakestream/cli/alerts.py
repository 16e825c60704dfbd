"""The commands under `deepfakestream alerts`: try the channels, and see what was raised."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from deepfakestream.cli.extras import needs
from deepfakestream.cli.output import HELP_FLAGS, say
from deepfakestream.errors import ParamsError
from deepfakestream.host.text_table import text_table
from deepfakestream.settings import load_settings

alerts_app = typer.Typer(
    name="alerts",
    help="Try the channels of alerts, and see what was raised.",
    no_args_is_help=True,
    context_settings=HELP_FLAGS,
)


@alerts_app.command()
@needs("pipeline")
def test() -> None:
    """Send a test message to every channel of DEEPFAKESTREAM_ALERT_URLS. Exit 1 if one did not take it."""
    from deepfakestream.monitoring.alert_channels import Channel
    from deepfakestream.monitoring.alerts import make_alert

    settings = load_settings()
    addresses = dict.fromkeys(settings.alert_addresses)
    if not addresses:
        raise ParamsError("DEEPFAKESTREAM_ALERT_URLS: not set; name at least one address, e.g. of a webhook")
    place = settings.workspace.resolve()
    alert = make_alert("alerts.test", f"test of the alerts of workspace {place.name}", now=datetime.now(UTC))
    channels = [Channel(number, address) for number, address in enumerate(addresses, 1)]
    failures = 0
    for channel in channels:
        reason = channel.send(alert)
        failures += bool(reason)
        say(f"{channel.name}: {f'did not take it: {reason}' if reason else 'took it'}")
    raise typer.Exit(1 if failures else 0)


@alerts_app.command("list")
@needs("pipeline")
def list_alerts(
    count: Annotated[int, typer.Option(min=1, help="how many alerts, the newest first")] = 20,
) -> None:
    """Print the conditions that go on, the newest alerts, and how many messages wait for their channel."""
    from deepfakestream.monitoring.alert_book import AlertBook

    settings = load_settings()
    book = AlertBook(settings.alerts_db, directory=settings.alerts_dir)
    lines = [
        f"goes on since {began:%Y-%m-%d %H:%M} UTC: {name}" for name, began in book.open_conditions().items()
    ]
    rows = [
        [f"{alert.raised_at:%Y-%m-%d %H:%M}", alert.severity, alert.kind, alert.state, alert.summary]
        for alert in book.newest(count)
    ]
    lines += (
        text_table(["UTC", "severity", "kind", "state", "what"], rows) if rows else ["no alert was raised"]
    )
    if waiting := book.num_waiting():
        lines.append(f"{waiting} messages wait for their channel; the log says why")
    say("\n".join(lines))
