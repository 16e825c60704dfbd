"""Ask the governor and, if it agrees, make a challenger and let the gate decide about it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial

from deepfakestream.data.manifest import read_manifest_or_empty
from deepfakestream.host.progress import progress_bar
from deepfakestream.monitoring.governor import ClaimAnswer, RetrainGovernor, RetrainOutcome
from deepfakestream.monitoring.governor_rules import ClaimRequest, Occasion
from deepfakestream.monitoring.lease import Lease, kept_alive
from deepfakestream.monitoring.params import RetrainParams
from deepfakestream.params import load_params
from deepfakestream.pipeline import promote
from deepfakestream.pipeline.stages import STAGES, renew
from deepfakestream.pipeline.training_facts import new_training_items, read_training_items
from deepfakestream.pipeline.trigger import Trigger
from deepfakestream.registry.champion import champion_version
from deepfakestream.settings import Settings
from deepfakestream.wiring import flow_run_page, mlflow_store, open_alerter

REFUSED_OFTEN = 3
"""So many refusals in a row are an alert: what asks for retraining does not get it."""
REFUSED = "retraining is refused"
FAILED = "retraining fails"
"""Names of conditions."""


@dataclass
class Attempt:
    """A claim on a retraining: refused, or to be used by `run_steps`."""

    decision: ClaimAnswer
    trigger: Trigger
    """Handed on to the stages, so that the run in MLflow says what started it."""
    lease: Lease = field(default_factory=Lease)
    outcome: RetrainOutcome = "failed"
    """Passed to the governor at the end; stays `failed` where the work stops half-way."""

    def run_steps(
        self, run_stage: Callable[[str], object], promote: Callable[[], tuple[RetrainOutcome, str]]
    ) -> str:
        """Run the stages and the promotion, and return what the promotion gate said; "" after a refusal.

        Args:
            run_stage: makes one of `STAGES` new.
            promote: compares the new model with the champion; returns the outcome and its reasons.

        Raises:
            GateError: the claim was lost on the way.
        """
        if not self.decision.allowed:
            return ""
        for stage in progress_bar(STAGES, description="retrain", unit="stage"):
            self.lease.check()
            run_stage(stage)
        self.lease.check()
        self.outcome, said = promote()
        return said


@dataclass(frozen=True)
class RetrainReport:
    """What came of asking for a retraining."""

    decision: ClaimAnswer
    promotion: str = ""
    """What the promotion gate said; empty where nothing was trained."""

    def describe(self) -> str:
        """Return the governor's answer and, after a retraining, the gate's."""
        return "\n".join(filter(None, [self.decision.describe(), self.promotion]))


def promote_if_better(settings: Settings) -> tuple[RetrainOutcome, str]:
    """Let the gate decide about `artifacts/train`; return the outcome and what it said."""
    params = load_params(settings.params_file)
    decision = promote.run(params.promote, settings=settings)
    return ("promoted" if decision.promoted else "held"), decision.describe()


def request_for(
    settings: Settings, *, occasion: Occasion, reason: str = "", force: bool = False
) -> ClaimRequest:
    """Return the request to the governor, with what it must know about champion and data.

    Args:
        settings: of the workspace.
        occasion: why the retraining is asked for.
        reason: for people: what started it.
        force: override every rule of the governor but "one at a time".

    Raises:
        ServerError: the registry does not answer.
    """
    learned = read_training_items(settings.train_dir)
    manifest = read_manifest_or_empty(settings.data_dir)
    return ClaimRequest(
        model_version=champion_version(mlflow_store(settings)),
        occasion=occasion,
        new_items=new_training_items(manifest, after=learned.until if learned else ""),
        reason=reason,
        force=force,
    )


def run(
    rules: RetrainParams, *, settings: Settings, occasion: Occasion = "manual", force: bool = False
) -> RetrainReport:
    """Retrain if the governor agrees: extract, validate, train another model, evaluate, promote.

    Args:
        rules: the governor's.
        settings: the workspace.
        occasion: why the retraining is asked for.
        force: override every rule of the governor but "one at a time".

    Raises:
        GateError: validation failed, or the claim was lost on the way.
        DeepfakeStreamError: a stage failed; the governor knows, and nothing was promoted.
    """
    request = request_for(settings, occasion=occasion, force=force)
    with attempt(rules, settings=settings, request=request) as current:
        renew_stage = partial(renew, settings, trigger=current.trigger)
        said = current.run_steps(renew_stage, partial(promote_if_better, settings))
    return RetrainReport(current.decision, said)


@contextmanager
def attempt(
    rules: RetrainParams,
    *,
    settings: Settings,
    request: ClaimRequest,
    started_by: Trigger | None = None,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Iterator[Attempt]:
    """Yield the governor's answer; an allowed claim is kept alive during the block and given back after it.

    Alerts say that a retraining starts, that it failed, and that it was refused several times in a row.

    Args:
        rules: the governor's.
        settings: the workspace.
        request: from `request_for`.
        started_by: with the flow run, where one asks; default: this process, outside a flow.
        clock: returns the time now, UTC.
    """
    governor = RetrainGovernor(settings.governor_db)
    alerter = open_alerter(settings)
    decision = governor.claim(request, rules, clock())
    known = {"occasion": request.occasion, "reason": request.reason, "claim": decision.claim_id or ""}
    trigger = (started_by or Trigger()).model_copy(update=known)
    links = {"flow runs": settings.prefect_page_url}
    if trigger.flow_run_id:
        links = {"flow run": flow_run_page(settings, trigger.flow_run_id)}
    facts = {"occasion": request.occasion, "claim": decision.claim_id, "reasons": list(decision.reasons)}
    if decision.claim_id is None:
        if (count := governor.num_refused_in_a_row()) >= REFUSED_OFTEN:
            text = f"a retraining was refused {count} times in a row: {'; '.join(decision.reasons)}"
            alerter.begin(REFUSED, "retrain.refused", text, links=links, facts=facts)
        yield Attempt(decision, trigger)
        return
    alerter.end(REFUSED, "retrain.refused", "a retraining was allowed")
    cause = f"{request.occasion}, {request.reason or 'no reason given'}"
    alerter.tell(
        "retrain.started",
        f"a retraining of version {request.model_version} starts ({cause})",
        links=links,
        facts=facts,
    )
    with kept_alive(governor, decision.claim_id) as lease:
        current = Attempt(decision, trigger, lease)
        try:
            yield current
        except Exception as error:
            alerter.begin(
                FAILED, "retrain.failed", f"a retraining failed ({cause}): {error}", links=links, facts=facts
            )
            raise
        finally:
            governor.finish(decision.claim_id, current.outcome, clock())
    if current.outcome != "failed":
        alerter.end(FAILED, "retrain.failed", f"a retraining ended with a decision: {current.outcome}")
