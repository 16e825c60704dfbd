"""Virtual environments made of copies of installed packages: as pip would leave them, without an index."""

from __future__ import annotations

import shutil
import venv
from importlib.metadata import distribution
from pathlib import Path


def make_environment(folder: Path, *, requirements: Path, wheel: Path) -> Path:
    """Make an environment with the packages of a lock file and a wheel, and return its site-packages.

    Args:
        folder: new folder of the environment.
        requirements: lock file; its packages are copied from this environment by their own lists of files.
        wheel: unpacked over them.
    """
    venv.create(folder, with_pip=False)
    site_packages = next(folder.glob("lib/python*/site-packages"))
    names = {line.split("==")[0] for line in requirements.read_text().splitlines() if line[:1].isalnum()}
    for name in names:
        found = distribution(name)
        for file in found.files or []:
            source, target = Path(str(found.locate_file(file))), site_packages / file
            if ".." not in file.parts and source.suffix != ".pyc" and source.is_file():
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(source, target)
    shutil.unpack_archive(wheel, site_packages, "zip")
    return site_packages
