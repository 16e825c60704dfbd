"""The process that reads media for a worker: `python -m deepfakestream.service.scan_process [background]`.

It gets one task a line on standard input and answers with lines on standard output, in JSON: whatever a file
does to this process, its worker reads nothing from it but text. It ends with its worker. In the background
it takes what the scans of this machine leave of the processor.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

from prometheus_client import CollectorRegistry

from deepfakestream.errors import (
    DeepfakeStreamError,
    MediaError,
    MissingExtraError,
    Reason,
    ServerError,
    WrongKindError,
)
from deepfakestream.faces.extraction import extract_faces
from deepfakestream.host.process_tree import end_with_parent
from deepfakestream.media.isolated import OpenMedia
from deepfakestream.media.reader import open_media
from deepfakestream.media.types import MediaBudget
from deepfakestream.model.packaged import PACKAGED_VERSION
from deepfakestream.scanning.engine import ScanEngine
from deepfakestream.scanning.pictures import Pictures
from deepfakestream.sections import read_section
from deepfakestream.service.engines import VIDEO_DECODE_S, decoding_of, engine_factory, media_budget
from deepfakestream.service.metrics import ServiceMetrics
from deepfakestream.service.model_source import ModelChoice, ModelSource, RegistrySource
from deepfakestream.service.models import EngineFactory, ModelProvider
from deepfakestream.service.params import ServeParams
from deepfakestream.service.prediction import UPLOAD_NAME
from deepfakestream.settings import load_settings

NUM_HEATMAPS = 3
BACKGROUND_NICENESS = 10
"""A tenth of the processor where others want it, all of it where none does."""
_LOG = logging.getLogger(__name__)


class ScanProcess:
    """Does the tasks of a worker, one after the other."""

    def __init__(
        self,
        source: ModelSource,
        open_engine: EngineFactory,
        *,
        poll_s: float,
        budget: MediaBudget,
        opens: OpenMedia,
        say: Callable[[dict[str, Any]], None],
    ) -> None:
        self._source = source
        self._open_engine = open_engine
        self._provider = ModelProvider(source, open_engine, ServiceMetrics(CollectorRegistry()))
        self._poll_s = poll_s
        self._budget = budget
        self._opens = opens
        self._say = say
        self._refreshed_at = -poll_s

    def do(self, task: dict[str, Any]) -> dict[str, Any]:
        """Return the answer to a task: a scan result with its times, or records of what was drawn.

        A task has `task` (`scan` or `explain`), `path` of the media, `kind`, and `folder` for pictures;
        `pictures` says whether to write those of frames and faces. `explain` has the `version` of the model,
        too, and in `face` the number of the frame and of the person, or null for the most suspicious.

        Raises:
            MediaError: the media cannot be scanned, or have no such face.
            ServerError: the registry, or what reads media, is away.
            WrongKindError: they are of the other kind.
        """
        pictures = Pictures() if task["pictures"] else None
        answer = self._explain(task, pictures) if task["task"] == "explain" else self._scan(task, pictures)
        for name, content in pictures.content.items() if pictures else ():
            (Path(task["folder"]) / name).write_bytes(content)
        return answer

    def refresh(self) -> None:
        """Load the champion, if it is time to look for another.

        Raises:
            DeepfakeStreamError: there is no model at all.
        """
        if time.monotonic() - self._refreshed_at < self._poll_s:
            return
        self._provider.refresh()
        self._refreshed_at = time.monotonic()
        if self._provider.current is None:
            raise DeepfakeStreamError("no model can be loaded; the log above says why")

    def _scan(self, task: dict[str, Any], pictures: Pictures | None) -> dict[str, Any]:
        self._say({"stage": "load", "done": 0, "total": None})
        self.refresh()
        model = self._provider.current
        assert model is not None
        total = model.engine.scorer.spec.extraction.num_frames
        self._say({"stage": "extract", "done": 0, "total": total})
        began_at, times = time.perf_counter(), dict[str, float]()

        def searched(done: int) -> None:
            self._say({"stage": "score" if done >= total else "extract", "done": done, "total": total})

        result = model.engine.scan(
            Path(task["path"]),
            name=UPLOAD_NAME,
            times=times,
            kind=task["kind"],
            on_searched=searched,
            pictures=pictures,
        )
        times["total"] = time.perf_counter() - began_at
        timings_ms = {stage: round(1000 * seconds, 2) for stage, seconds in times.items()}
        return {"result": result.as_stored(), "timings_ms": timings_ms}

    def _explain(self, task: dict[str, Any], pictures: Pictures | None) -> dict[str, Any]:
        try:
            from deepfakestream.explain.command import (  # PyTorch, which a scan does without
                Wanted,
                draw_faces,
            )
        except ModuleNotFoundError as error:
            raise MissingExtraError(str(error.name), ("explain",)) from error

        directory, engine = self._model_of(task["version"])
        spec = engine.scorer.spec
        faces = extract_faces(
            Path(task["path"]),
            engine.detector,
            spec.extraction,
            self._budget,
            wide_scale=engine.scorer.wide_scale,
            on_frame=pictures.add_frame if pictures else None,
            opens=self._opens,
        )
        if pictures is not None:
            pictures.add_faces(faces, spec.network)
        face = task["face"] and tuple(task["face"])
        wanted = Wanted(num_faces=NUM_HEATMAPS, face=face, overlays=True)
        records: list[dict[str, Any]] = []
        if faces.crops:
            _, records = draw_faces(faces, engine, directory, Path(task["folder"]), wanted)
        if not records:
            raise MediaError(Reason.NO_FACE, "there is no such face to draw")
        return {"faces": [{**record, "model_version": task["version"]} for record in records]}

    def _model_of(self, version: str) -> tuple[Path, ScanEngine]:
        """Return the model that gave a verdict: its heat maps explain that score, not a later model's."""
        packaged = version == PACKAGED_VERSION
        choice = ModelChoice(version=version, source="package" if packaged else "registry")
        directory = self._source.directory(choice)
        current = self._provider.current
        if current is not None and current.choice == choice:
            return directory, current.engine
        return directory, self._open_engine(directory, version)


def main() -> None:
    """Answer tasks until standard input ends."""
    end_with_parent(signal.SIGKILL)
    if sys.argv[1:] == ["background"]:
        os.nice(BACKGROUND_NICENESS)
    # Ctrl-C in a terminal reaches us, too; our worker tells us when to end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Standard output is for our lines alone; what libraries print goes to standard error.
    out = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    logging.basicConfig(level=logging.INFO, format="%(asctime)s [%(levelname)s] %(name)s: %(message)s")

    def say(message: dict[str, Any]) -> None:
        out.write(json.dumps(message) + "\n")
        out.flush()

    settings = load_settings()
    params = read_section(settings.params_file, "serve", ServeParams)
    decoding = decoding_of(settings)
    budget = media_budget(params, VIDEO_DECODE_S)
    process = ScanProcess(
        RegistrySource(settings),
        engine_factory(settings, budget, params.operating_point, decoding),
        poll_s=settings.model_poll_s,
        budget=budget,
        opens=open_media if decoding is None else decoding.open,
        say=say,
    )
    answer(process, sys.stdin, say)


def answer(process: ScanProcess, tasks: TextIO, say: Callable[[dict[str, Any]], None]) -> None:
    """Say that the model is loaded, then the answer to each task, until there are no more."""
    process.refresh()
    say({"ready": True})
    for line in tasks:
        try:
            say({"answer": process.do(json.loads(line))})
        except WrongKindError as error:
            say({"wrong_kind": error.found})
        except MediaError as error:
            say({"media_error": str(error.reason), "detail": str(error)})
        except ServerError as error:
            say({"not_now": str(error), "counts": True})
        except Exception as error:  # noqa: BLE001 - the worker decides what a failure means
            _LOG.exception("a task failed")
            say({"error": f"{type(error).__name__}: {error}"})


if __name__ == "__main__":
    main()
