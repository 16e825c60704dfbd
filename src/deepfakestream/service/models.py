"""The model that answers: loaded once, tried on a canary, swapped whole when the champion alias moves."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from deepfakestream.errors import DeepfakeStreamError, WeightsError
from deepfakestream.model.folder import CARD_FILE
from deepfakestream.monitoring.alerter import Alerter
from deepfakestream.scanning.engine import ScanEngine
from deepfakestream.service.metrics import ServiceMetrics
from deepfakestream.service.model_source import PACKAGED, ModelChoice, ModelSource

CANARY_TOLERANCE = 1e-3
"""Largest difference between the logits of the same crop in batches of one and of three."""
_NOT_SERVED, _KIND = "the champion is not served", "champion.not_served"
_LOG = logging.getLogger(__name__)

EngineFactory = Callable[[Path, str], ScanEngine]
"""Opens the engine of a model folder and version."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedModel:
    """A model that passed its canary."""

    choice: ModelChoice
    engine: ScanEngine
    card: str | None


class ModelProvider:
    """Keeps the champion loaded. `current` never changes under a request that has read it."""

    def __init__(
        self,
        source: ModelSource,
        open_engine: EngineFactory,
        metrics: ServiceMetrics,
        alerter: Alerter | None = None,
    ) -> None:
        """Remember the parts; nothing is loaded before `refresh`.

        Args:
            source: knows the champion and its files.
            open_engine: opens a model folder.
            metrics: count loads.
            alerter: gets a champion that cannot be served.
        """
        self._alerter = alerter
        self._is_calm = False  # an earlier process may have said that the champion does not answer
        self._source = source
        self._open_engine = open_engine
        self._metrics = metrics
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._failed: ModelChoice | None = None
        self.current: ServedModel | None = None

    def start(self, poll_s: float) -> None:
        """Load a model in the background, then look for a new champion every `poll_s` seconds."""
        self._stop.clear()
        self._thread = threading.Thread(target=self._run, args=(poll_s,), name="model-provider", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the background thread; returns once it has ended."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=30.0)

    def refresh(self) -> None:
        """Serve the champion if it is not served already; keep what is served if anything fails.

        Where nothing is served yet and the registry does not answer, the champion that answered last is
        served. Without one, the packaged model is.
        """
        try:
            champion = self._source.champion()
        except Exception as error:  # noqa: BLE001 - without an answer what is served stays
            _LOG.warning("the registry cannot be asked for the champion: %s", error)
            if self.current is None:
                self._serve_first(self._source.kept())
                self._metrics.champion_waits(waits=True)
            return
        if self.current is None or self.current.choice != champion:
            self._metrics.champion_waits(waits=champion is not None)
            if self.current is None:
                self._serve_first(champion)
            elif champion is not None:
                self._serve(champion)
        is_served = self.current is not None and self.current.choice == champion
        waits = champion is not None and not is_served
        self._metrics.champion_waits(waits=waits)
        if self._alerter and not waits and not self._is_calm:
            self._alerter.end(_NOT_SERVED, _KIND, "the champion is served, or there is none")
            self._is_calm = True

    def _serve_first(self, choice: ModelChoice | None) -> None:
        """Serve the choice, or the packaged model where there is none or it fails."""
        if choice is None:
            _LOG.info("no champion is registered; serving the packaged model, version 0")
        if choice is None or not self._serve(choice):
            self._serve(PACKAGED)

    def _run(self, poll_s: float) -> None:
        while not self._stop.is_set():
            try:
                self.refresh()
            except Exception:  # noqa: BLE001 - a poll that fails must not end the polling
                _LOG.exception("looking for a new model failed; what is served stays")
            self._stop.wait(poll_s)

    def _serve(self, choice: ModelChoice) -> bool:
        """Load, try and swap in; True where the choice answers from now on."""
        try:
            model = self._load(choice)
        except Exception as error:  # noqa: BLE001 - whatever files or their runtime raise, what is served stays
            self._report_failure(choice, error)
            return False
        previous, self.current = self.current, model
        self._failed = None if self._failed == choice else self._failed
        self._metrics.model_serves(model.engine.model, previous.engine.model if previous else None)
        _LOG.info("serving model version %s from the %s", choice.version, choice.source)
        return True

    def _load(self, choice: ModelChoice) -> ServedModel:
        directory = self._source.directory(choice)
        engine = self._open_engine(directory, choice.version)
        run_canary(engine)
        card = directory / CARD_FILE
        text = card.read_text(encoding="utf-8") if card.is_file() else None
        self._source.keep(choice, directory)
        return ServedModel(choice=choice, engine=engine, card=text)

    def _report_failure(self, choice: ModelChoice, error: Exception) -> None:
        if choice != self._failed:  # the next polls fail the same way
            is_ours = isinstance(error, DeepfakeStreamError)
            _LOG.error(
                "model version %s is not served: %s",
                choice.version,
                error,
                exc_info=None if is_ours else error,
            )
            self._metrics.model_failed()
        if self._alerter and choice != PACKAGED:
            self._is_calm = False
            served = self.current.choice.version if self.current else "no version"
            self._alerter.begin(
                _NOT_SERVED,
                _KIND,
                f"champion version {choice.version} cannot be served, {served} answers: {error}",
                facts={"version": choice.version, "served": served},
            )
        self._failed = choice


def run_canary(engine: ScanEngine) -> None:
    """Run detector and model once on made-up pictures.

    Raises:
        WeightsError: a score is not a number or depends on the batch, or the detector sees a face in nothing.
    """
    version = engine.model.version
    size_px = engine.scorer.spec.extraction.crop_size_px
    crops = np.random.default_rng(0).integers(0, 256, (3, size_px, size_px, 3), dtype=np.uint8)
    together = engine.scorer.fast.logits(crops)
    alone = engine.scorer.fast.logits(crops[:1])
    if together.shape != (3,) or not np.isfinite(together).all():
        raise WeightsError(
            f"model version {version}: the canary's scores are not numbers; promote another version"
        )
    if abs(float(together[0]) - float(alone[0])) > CANARY_TOLERANCE:
        raise WeightsError(
            f"model version {version}: the canary's score depends on the batch; promote another version"
        )
    grey = np.full((240, 320, 3), 127, dtype=np.uint8)
    if engine.detector.detect([grey]) != [[]]:
        raise WeightsError(
            f"model version {version}: its detector sees a face in an empty picture; check its weights"
        )
