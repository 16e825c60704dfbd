"""Scan the clips of a cross-set with several detectors and print one table.

The folder holds `manifest.csv` with the columns file, label, method, family, person, pair, repo,
source_identity and trust. Each scan is written down at once: a second call goes on where the first was
stopped. With `--re-encode` genuine clips and forgeries go through the same encodings first: a score should
follow the forgery, not the encoding.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import pandas as pd

from deepfakestream.evaluation.cross_set import describe_cross_set, measure_cross_set
from deepfakestream.host.progress import progress_bar
from deepfakestream.scanning.model_options import ModelOptions
from infra.cross_set.held_out import is_held_out
from infra.cross_set.re_encode import CONDITIONS, re_encode

AS_THEY_CAME = "as-they-came"
TRUSTED = frozenset("AB")
"""Clips whose label was checked; others are left out."""


def main() -> None:
    """Parse the options, scan what is missing and print the table."""
    parser = argparse.ArgumentParser(prog="python -m infra.cross_set", description=__doc__)
    parser.add_argument("data", type=Path, help="folder with manifest.csv and the clips")
    parser.add_argument(
        "--detectors", nargs="+", default=["fast", "accurate"], help="fast, accurate or model folders"
    )
    parser.add_argument("--all", action="store_true", help="clips of all sources, those of the training, too")
    parser.add_argument(
        "--re-encode", nargs="+", choices=list(CONDITIONS), default=[], help="encode the clips again first"
    )
    parser.add_argument("--pairs", action="store_true", help="only forgeries and their own originals")
    parser.add_argument("--out", type=Path, default=Path("build/cross-set"), help="folder of the scans")
    arguments = parser.parse_args()
    clips = read_clips(arguments.data, all_sources=arguments.all, only_pairs=arguments.pairs)
    for condition in arguments.re_encode or [AS_THEY_CAME]:
        scored = clips.copy()
        for name in arguments.detectors:
            record = arguments.out / condition / f"{Path(name).name}.jsonl"
            scans = scan_clips(arguments.data, clips["file"].tolist(), name, record, condition=condition)
            for column in ("p_fake", "verdict"):
                found = {file: scan[column] for file, scan in scans.items()}
                scored[f"{column}:{name}"] = clips["file"].map(found)
        scored = scored.dropna(subset=[f"p_fake:{name}" for name in arguments.detectors])
        if len(scored) < len(clips):
            sys.stderr.write(f"{len(clips) - len(scored)} clips have no score and are left out\n")
        print(f"\n{condition}\n")  # noqa: T201
        print(describe_cross_set(measure_cross_set(scored, arguments.detectors)))  # noqa: T201


def read_clips(data: Path, *, all_sources: bool, only_pairs: bool = False) -> pd.DataFrame:
    """Return the manifest's rows of trusted clips.

    Args:
        data: folder with `manifest.csv`.
        all_sources: also clips of sources that a training used.
        only_pairs: only clips of pairs of which both the original and a forgery are there.
    """
    clips = pd.read_csv(data / "manifest.csv", dtype=str, keep_default_na=False)
    clips = clips[clips["trust"].isin(TRUSTED)]
    if not all_sources:
        clips = clips[[is_held_out(row) for row in clips.to_dict("records")]]
    if only_pairs:
        labels = clips[clips["pair"] != ""].groupby("pair")["label"].nunique()
        clips = clips[clips["pair"].isin(labels.index[labels == 2])]
    return clips.reset_index(drop=True)


def scan_clips(
    data: Path, files: list[str], detector: str, record: Path, *, condition: str = AS_THEY_CAME
) -> dict[str, dict[str, object]]:
    """Return score and verdict of each file; what the record has already is not scanned again.

    Args:
        data: folder of the clips.
        files: their paths in it.
        detector: `fast`, `accurate` or a model folder.
        record: file of JSON lines with the scans of this detector and condition.
        condition: how the clips are encoded again first; the copies are kept in `clips` next to the record.
    """
    record.parent.mkdir(parents=True, exist_ok=True)
    known = [json.loads(line) for line in record.read_text("utf-8").splitlines()] if record.is_file() else []
    scans = {scan["file"]: scan for scan in known}
    missing = [file for file in files if file not in scans]
    if not missing:
        return scans
    named = {"fast": ModelOptions(detector="fast"), "accurate": ModelOptions(detector="accurate")}
    options = named.get(detector) or ModelOptions(detector="auto", model_dir=Path(detector))
    _, engine = options.open()
    with record.open("a", encoding="utf-8") as lines:
        for file in progress_bar(missing, description=detector, total=len(missing), unit="clip"):
            clip = data / file
            if condition != AS_THEY_CAME:
                clip = (record.parent / "clips" / file).with_suffix(".mp4")
                re_encode(data / file, condition, clip)
            result = engine.scan(clip)
            scans[file] = {"file": file, "p_fake": result.p_fake, "verdict": result.verdict}
            lines.write(json.dumps(scans[file]) + "\n")
            lines.flush()
    return scans


if __name__ == "__main__":
    main()
