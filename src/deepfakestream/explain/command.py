"""`deepfakestream explain`: pictures and numbers that say what the scores of a file's faces rest on."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, zip_longest
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from deepfakestream.errors import DataError, MediaError, Reason
from deepfakestream.explain.face import Explainer, FaceExplanation
from deepfakestream.explain.figure import draw, overlay
from deepfakestream.explain.record import face_record, page
from deepfakestream.faces.extraction import extract_faces
from deepfakestream.faces.types import ExtractedFaces
from deepfakestream.forge.mesh import FaceMesh
from deepfakestream.host.file_names import utf8_name
from deepfakestream.host.progress import progress_bar
from deepfakestream.host.terminal import one_line
from deepfakestream.media.types import MediaBudget
from deepfakestream.model.aggregation import MediaScore, aggregate
from deepfakestream.model.files import load_network
from deepfakestream.model.fused import FusedScorer, load_tower_network
from deepfakestream.scanning.assembly import reasons_of_scored
from deepfakestream.scanning.engine import ScanEngine, verdict_of
from deepfakestream.scanning.model_options import ModelOptions
from deepfakestream.scanning.wording import VERDICT_WORDS, describe_point, reason_words

JSON_FILE = "explanation.json"
PAGE_FILE = "index.html"
_PICTURE_NAME = re.compile(r"face-[0-9]{2,}\.png")


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What a run wrote: a picture a face, the numbers, and a page with both."""

    directory: Path
    record: dict[str, Any]
    """The content of `explanation.json`."""

    def describe(self) -> str:
        """Return the report that the command prints."""
        record, directory = self.record, self.directory
        file, verdict = one_line(record["file"]), VERDICT_WORDS[record["verdict"]].upper()
        lines = [f"{file}: {verdict}, p_fake {record['p_fake']:.3f}"]
        lines += [f"  note      {reason_words(reason)}" for reason in record["reasons"]]
        for face in record["faces"]:
            lines.append(f"  face      {directory / face['picture']}: p_fake {face['p_fake']:.3f}")
            lines += [f"  warning   {text}" for each in face["maps"] for text in each["warnings"]]
        return "\n".join(
            [*lines, f"  numbers   {directory / JSON_FILE}", f"  page      {directory / PAGE_FILE}"]
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What to draw of a file."""

    num_faces: int
    """Faces at most; every person's highest comes before anybody's second."""
    compare: bool = False
    """Whether to add the maps of KernelSHAP and LIME."""
    face: tuple[int, int] | None = None
    """Frame and track of the one face to draw; None draws the most suspicious."""
    overlays: bool = False
    """Whether to write each map over the face as a picture of its own, too."""


def explain_file(
    path: Path, options: ModelOptions, *, out_dir: Path | None, num_faces: int, compare: bool
) -> Written:
    """Explain the most suspicious faces of a picture or video: a PNG a face, their numbers, a page.

    Args:
        path: the media file.
        options: the model and how it runs.
        out_dir: folder to write to, made where it is missing; None takes `<name>-explained` where one is.
        num_faces: faces to explain at most; every person's highest comes before anybody's second.
        compare: add the maps of KernelSHAP and LIME.

    Raises:
        MediaError: the file cannot be read, or there is no face in it.
        ParamsError: the operating point is unknown, or the model folder is missing.
        WeightsError: the model folder is incomplete or damaged.
        DataError: nothing can be written to `out_dir`.
    """
    model_dir, engine = options.open()
    scorer = engine.scorer
    faces = extract_faces(
        path, engine.detector, scorer.spec.extraction, MediaBudget(), wide_scale=scorer.wide_scale
    )
    if not faces.crops:
        why = "; ".join(reason_words(reason) for reason in faces.notes)
        raise MediaError(Reason.NO_FACE, f"{path}: there is no face to explain ({why}); name another file")
    directory = out_dir or Path(f"{path.stem}-explained")
    with _writing_to(directory):
        directory.mkdir(parents=True, exist_ok=True)
        TemporaryFile(dir=directory).close()  # explaining takes minutes: a folder that refuses says so now
    wanted = Wanted(num_faces=num_faces, compare=compare)
    score, records = draw_faces(faces, engine, model_dir, directory, wanted)
    record = {**_file_record(path, faces, score, engine), "faces": records}
    with _writing_to(directory):
        for left_over in _earlier_pictures(directory) - {directory / each["picture"] for each in records}:
            left_over.unlink(missing_ok=True)
        (directory / JSON_FILE).write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", "utf-8")
        (directory / PAGE_FILE).write_text(page(record), "utf-8")
    return Written(directory=directory, record=record)


def draw_faces(
    faces: ExtractedFaces,
    engine: ScanEngine,
    model_dir: Path,
    directory: Path,
    wanted: Wanted,
) -> tuple[MediaScore, list[dict[str, Any]]]:
    """Draw faces of a file as PNGs into a folder.

    Args:
        faces: at least one face, with wide crops where the scorer needs them.
        engine: the model that scores them.
        model_dir: folder of that model.
        directory: an existing folder.
        wanted: which faces, and what of them.

    Returns:
        The score of the file, and a record for each face. `picture` names its file, and in each map the
        overlay, where those are wanted. There is no record where the one wanted face was not found.

    Raises:
        DataError: nothing can be written to the folder.
    """
    network, _ = load_network(model_dir)
    scorer = engine.scorer
    tower = load_tower_network(model_dir, scorer.tower_file) if isinstance(scorer, FusedScorer) else None
    explainer = Explainer(network=network, scorer=scorer, mesh=FaceMesh(), tower=tower)
    logits = scorer.face_scores(faces.crops).logits
    tracks = np.array([crop.track_id for crop in faces.crops])
    score = aggregate(logits, tracks, scorer.spec)
    records = []
    chosen = most_suspicious(logits, tracks, score, wanted.num_faces)
    if wanted.face is not None:
        keys = [(crop.frame_index, crop.track_id) for crop in faces.crops]
        chosen = [index for index, key in enumerate(keys) if key == wanted.face]
    for number, index in enumerate(progress_bar(chosen, description="explain", unit="face"), 1):
        explanation = explainer.explain(faces.crops[index], compare=wanted.compare)
        record = _write_face(explanation, number, directory, engine)
        if wanted.overlays:
            _write_overlays(explanation, record, directory)
        records.append(record)
    return score, records


def most_suspicious(
    logits: NDArray[np.floating], tracks: NDArray[np.integer], score: MediaScore, num_faces: int
) -> list[int]:
    """Return positions of the faces to explain: by turns from each track, both in order of their scores.

    Args:
        logits: `(N,)` log-odds of each face.
        tracks: `(N,)` track of each face.
        score: of the file.
        num_faces: how many at most.
    """
    by_score = sorted(score.track_p_fake, key=lambda each: (-score.track_p_fake[each], each))
    queues = [
        sorted(np.flatnonzero(tracks == each).tolist(), key=lambda index: -logits[index]) for each in by_score
    ]
    turns = chain.from_iterable(zip_longest(*queues))
    return [index for index in turns if index is not None][:num_faces]


@contextmanager
def _writing_to(directory: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise DataError(f"--out {directory}: cannot be written to ({reason}); name another folder") from error


def _earlier_pictures(directory: Path) -> set[Path]:
    """Return the pictures that an earlier run's record names; others of such a name are not ours."""
    try:
        faces = json.loads((directory / JSON_FILE).read_bytes())["faces"]
        names = {str(face["picture"]) for face in faces}
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return set()
    return {directory / name for name in names if _PICTURE_NAME.fullmatch(name)}


def _write_face(
    explanation: FaceExplanation, number: int, directory: Path, engine: ScanEngine
) -> dict[str, Any]:
    face = explanation.face
    verdict = verdict_of(explanation.p_fake, engine.threshold)
    picture = f"face-{number:02}.png"
    headline = (
        f"Person {face.track_id} at {face.time_s:.2f} s, face of {face.face_px:.0f} px. "
        f"This face alone: {VERDICT_WORDS[verdict]}, p_fake {explanation.p_fake:.3f}\n"
        f"{describe_point(engine.operating_point, engine.threshold)}"
    )
    with _writing_to(directory):
        draw(explanation, directory / picture, headline=headline)
    return face_record(explanation, picture, verdict)


def _write_overlays(explanation: FaceExplanation, record: dict[str, Any], directory: Path) -> None:
    """Write each map over the face as a picture of its own, and name it in the map's record."""
    stem = Path(record["picture"]).stem
    for number, (face_map, entry) in enumerate(zip(explanation.maps, record["maps"], strict=True), 1):
        entry["picture"] = f"{stem}-map-{number}.png"
        shown = overlay(face_map.rgb, face_map.cells)
        with _writing_to(directory):
            Image.fromarray(shown).save(directory / entry["picture"])


def _file_record(path: Path, faces: ExtractedFaces, score: MediaScore, engine: ScanEngine) -> dict[str, Any]:
    return {
        "file": utf8_name(str(path)),
        "verdict": verdict_of(score.p_fake, engine.threshold),
        "p_fake": score.p_fake,
        "operating_point": engine.operating_point,
        "threshold": engine.threshold.threshold,
        "model": engine.model.model_dump(),
        "reasons": list(reasons_of_scored(faces)),
        "num_faces_scored": len(faces.crops),
    }
