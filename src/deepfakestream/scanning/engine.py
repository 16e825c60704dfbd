"""From a media file to a verdict: the one path that the command line, the service and evaluation share."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from deepfakestream.errors import MediaError, ParamsError, Reason, WeightsError, WrongKindError
from deepfakestream.faces.extraction import faces_of
from deepfakestream.faces.types import ExtractedFaces, FaceDetector
from deepfakestream.host.digest import sha256_file
from deepfakestream.host.file_names import utf8_name
from deepfakestream.media.isolated import OpenMedia
from deepfakestream.media.reader import open_media
from deepfakestream.media.types import MediaBudget, MediaKind
from deepfakestream.model.aggregation import aggregate
from deepfakestream.model.scorer import FaceScores, Scorer
from deepfakestream.model.spec import OperatingPoint, read_spec
from deepfakestream.scanning.assembly import (
    crop_features,
    media_facts,
    reasons_of_scored,
    reasons_without_face,
    track_results,
)
from deepfakestream.scanning.coverage import coverage_of
from deepfakestream.scanning.pictures import Pictures
from deepfakestream.scanning.result import MediaFacts, ScanResult, Verdict
from deepfakestream.scanning.wording import message_for

StageTimes = MutableMapping[str, float]
"""Seconds by stage (`extract`, `hash`, `score`), filled during a scan."""


class ScanEngine:
    """Scans files with one detector, one model and one operating point; safe to use from several threads."""

    def __init__(
        self,
        detector: FaceDetector,
        scorer: Scorer,
        *,
        budget: MediaBudget,
        operating_point: str,
        opens: OpenMedia = open_media,
    ) -> None:
        """Bind the parts; `opens` opens media, in this process or in others.

        Raises:
            ParamsError: the model has no operating point of this name.
        """
        points = scorer.spec.operating_points
        if operating_point not in points:
            known = ", ".join(sorted(points))
            raise ParamsError(
                f"operating point '{operating_point}' is unknown to this model; choose one of {known}"
            )
        self.detector = detector
        self.scorer = scorer
        self._budget = budget
        self._opens = opens
        self.operating_point = operating_point
        self.threshold: OperatingPoint = points[operating_point]
        self.model = scorer.info

    def scan(
        self,
        path: Path,
        *,
        name: str | None = None,
        times: StageTimes | None = None,
        kind: MediaKind | None = None,
        on_searched: Callable[[int], None] | None = None,
        pictures: Pictures | None = None,
    ) -> ScanResult:
        """Return the verdict on one file; what is wrong with the file is in its reasons, never an exception.

        Args:
            path: the file.
            name: what the result calls it; default: the path.
            times: filled with the seconds that each stage took.
            kind: what the caller takes; None takes both.
            on_searched: is called with how many frames were searched for faces so far.
            pictures: gets pictures of the searched frames and of the faces.

        Raises:
            WrongKindError: the file is of the other kind; nothing was searched.
            WeightsError: the model gave a score that is not a number.
            ServerError: what reads media for this engine does not work; that says nothing about the file.
        """
        file = utf8_name(name if name is not None else str(path))
        times = times if times is not None else {}
        try:
            with _timed(times, "extract"):
                faces = self._extract(path, kind, on_searched, pictures)
            with _timed(times, "hash"):
                sha256 = sha256_file(path)
        except MediaError as error:
            return self._without_score(file, (error.reason,), message=_sentence(error, path, file))
        except OSError as error:
            message = f"{file}: cannot be read ({error.strerror}); check that it is there and may be read"
            return self._without_score(file, (Reason.UNREADABLE,), message=message)
        with _timed(times, "score"):
            return self._verdict(file, sha256, faces)

    def _extract(
        self,
        path: Path,
        kind: MediaKind | None,
        on_searched: Callable[[int], None] | None,
        pictures: Pictures | None,
    ) -> ExtractedFaces:
        with self._opens(path, self._budget) as media:
            if kind is not None and media.kind != kind:
                raise WrongKindError(found=media.kind, expected=kind)
            spec = self.scorer.spec
            faces = faces_of(
                media,
                self.detector,
                spec.extraction,
                on_searched=on_searched,
                wide_scale=self.scorer.wide_scale,
                on_frame=pictures.add_frame if pictures else None,
            )
        if pictures is not None:
            pictures.add_faces(faces, spec.network)
        return faces

    def _verdict(self, file: str, sha256: str, faces: ExtractedFaces) -> ScanResult:
        media = media_facts(faces, sha256=sha256)
        features = crop_features(faces)
        if not faces.crops:
            reasons = reasons_without_face(faces.notes)
            result = self._without_score(file, reasons, media=media, features=features)
            result = result.model_copy(update={"coverage": coverage_of(faces)})
            return result.model_copy(update={"message": message_for(result)})
        found = self._scores(faces)
        tracks = np.array([crop.track_id for crop in faces.crops])
        score = aggregate(found.logits, tracks, self.scorer.spec)
        embedding = None if found.embeddings is None else tuple(found.embeddings.mean(axis=0).tolist())
        result = ScanResult(
            file=file,
            verdict=verdict_of(score.p_fake, self.threshold),
            p_fake=score.p_fake,
            interval=score.interval,
            reasons=reasons_of_scored(faces),
            tracks=track_results(faces.crops, score.track_p_fake, score.face_p_fake),
            model=self.model,
            operating_point=self.operating_point,
            threshold=self.threshold,
            media=media,
            coverage=coverage_of(faces),
            features=features,
            embedding=embedding,
        )
        return result.model_copy(update={"message": message_for(result)})

    def _scores(self, faces: ExtractedFaces) -> FaceScores:
        scores = self.scorer.face_scores(faces.crops)
        if not np.isfinite(scores.logits).all():
            raise WeightsError(
                f"model {self.model.name} version {self.model.version} gave a score that is not a number; "
                "promote another version"
            )
        return scores

    def _without_score(
        self,
        file: str,
        reasons: tuple[Reason, ...],
        *,
        media: MediaFacts | None = None,
        features: dict[str, float] | None = None,
        message: str = "",
    ) -> ScanResult:
        return ScanResult(
            file=file,
            verdict="not_applicable",
            p_fake=None,
            interval=None,
            reasons=reasons,
            tracks=(),
            model=self.model,
            operating_point=self.operating_point,
            threshold=self.threshold,
            media=media,
            features=features or {},
            message=message,
        )


def verdict_of(p_fake: float, point: OperatingPoint) -> Verdict:
    """Return the three-way verdict at an operating point; both bounds belong to the upper verdict.

    Args:
        p_fake: calibrated score, 0 to 1.
        point: thresholds in force.
    """
    if p_fake >= point.threshold:
        return "likely_fake"
    return "inconclusive" if p_fake >= point.inconclusive_from else "likely_real"


def open_engine(  # noqa: PLR0913 - each is a choice of its own
    model_dir: Path,
    version: str,
    *,
    operating_point: str,
    device: str = "auto",
    detector_weights: Path | None = None,
    budget: MediaBudget | None = None,
    tower: Path | None = None,
    opens: OpenMedia = open_media,
) -> ScanEngine:
    """Return an engine for the model of a folder, with the face detector that its spec names.

    Args:
        model_dir: model folder.
        version: what results call the model's version.
        operating_point: name of the threshold, one of those that the model knows.
        device: auto, cpu or cuda.
        detector_weights: checkpoint of RetinaFace ResNet-50, where the model asks for that detector.
        budget: how much of a file is read at most.
        tower: file of the image tower; then the accurate detector of a model that has one answers.
        opens: opens media, in this process or in others.

    Raises:
        WeightsError: weights of the model or of the detector are missing or damaged.
        ParamsError: the operating point is unknown, or a GPU was asked for and there is none.
    """
    from deepfakestream.faces.detectors import open_detector
    from deepfakestream.model.fused import open_fused_scorer
    from deepfakestream.model.scorer import open_scorer

    scorer: Scorer
    if tower is None or read_spec(model_dir).expert is None:
        scorer = open_scorer(model_dir, device=device, version=version, tower=tower)
    else:
        scorer = open_fused_scorer(model_dir, tower, device=device, version=version)
    detector = open_detector(scorer.spec.extraction.detector, weights=detector_weights, device=device)
    return ScanEngine(
        detector, scorer, budget=budget or MediaBudget(), operating_point=operating_point, opens=opens
    )


def _sentence(error: MediaError, path: Path, file: str) -> str:
    """Return the error's sentence with the caller's name for the file in place of our path."""
    sentence = utf8_name(str(error))
    for ours in (str(path), path.name):
        if sentence.startswith(f"{ours}: "):
            return file + sentence.removeprefix(ours).replace(str(path), file)
    return sentence.replace(str(path), file)


@contextmanager
def _timed(times: StageTimes, stage: str) -> Iterator[None]:
    start = time.perf_counter()
    try:
        yield
    finally:
        times[stage] = time.perf_counter() - start
