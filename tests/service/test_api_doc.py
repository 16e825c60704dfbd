"""docs/API_DESIGN.md names what the service really has: paths, problem types, reasons."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from deepfakestream.errors import Reason
from deepfakestream.jobs.queue import WORKER_LOST
from deepfakestream.service import problems
from deepfakestream.service.app import create_app
from deepfakestream.service.engines import IMAGE_DECODE_S
from deepfakestream.service.outcomes import to_problem
from deepfakestream.service.runtime import SCAN_TIMEOUT_S, Runtime
from deepfakestream.service.schemas import ProblemDocument

API = Path("docs/API_DESIGN.md").read_text(encoding="utf-8")
EXPLAINED = Path("docs/PRED_EXPLAINABILITY.md").read_text(encoding="utf-8")
INGEST_REASONS = {
    *(Reason.DUPLICATE, Reason.LABEL_MISSING, Reason.LABEL_CONFLICT, Reason.FORGOTTEN),
    *(Reason.GROUP_MISSING, Reason.HELD_OUT, Reason.TOO_SHORT),
    *(Reason.LOW_QUALITY, Reason.NEAR_DUPLICATE),
}
MEDIA_REASONS = [reason for reason in Reason if reason not in INGEST_REASONS]
MADE = [
    problems.content_mismatch(found="video", expected="image"),
    problems.not_an_upload(""),
    problems.too_large(1),
    problems.slow_upload(1),
    problems.overloaded(1, capacity=1, what=""),
    problems.not_ready(1),
    problems.deadline(1.0),
    problems.internal(),
    problems.storage_full(),
    problems.store_unavailable(),
    problems.decoder_unavailable(),
    problems.unauthorized(""),
    problems.forbidden(""),
    problems.keys_required(),
    problems.host_not_allowed(),
    problems.cross_site(),
    problems.rate_limited(1, per_minute=1),
    problems.quota_exceeded(1, quota=1, what=""),
    problems.too_many_at_once(1, limit=1, what=""),
    problems.no_analysis(),
    problems.not_finished("queued", 1),
    problems.no_result("canceled"),
    problems.expired(""),
    problems.key_reused(),
    problems.bad_parameter(""),
    problems.unsafe_url(""),
    problems.feedback_conflict("real"),
    to_problem(WORKER_LOST),
    *(problems.of_status(status) for status in (400, 404, 405)),
    *(problems.unusable_media(reason, "") for reason in MEDIA_REASONS),
]


@pytest.mark.parametrize("problem", MADE, ids=lambda problem: problem.type)
def test_every_problem_is_listed_with_its_status(problem: problems.Problem) -> None:
    row = next(
        (line for line in API.splitlines() if f"`{problem.type}`" in line and str(problem.status) in line),
        None,
    )
    assert row is not None


@pytest.mark.parametrize("problem", MADE, ids=lambda problem: problem.type)
def test_every_member_of_a_problem_is_in_the_specification(problem: problems.Problem) -> None:
    members = json.loads(problem.body("id"))
    assert set(members) <= set(ProblemDocument.model_fields)
    ProblemDocument.model_validate(members)


def test_every_path_is_listed() -> None:
    paths = create_app(Runtime(), docs_assets="x").openapi()["paths"]
    for path, methods in paths.items():
        for method in methods:
            assert f"`{method.upper()} {path}`" in API


def test_the_limits_are_those_of_the_code() -> None:
    assert f"{SCAN_TIMEOUT_S:.0f} s from there to the verdict, {IMAGE_DECODE_S:.0f} s of decoding" in API


@pytest.mark.parametrize("reason", MEDIA_REASONS)
def test_every_reason_is_explained(reason: Reason) -> None:
    assert f"`{reason}`" in EXPLAINED
