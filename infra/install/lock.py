"""Resolve pyproject.toml to exact versions with hashes: for development, and for each use of the package.

pip resolves in a dry run, as if nothing were installed, so the locks depend on the declared ranges and on
today's releases, not on what happens to be in an environment. What a use needs is then read from the metadata
of what was resolved, so the uses share their versions. Run by `make lock`. The hashes are those of the wheels
for CPython 3.11 on Linux with x86-64. `pip check` cannot tell whether the result works: run the tests.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
DEVELOPMENT = "requirements.lock"
BUILD_BACKEND = "setuptools>=77"
"""The project is built without isolation, so it has to be in the locks."""
OLD_PATCH_RELEASES = "async-timeout"
"""redis asks for it on Python 3.11.0 to 3.11.2 only; the patch release that locks must not decide for all."""
USES = {
    DEVELOPMENT: ("dev",),
    "infra/locks/scan.lock": (),
    "infra/locks/service.lock": ("serve",),
    "infra/locks/service-torch.lock": ("serve", "explain"),
    "infra/locks/pipeline.lock": ("pipeline", "train"),
}
"""Lock file to the extras that are installed from it."""
PATCH_RELEASES = ("3.11.0", "3.11.99")
"""A lock serves every 3.11, whatever patch release it was made on."""


def resolve(*requirements: str) -> list[dict[str, Any]]:
    """Return what pip would install into an empty environment: one entry a package, as in its report."""
    with tempfile.TemporaryDirectory() as scratch:
        report = Path(scratch) / "report.json"
        command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--quiet"]
        command += ["--find-links", "build/wheels", "--report", str(report), *requirements]
        subprocess.run(command, check=True, cwd=ROOT)
        content: dict[str, Any] = json.loads(report.read_text(encoding="utf-8"))
        installed: list[dict[str, Any]] = content["install"]
        return installed


def needed(requirements: Iterable[Requirement], metadata: dict[str, dict[str, Any]]) -> set[str]:
    """Return the names of all packages that the requirements need, by the metadata of what was resolved.

    Args:
        requirements: what is asked for.
        metadata: of each resolved package, by its canonical name.
    """
    seen: set[tuple[str, str]] = set()
    waiting = [(canonicalize_name(one.name), extra) for one in requirements for extra in ("", *one.extras)]
    while waiting:
        name, extra = waiting.pop()
        if (name, extra) in seen:
            continue
        seen.add((name, extra))
        for line in metadata[name].get("requires_dist", ()):
            one = Requirement(line)
            if one.marker is None or any(
                one.marker.evaluate({"extra": extra, "python_full_version": patch})
                for patch in PATCH_RELEASES
            ):
                waiting += [(canonicalize_name(one.name), more) for more in ("", *one.extras)]
    return {name for name, _ in seen}


def lines(entries: Iterable[dict[str, Any]]) -> list[str]:
    """Return a line for each package: its version, and the SHA-256 of its file."""
    return sorted(
        (
            f"{entry['metadata']['name']}=={entry['metadata']['version']} "
            f"--hash=sha256:{entry['download_info']['archive_info']['hashes']['sha256']}\n"
            for entry in entries
        ),
        key=str.lower,
    )


def main() -> None:
    """Write the locks that changed, so that an unchanged one does not set everything up again."""
    entries = resolve(".[dev]", BUILD_BACKEND, OLD_PATCH_RELEASES)
    by_name = {canonicalize_name(entry["metadata"]["name"]): entry for entry in entries}
    metadata = {name: entry["metadata"] for name, entry in by_name.items()}
    (project,) = [name for name, entry in by_name.items() if "dir_info" in entry["download_info"]]
    for file, extras in USES.items():
        asked = [Requirement(f"{project}[{','.join(extras)}]"), Requirement(BUILD_BACKEND)]
        names = needed(asked, metadata) - {project}
        text = "".join(lines(by_name[name] for name in names))
        path = ROOT / file
        unchanged = path.exists() and path.read_text(encoding="utf-8") == text
        if not unchanged:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
        sys.stdout.write(f"{file}: {len(names)} packages, {'unchanged' if unchanged else 'renewed'}\n")
    sys.stdout.write("run the tests before they land\n")


if __name__ == "__main__":
    main()
