"""Install requirements.lock with pip: pip's own words go to a log, a terminal sees how far it is.

Fetching and unpacking some 330 packages takes minutes, which pip either spends silently or fills with a
thousand lines. Indexes, caches and proxies are pip's own settings.
"""

from __future__ import annotations

import re
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
LOCK = ROOT / "requirements.lock"
LOG = ROOT / "build" / "setup.log"
OPTIONS = (
    "--no-deps",
    "--find-links",
    "build/wheels",
    "--disable-pip-version-check",
    "--progress-bar",
    "off",
)
SEEN = re.compile(r"^(?:Collecting|Processing|Requirement already satisfied)", re.MULTILINE)
NUM_LAST_LINES = 20


def progress(total: int) -> str:
    """Return how far pip is, read from its log while it fetches and from the disk while it unpacks."""
    text = LOG.read_text(encoding="utf-8", errors="replace")
    if "Installing collected packages" not in text:
        return f"fetching {len(SEEN.findall(text))} of {total}"
    site_packages = Path(sysconfig.get_path("purelib"))
    return f"unpacking {min(total, sum(1 for _ in site_packages.glob('*.dist-info')))} of {total}"


def install(total: int) -> int:
    """Run pip, show its progress on a terminal, and return its exit status."""
    command = [sys.executable, "-m", "pip", "install", *OPTIONS, "--requirement", str(LOCK)]
    with LOG.open("w", encoding="utf-8") as log:
        pip = subprocess.Popen(
            command, stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, cwd=ROOT
        )
        while pip.poll() is None:
            if sys.stderr.isatty():
                sys.stderr.write(f"\r  {progress(total):<30}")
                sys.stderr.flush()
            time.sleep(0.5)
    if sys.stderr.isatty():
        sys.stderr.write("\r" + " " * 32 + "\r")
    return pip.returncode


def main() -> None:
    """Install, or end with pip's last words and the way to the rest."""
    LOG.parent.mkdir(parents=True, exist_ok=True)
    status = install(total=len(LOCK.read_text(encoding="utf-8").splitlines()))
    if status:
        last = LOG.read_text(encoding="utf-8", errors="replace").splitlines()[-NUM_LAST_LINES:]
        sys.stderr.write(
            "\n".join(last) + f"\n{LOG}: has the whole log; 'make setup' goes on where it stopped\n"
        )
    sys.exit(status)


if __name__ == "__main__":
    main()
