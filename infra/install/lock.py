"""Resolve pyproject.toml to exact versions and write them to requirements.lock.

pip resolves in a dry run, as if nothing were installed, so the lock depends on the declared ranges and on
today's releases, not on what happens to be in an environment. Run by `make lock`. `pip check` cannot tell
whether the result works: run the tests.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
LOCK = ROOT / "requirements.lock"
# The project is built without isolation, so its build backend has to be in the lock. redis asks for
# async-timeout on Python 3.11.0 to 3.11.2 only; the patch release that locks must not decide for all.
REQUIREMENTS = (".[dev,ray]", "setuptools>=77", "async-timeout")


def resolve() -> dict[str, Any]:
    """Return pip's report of what it would install into an empty environment."""
    with tempfile.TemporaryDirectory() as scratch:
        report = Path(scratch) / "report.json"
        options = ["--dry-run", "--ignore-installed", "--quiet", "--find-links", "build/wheels"]
        command = [sys.executable, "-m", "pip", "install", *options, "--report", str(report), *REQUIREMENTS]
        subprocess.run(command, check=True, cwd=ROOT)
        content: dict[str, Any] = json.loads(report.read_text(encoding="utf-8"))
        return content


def pins(report: dict[str, Any]) -> list[str]:
    """Return one `name==version` line for every package but our own, sorted."""
    found = [entry["metadata"] for entry in report["install"]]
    lines = [f"{one['name']}=={one['version']}\n" for one in found if one["name"] != "deepfakestream"]
    return sorted(lines, key=str.lower)


def main() -> None:
    """Write the lock where it changed, so that an unchanged one does not set everything up again."""
    text = "".join(pins(resolve()))
    unchanged = LOCK.exists() and LOCK.read_text(encoding="utf-8") == text
    if not unchanged:
        LOCK.write_text(text, encoding="utf-8")
    sys.stdout.write(
        f"{LOCK.name}: {'unchanged' if unchanged else 'renewed'}; run the tests before it lands\n"
    )


if __name__ == "__main__":
    main()
