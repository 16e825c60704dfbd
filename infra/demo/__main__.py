"""Command line of the demo: `python -m infra.demo`, or `python -m infra.demo --sample-only FOLDER`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from deepfakestream.errors import DeepfakeStreamError
from deepfakestream.host.signals import interrupted_by_signals
from deepfakestream.host.terminal import terminal_safe
from infra.demo import sample, walkthrough


def main() -> None:
    """Run the demo, or make its sample only; a known error is one sentence and exit status 1."""
    parser = argparse.ArgumentParser(prog="demo", description=main.__doc__)
    parser.add_argument("--directory", type=Path, default=Path("demo"), help="workspace of the demo")
    parser.add_argument("--sample-only", type=Path, metavar="FOLDER", help="make the labelled sample here")
    arguments = parser.parse_args()
    interrupted_by_signals()
    try:
        if arguments.sample_only:
            made = sample.build(arguments.sample_only)
            sys.stdout.write(f"{made.num_labelled} files; next: deepfakestream ingest {made.directory}\n")
        else:
            walkthrough.run(arguments.directory)
    except DeepfakeStreamError as error:
        sys.exit(terminal_safe(f"demo: {error}"))


main()
