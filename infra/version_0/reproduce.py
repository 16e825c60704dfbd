"""Train version 0 again from face crops and portraits, in a workspace of its own; a second call goes on.

`python infra/version_0/reproduce.py FOLDER DATA`, where DATA holds `dfdc-faces/` (shards with their manifest)
and `portraits/` (tar files of real portraits). The model ends in `FOLDER/artifacts/train`, its figures on
validation in `FOLDER/work/evaluate-val`.
"""

from __future__ import annotations

import subprocess
import sys
import tarfile
from pathlib import Path

import yaml

CHANGES = Path(__file__).with_name("train.yaml")
LICENCES = {
    "dfdc-faces": "Deepfake Detection Challenge, research terms",
    "portraits": "FFHQ CC BY-NC-SA 4.0; LFW academic use",
}


def main(workspace: Path, data: Path) -> None:
    """Run every step from an empty folder to figures on validation.

    Raises:
        SystemExit: a step failed; it has said why.
    """
    if not (workspace / "params.yaml").exists():
        _run("init", str(workspace))
    _set_params(workspace / "params.yaml")
    portraits = workspace / "work" / "portraits"
    _unpack(data / "portraits", portraits / "real")
    for name, source in (("dfdc-faces", data / "dfdc-faces"), ("portraits", portraits)):
        _run("ingest", str(source.resolve()), "--licence", LICENCES[name], workspace=workspace)
    for step in (["extract"], ["validate"], ["train"], ["evaluate", "--split", "val"]):
        _run(*step, workspace=workspace)


def _set_params(path: Path) -> None:
    params = yaml.safe_load(path.read_text(encoding="utf-8"))
    for group, values in yaml.safe_load(CHANGES.read_text(encoding="utf-8")).items():
        params["train"][group] |= values
    path.write_text(yaml.safe_dump(params, sort_keys=False), encoding="utf-8")


def _unpack(archives: Path, folder: Path) -> None:
    found = sorted(archives.glob("*.tar"))
    if not found:
        sys.exit(f"{archives}: holds no tar file of portraits; name the folder that holds portraits/*.tar")
    folder.mkdir(parents=True, exist_ok=True)
    for path in found:
        with tarfile.open(path) as archive:
            archive.extractall(folder, filter="data")


def _run(*arguments: str, workspace: Path | None = None) -> None:
    program = Path(sys.executable).with_name("deepfakestream")
    status = subprocess.run([program, *arguments], cwd=workspace).returncode
    if status != 0:
        sys.exit(f"'deepfakestream {' '.join(arguments)}' ended with status {status}")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]))
