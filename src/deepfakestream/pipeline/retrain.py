"""Ask the governor and, if it agrees, make a challenger and let the gate decide about it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

from deepfakestream.host.progress import track
from deepfakestream.monitoring.governor import ClaimAnswer, RetrainGovernor, RetrainOutcome
from deepfakestream.monitoring.lease import Lease, kept_alive
from deepfakestream.params import RetrainParams, load_params
from deepfakestream.pipeline import promote
from deepfakestream.pipeline.stages import STAGES, renew
from deepfakestream.registry.champion import champion_version
from deepfakestream.settings import Settings


@dataclass
class Attempt:
    """A retraining that may go on or not; set `outcome` when it is known."""

    decision: ClaimAnswer
    lease: Lease = field(default_factory=Lease)
    outcome: RetrainOutcome = "failed"
    """What the governor is told at the end; stays `failed` where the work stops half-way."""


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


@dataclass(frozen=True)
class Work:
    """What a retraining does, in the workspace of the settings."""

    model_version: Callable[[Settings], str] = champion_version
    run_stage: Callable[[Settings, str], None] = renew
    promote: Callable[[Settings], tuple[RetrainOutcome, str]] = promote_if_better


def run(
    rules: RetrainParams, *, settings: Settings, force: bool = False, work: Work | None = None
) -> RetrainReport:
    """Retrain if the governor agrees: extract, validate, train another model, evaluate, promote.

    Args:
        rules: the governor's.
        settings: the workspace.
        force: override every rule of the governor but "one at a time".
        work: how; default: the stages of dvc.yaml and the promotion gate.

    Raises:
        GateError: validation failed, or the claim was lost on the way.
        DeepfakeStreamError: a stage failed; the governor knows, and nothing was promoted.
    """
    work = work or Work()
    with attempt(
        rules, settings=settings, model_version=work.model_version(settings), force=force
    ) as current:
        if not current.decision.allowed:
            return RetrainReport(current.decision)
        for stage in track(STAGES, description="retrain", unit="stage"):
            current.lease.check()
            work.run_stage(settings, stage)
        current.lease.check()
        current.outcome, promotion = work.promote(settings)
    return RetrainReport(current.decision, promotion)


@contextmanager
def attempt(
    rules: RetrainParams,
    *,
    settings: Settings,
    model_version: str,
    force: bool = False,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Iterator[Attempt]:
    """Yield the governor's answer; while the block runs, an allowed claim is kept alive, then given back."""
    governor = RetrainGovernor(settings.governor_db)
    decision = governor.claim(model_version, rules, clock(), force=force)
    if decision.claim_id is None:
        yield Attempt(decision)
        return
    with kept_alive(governor, decision.claim_id) as lease:
        current = Attempt(decision, lease)
        try:
            yield current
        finally:
            governor.finish(decision.claim_id, current.outcome, clock())
