"""The commands under `deepfakestream audit`: who did what, and whether the record was tampered with."""

from __future__ import annotations

from typing import Annotated

import typer

from deepfakestream.cli.extras import needs
from deepfakestream.cli.output import HELP_FLAGS, say
from deepfakestream.settings import load_settings

audit_app = typer.Typer(
    name="audit",
    help="Read the record of actions, and check that nobody changed it.",
    no_args_is_help=True,
    context_settings=HELP_FLAGS,
)


@audit_app.command()
@needs("serve")
def verify(
    contains: Annotated[
        str | None, typer.Option(help="a digest that was printed before; it must still be in the record")
    ] = None,
) -> None:
    """Check the chain and compare it with the anchors in MLflow. Exit 1 if something was changed.

    The last digest is printed; keep it elsewhere. If the registry does not answer, this is printed and is no
    failure.
    """
    from deepfakestream.pipeline import audit_anchors

    say(audit_anchors.verify(load_settings(), contains=contains).describe())


@audit_app.command("list")
@needs("serve")
def list_audit(
    action: Annotated[str | None, typer.Option(help="only this action, e.g. promote")] = None,
) -> None:
    """Print who did what and when, the oldest first."""
    from deepfakestream.monitoring.audit import read_audit

    entries = [one for one in read_audit(load_settings().audit_file) if action in (None, one.action)]
    wanted = f" of the action '{action}'" if action else ""
    say("\n".join(one.describe() for one in entries) or f"the record has no entry{wanted}")
