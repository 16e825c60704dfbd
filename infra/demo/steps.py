"""The steps of the demo, each against the running servers; `demo` tells them in order."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from deepfakestream.errors import GateError, ServerError
from deepfakestream.host.progress import progress_bar
from deepfakestream.local.servers import RunningServers
from deepfakestream.model.packaged import PACKAGED_VERSION
from deepfakestream.monitoring.drift_report import DriftReport
from deepfakestream.monitoring.governor import RetrainGovernor
from deepfakestream.params import Params
from deepfakestream.pipeline import ingest as ingest_step
from deepfakestream.pipeline.stages import STAGES
from deepfakestream.registry.champion import champion_version
from deepfakestream.settings import Settings
from deepfakestream.wiring import mlflow_store
from infra.demo.client import analyse, get_json
from infra.demo.console import Story
from infra.demo.facts import Answer, GateDecision, Ingested, Retraining, gates, read_drift
from infra.demo.flows import Flows
from infra.demo.sample import Sample

SET_NAME = "demo-faces"
_NUM_TASKS = len(STAGES) + 1
_NEW_MODEL_TIMEOUT_S = 120.0
_AUTOMATION_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """What the demo does with the servers."""

    servers: RunningServers
    story: Story
    params: Params

    @property
    def _settings(self) -> Settings:
        return self.servers.settings

    @property
    def _flows(self) -> Flows:
        return Flows(self._settings.prefect_api_url, self.servers.check)

    def ingest(self, sample: Sample) -> Ingested:
        """Take the labelled media in; DVC gets the version."""
        request = ingest_step.IngestRequest(name=SET_NAME)
        report = ingest_step.run(
            sample.directory, params=self.params.ingest, settings=self._settings, request=request
        )
        self.story.show(report.describe())
        return Ingested(
            num_added=len(report.added),
            num_known=report.num_known,
            num_items=report.num_items,
            refused=dict(Counter(str(refusal.reason) for refusal in report.refused)),
            data_digest=report.data_digest,
        )

    def train(self) -> GateDecision | None:
        """Run the train flow; return the gate's decision, or None where there was nothing to decide."""
        before = len(gates(self._settings))
        self._watch(self._flows.start("train/train"), "train")
        made = gates(self._settings)[before:]
        return made[-1] if made else None

    def served_champion(self) -> int:
        """Wait until the service answers with the champion; return its version.

        Raises:
            GateError: no version is champion.
            ServerError: the service does not take it over.
        """
        version = champion_version(mlflow_store(self._settings))
        if version == PACKAGED_VERSION:
            raise GateError(
                "demo: the gate refused the first model, so there is no champion to watch (above)"
            )
        with self.story.waiting(f"the service looks for version {version}"):
            self._until_served(version)
        return int(version)

    def _until_served(self, version: str) -> None:
        deadline = time.monotonic() + _NEW_MODEL_TIMEOUT_S
        while get_json(f"{self._settings.service_url}/v1/model")["version"] != version:
            self.servers.check()
            if time.monotonic() > deadline:
                raise ServerError(
                    f"the service has not taken over version {version} after {_NEW_MODEL_TIMEOUT_S:.0f} s; "
                    f"see {self._settings.work_dir / 'logs' / f'service-{self._settings.service_port}.log'}"
                )
            time.sleep(0.3)

    def ask(self, labels: Mapping[Path, str]) -> tuple[Answer, ...]:
        """Send labelled files to the service one after the other and tell what it says about each."""
        first = next(iter(labels))
        kind = "videos" if first.suffix == ".mp4" else "images"
        self.story.say(f"$ curl -F file=@{first} {self._settings.service_url}/v1/{kind}")
        answers = []
        for path, label in labels.items():
            result = analyse(self._settings.service_url, path)
            answer = Answer(
                file=path.name,
                label=label,
                verdict=result["verdict"],
                p_fake=result["p_fake"],
                model_version=result["model"]["version"],
            )
            self.story.show(answer.describe())
            answers.append(answer)
        return tuple(answers)

    def send(self, files: Sequence[Path], description: str) -> None:
        """Send files to the service one after the other."""
        for path in progress_bar(files, description=f"    {description}", unit="file"):
            analyse(self._settings.service_url, path)

    def check_drift(self) -> DriftReport:
        """Run the drift flow and return what it found."""
        self._run_quietly("drift flow", self._flows.start("drift/drift"))
        report = read_drift(self._settings)
        self.story.show(report.describe())
        return report

    def newest_retraining(self) -> str | None:
        """Return the newest run of the retrain flow."""
        return self._flows.newest("retrain")

    def follow_retraining(self, before: str | None, *, expected: bool) -> Retraining:
        """Wait for the retraining that a drift event starts and follow it to the gate's decision.

        Args:
            before: the newest run of the retrain flow before the event.
            expected: whether there was an event.
        """
        if not expected:
            return Retraining(started=False)
        with self.story.waiting("event and automation"):
            run_id = self._flows.after("retrain", before, timeout_s=_AUTOMATION_TIMEOUT_S)
        if run_id is None:
            self.story.say("No retrain run has begun: see the automation in the Prefect UI.")
            return Retraining(started=False)
        decided = len(gates(self._settings))
        self._watch(run_id, "retrain")
        made = gates(self._settings)[decided:]
        if not made:
            return Retraining(started=True, refusals=self._last_refusal())
        return Retraining(started=True, gate=made[-1], asked_again=self._ask_again())

    def _ask_again(self) -> tuple[str, ...]:
        """Start the retrain flow once more: the governor's cooldown must refuse it."""
        before = self._num_refusals()
        run_id = self._flows.start("retrain/retrain", reason="asked again by the demo")
        self._run_quietly("the same again", run_id)
        return self._last_refusal() if self._num_refusals() > before else ()

    def _run_quietly(self, what: str, run_id: str) -> None:
        """Wait for the end of a flow run without telling of its tasks."""
        with self.story.waiting(what):
            for _ in self._flows.wait(run_id):
                pass

    def _watch(self, run_id: str, what: str) -> None:
        self.story.watch(self._flows.wait(run_id), num_tasks=_NUM_TASKS, what=what)

    def _num_refusals(self) -> int:
        return len(RetrainGovernor(self._settings.governor_db).refusals())

    def _last_refusal(self) -> tuple[str, ...]:
        found = RetrainGovernor(self._settings.governor_db).refusals()
        return found[-1].reasons if found else ()
