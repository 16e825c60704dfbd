"""The whole main job on sample faces, end to end with the real servers, step by step."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path

from deepfakestream.errors import ServerError
from deepfakestream.host.signals import stopped_by_signals
from deepfakestream.host.whole_files import replacing
from deepfakestream.local.servers import require_ports, running
from deepfakestream.params import load_params
from deepfakestream.pipeline import workspace
from deepfakestream.settings import Settings, load_settings
from infra.demo.console import Story
from infra.demo.facts import Facts, GateDecision, read_checked, read_metrics
from infra.demo.params import write_demo_params
from infra.demo.people import PEOPLE
from infra.demo.sample import Sample, build
from infra.demo.steps import Steps
from infra.demo.summary import render

SUMMARY_FILE = "summary.json"
_NUM_CHAPTERS = 7
_POLL_S = 1.0


def run(directory: Path) -> Facts:
    """Run the demo in a workspace of its own and print what happens; a second run reuses what is there.

    Args:
        directory: the workspace; made where it is missing. `summary.json` in it keeps the outcome.

    Raises:
        DataError: the sample media are not installed, or a stage failed.
        GateError: the gate refused the first model: nothing can be served and watched then.
        ServerError: a port is busy, a server ended, or the demo was stopped by a signal.
    """
    settings = demo_settings(directory)
    facts = None
    with stopped_by_signals():
        facts = _run_steps(settings)
    if facts is None:
        raise ServerError(
            "demo: stopped before its end, and so were its servers; start it again, what is done is kept"
        )
    return facts


def demo_settings(directory: Path) -> Settings:
    """Return the settings in force, but for everything that would reach beyond the demo's folder."""
    own = {
        "workspace": directory,
        "tracking_uri": None,
        "alert_urls": None,
        "model_poll_s": _POLL_S,
    }
    return load_settings().model_copy(update=own)


def _run_steps(settings: Settings) -> Facts:
    story = Story(sys.stdout, _NUM_CHAPTERS)
    story.say(
        "DeepfakeStream from end to end: label, learn, serve, watch, retrain. Everything happens in "
        f"{settings.workspace}/ and on {settings.host}; nothing leaves this machine."
    )
    require_ports(settings)
    sample = _prepare(settings, story)
    with ExitStack() as stack:
        story.chapter("Servers", "MLflow, Prefect, the flows and the inference service start.")
        with story.waiting("servers"):
            servers = stack.enter_context(running(settings))
        for name, address in servers.addresses.items():
            story.show(f"{name:9} {address}")
        params = load_params(settings.params_file)
        facts = _walk(Steps(servers=servers, story=story, params=params), sample, servers.settings)
        with story.waiting("stop the servers"):
            stack.close()
    _keep(facts, settings)
    sys.stdout.write("\n" + render(facts, settings) + "\n")
    return facts


def _prepare(settings: Settings, story: Story) -> Sample:
    story.chapter(
        "Sample",
        f"{len(PEOPLE)} people from pictures in installed packages become stills and short clips; the forge "
        "makes the fakes.",
    )
    write_demo_params(settings.workspace)
    workspace.create(settings.workspace)
    sample = build(settings.workspace / "sample")
    story.show(
        f"{sample.num_labelled} labelled files, {len(sample.normal)} + {len(sample.drifted)} files of traffic"
        + (", made by an earlier run" if sample.was_there else "")
    )
    return sample


def _walk(steps: Steps, sample: Sample, settings: Settings) -> Facts:
    story = steps.story
    story.chapter("Ingest", "Labelled media enter data/ by their content; DVC keeps the version.")
    ingested = steps.ingest(sample)
    story.chapter("Train", "The flow 'train' runs what is out of date, then the gate decides.")
    first_gate = steps.train()
    checked, metrics = read_checked(settings), read_metrics(settings)
    story.show(metrics.describe())
    _tell_gate(story, first_gate)
    story.chapter("Serve", "The service takes the champion over by itself and answers over HTTP.")
    champion = steps.served_champion()
    answers = steps.ask(sample.held_out)
    story.chapter("Watch", "New files of the same quality as the test set: nothing should drift.")
    steps.send(sample.normal, "traffic")
    before = steps.check_drift()
    story.chapter("Drift", "Somebody sends dark, blurred, small pictures: the check should notice, and act.")
    newest = steps.newest_retraining()
    steps.send(sample.drifted, "drifted traffic")
    after = steps.check_drift()
    retraining = steps.follow_retraining(newest, expected=after.status == "drift")
    if retraining.gate:
        _tell_gate(story, retraining.gate)
    at_end = steps.served_champion()
    story.close()
    return Facts(
        num_people=len(PEOPLE),
        num_labelled=sample.num_labelled,
        sample_was_there=sample.was_there,
        ingested=ingested,
        checked=checked,
        metrics=metrics,
        first_gate=first_gate,
        champion=champion,
        answers=answers,
        drift_before=before,
        drift_after=after,
        retraining=retraining,
        champion_at_end=at_end,
        seconds=story.seconds,
    )


def _tell_gate(story: Story, gate: GateDecision | None) -> None:
    if gate is None:
        story.show("gate: nothing to decide, the trained model is champion already")
        return
    story.show(f"gate: {gate.outcome} for version {gate.version}")
    story.show("\n".join(f"  {reason}" for reason in gate.reasons))


def _keep(facts: Facts, settings: Settings) -> None:
    with replacing(settings.workspace / SUMMARY_FILE) as partial:
        partial.write_text(facts.model_dump_json(indent=2) + "\n", encoding="utf-8")
