"""The endpoints: what they answer, how they refuse, and that nothing of an upload stays behind."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from deepfakestream.jobs.tables import ANALYSES
from deepfakestream.jobs.types import NewAnalysis
from deepfakestream.monitoring.prediction_log import PredictionLog
from deepfakestream.service import uploads
from deepfakestream.service.problems import Refused
from deepfakestream.service.uploads import Upload
from deepfakestream.sqlite_url import sqlite_url

Starter = Callable[..., Any]
Picture = Callable[[int], bytes]


def assert_problem(response: Any, status: int, kind: str) -> dict[str, Any]:
    document: dict[str, Any] = response.json()
    assert (response.status_code, document["type"]) == (status, f"urn:deepfakestream:problem:{kind}"), (
        document
    )
    assert response.headers["content-type"] == "application/problem+json"
    assert document["status"] == status
    assert document["instance"] == f"urn:deepfakestream:request:{response.headers['x-request-id']}"
    assert document["title"]
    assert document["detail"]
    return document


def test_a_picture_gets_a_prediction(start_service: Starter, picture: Picture) -> None:
    service = start_service()
    response = service.post("/v1/images", picture(204))
    assert response.status_code == 200
    answer = response.json()
    assert answer["verdict"] == "likely_fake"
    assert answer["p_fake"] == pytest.approx(0.8)
    assert answer["file"] == "upload"
    assert answer["model"]["version"] == "3"
    assert answer["request_id"] == response.headers["x-request-id"]
    assert {"queue", "extract", "total"} <= set(answer["timings_ms"])
    assert "extract;dur=250" in response.headers["server-timing"]
    assert response.headers["x-content-type-options"] == "nosniff"
    assert "access-control-allow-origin" not in response.headers


def test_no_face_is_an_answer_not_an_error(start_service: Starter, picture: Picture) -> None:
    response = start_service().post("/v1/images", picture(0))
    assert response.status_code == 200
    assert (response.json()["verdict"], response.json()["p_fake"]) == ("not_applicable", None)


def test_every_answer_is_in_the_log_without_the_name_of_the_file(
    start_service: Starter, picture: Picture, tmp_path: Path
) -> None:
    service = start_service()
    ids = [service.post("/v1/images", picture(red)).json()["prediction_id"] for red in (204, 0)]
    service.post("/v1/images", b"refused")
    table = PredictionLog(sqlite_url(tmp_path / "work" / "predictions.db")).newest(10)
    assert list(table["prediction_id"]) == ids
    assert list(table["channel"]) == ["http", "http"]
    assert not any(
        b"holiday" in file.read_bytes() for file in (tmp_path / "work").rglob("*") if file.is_file()
    )


def test_without_the_log_nothing_is_answered_and_the_caller_may_come_again(
    start_service: Starter, picture: Picture, tmp_path: Path
) -> None:
    service = start_service()
    engine = sa.create_engine(sqlite_url(tmp_path / "work" / "predictions.db"))
    with engine.begin() as connection:
        connection.execute(sa.text("ALTER TABLE predictions RENAME TO away"))
    response = service.post("/v1/images", picture(204))
    assert_problem(response, 503, "store-unavailable")
    assert int(response.headers["retry-after"]) > 0
    with engine.begin() as connection:
        connection.execute(sa.text("ALTER TABLE away RENAME TO predictions"))
    engine.dispose()
    assert service.post("/v1/images", picture(204)).status_code == 200


@pytest.mark.parametrize(
    ("content", "status", "kind"),
    [(b"", 400, "empty-file"), (b"text that calls itself a jpeg", 400, "corrupt-media")],
)
def test_a_bad_file_is_a_problem(start_service: Starter, content: bytes, status: int, kind: str) -> None:
    service = start_service()
    document = assert_problem(service.post("/v1/images", content), status, kind)
    assert document["reason"] in {"empty_file", "unreadable"}
    assert service.metric("deepfakestream_refused_total", reason=document["reason"]) == 1


def test_a_file_of_the_other_kind_is_sent_to_the_other_endpoint(
    start_service: Starter, picture: Picture, clip: bytes
) -> None:
    service = start_service()
    document = assert_problem(service.post("/v1/images", clip), 415, "content-mismatch")
    assert document["detail"] == "The file is a video and this endpoint takes images; send it to /v1/videos."


@pytest.mark.parametrize(
    "request_options",
    [
        {"data": {"file": "http://169.254.169.254/latest/meta-data"}, "files": {"other": b"x"}},
        {"data": {"file": "/etc/passwd"}, "files": {"other": b"x"}},
        {"json": {"file": "http://localhost/x.jpg"}},
        {"content": b"http://localhost/x.jpg", "headers": {"content-type": "text/plain"}},
        {"content": b""},
    ],
)
def test_an_address_or_text_is_no_file(start_service: Starter, request_options: dict[str, Any]) -> None:
    response = start_service().client.post("/v1/images", **request_options)
    assert_problem(response, 415, "unsupported-media-type")


def test_a_form_without_the_field_says_which_is_missing(start_service: Starter) -> None:
    response = start_service().client.post("/v1/images", files={"picture": b"x"})
    assert "no field 'file'" in assert_problem(response, 400, "bad-request")["detail"]


@pytest.mark.parametrize("names", [("file", "file"), ("file", "other"), ("other", "file")])
def test_of_two_files_none_is_taken(start_service: Starter, picture: Picture, names: tuple[str, str]) -> None:
    service = start_service()
    files = [(name, ("a.png", picture(9), "image/png")) for name in names]
    document = assert_problem(service.client.post("/v1/images", files=files), 400, "bad-request")
    assert "Send one file a request" in document["detail"]
    assert service.metric("deepfakestream_predictions_total", kind="image", verdict="likely_fake") is None


def test_a_form_holds_few_short_fields(start_service: Starter, picture: Picture) -> None:
    service = start_service()
    few = {f"field{i}": "x" for i in range(uploads.MAX_FIELDS)}
    assert service.post("/v1/images", picture(9), data=few).status_code == 200
    for data in (few | {"more": "x"}, {"long": "x" * (uploads.MAX_FIELD_BYTES + 1)}):
        assert_problem(service.post("/v1/images", picture(9), data=data), 400, "bad-request")


@pytest.mark.parametrize("content_type", ["multipart/form-data", "multipart/form-data; boundary=x"])
def test_a_malformed_form_is_a_bad_request(start_service: Starter, content_type: str) -> None:
    response = start_service().client.post(
        "/v1/images", content=b"--y\r\nnonsense", headers={"content-type": content_type}
    )
    assert_problem(response, 400, "bad-request")


@pytest.mark.parametrize("body", [b"not json", b'{"label": "fake"', b""])
def test_a_body_that_is_no_json_is_named_so(start_service: Starter, body: bytes) -> None:
    client = start_service().client
    answer = client.post("/v1/feedback", content=body, headers={"Content-Type": "application/json"})
    detail = assert_problem(answer, 422, "bad-parameter")["detail"]
    assert not detail[0].isdigit()
    assert ("no JSON" in detail) == bool(body)


def test_a_misspelt_parameter_stops_the_request_next_to_right_ones(
    start_service: Starter, picture: Picture
) -> None:
    service = start_service()
    document = assert_problem(
        service.post("/v1/images?pictures=true&heatmap=true", picture(9)), 422, "bad-parameter"
    )
    assert "'heatmap'" in document["detail"]
    assert "'pictures'" not in document["detail"]
    assert not service.client.get("/v1/analyses").json()["items"]
    assert service.post("/v1/images?pictures=true", picture(9)).status_code == 200


def test_unknown_parameters_without_end_are_named_in_short(start_service: Starter) -> None:
    client = start_service(work=False).client
    names = "&".join(f"{'x' * 200}{number}=1" for number in range(50))
    assert len(assert_problem(client.get(f"/v1/usage?{names}"), 422, "bad-parameter")["detail"]) < 400


@pytest.mark.parametrize("path", ["/", "/docs", "/openapi.json", "/metrics", "/page/main.js"])
def test_pages_take_any_parameter(start_service: Starter, path: str) -> None:
    assert start_service(work=False).client.get(path, params={"utm_source": "chat"}).status_code == 200


def test_paths_and_methods(start_service: Starter) -> None:
    client = start_service().client
    assert "/openapi.json" in assert_problem(client.get("/v2/images"), 404, "not-found")["detail"]
    response = client.get("/v1/images")
    assert_problem(response, 405, "method-not-allowed")
    assert response.headers["allow"] == "POST"


def test_a_file_at_a_path_with_a_slash_too_many_is_told_where_to_go(
    start_service: Starter, picture: Picture
) -> None:
    client = start_service().client
    response = client.post("/v1/images/", files={"file": picture(9)}, follow_redirects=False)
    document = assert_problem(response, 404, "not-found")
    assert document["detail"] == "This path takes no file; POST it to /v1/images or /v1/videos."


def test_the_form_may_be_named_in_capitals(start_service: Starter, picture: Picture) -> None:
    client = start_service().client
    request = client.build_request("POST", "/v1/images", files={"file": picture(9)})
    request.headers["content-type"] = request.headers["content-type"].replace("multipart", "Multipart")
    assert client.send(request).status_code == 200


def test_a_fault_of_ours_is_an_internal_problem_without_details(
    start_service: Starter, picture: Picture
) -> None:
    service = start_service()
    assert_problem(service.post("/v1/images", picture(1)), 500, "internal-error")
    assert service.metric("deepfakestream_nan_total") == 1
    document = assert_problem(service.post("/v1/images", picture(2)), 500, "internal-error")
    assert "a bug" not in str(document)


def test_what_reads_files_may_end_and_the_client_comes_again(
    start_service: Starter, picture: Picture, tmp_path: Path
) -> None:
    service = start_service()
    response = service.post("/v1/images", picture(3))
    assert_problem(response, 503, "decoder-unavailable")
    assert int(response.headers["retry-after"]) >= 1
    assert not list((tmp_path / "work" / "media" / "incoming").iterdir())
    assert service.post("/v1/images", picture(9)).status_code == 200


def test_a_scan_that_hangs_is_given_up_keeps_its_place_and_shows(
    start_service: Starter, picture: Picture
) -> None:
    service = start_service(scan_timeout_s=1.0, max_concurrency=1)
    service.await_metric(1, "deepfakestream_ready")
    service.await_metric(0, "deepfakestream_overdue_work", kind="image")
    service.hold.clear()
    assert_problem(service.post("/v1/images", picture(9)), 504, "deadline-exceeded")
    assert service.runtime.places.in_work == 1
    response = service.post("/v1/images", picture(9))
    assert_problem(response, 503, "work-hangs")
    assert int(response.headers["retry-after"]) >= 1
    assert service.runtime.problem_of("/readyz", 503).type == "work-hangs"
    assert service.runtime.problem_of("/livez", 503).type == "work-hangs"
    assert service.runtime.problem_of("/v1/model", 503).type == "service-unavailable"
    service.runtime.scan_timeout_s = 3600.0
    assert service.runtime.is_alive
    service.runtime.scan_timeout_s = 0.01
    assert not service.runtime.is_alive
    service.runtime.scan_timeout_s = 1.0
    service.await_metric(1, "deepfakestream_overdue_work", kind="image")
    service.await_metric(0, "deepfakestream_ready")
    assert (service.metric("deepfakestream_oldest_work_seconds", kind="image") or 0) > 1
    assert service.metric("deepfakestream_overdue_work", kind="video") == 0
    service.hold.set()
    for _ in range(400):
        if service.runtime.places.in_work == 0:
            break
        time.sleep(0.05)
    assert service.runtime.is_alive
    assert service.post("/v1/images", picture(9)).status_code == 200
    service.await_metric(1, "deepfakestream_ready")
    service.await_metric(0, "deepfakestream_overdue_work", kind="image")


def test_one_scan_that_hangs_leaves_the_others_their_threads(
    start_service: Starter, picture: Picture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1})
    service = start_service(scan_timeout_s=1.0, max_concurrency=2)
    service.hold.clear()
    assert_problem(service.post("/v1/images", picture(9)), 504, "deadline-exceeded")
    assert service.runtime.not_ready is None
    service.hold.set()


def test_a_video_that_hangs_shows(start_service: Starter, clip: bytes) -> None:
    service = start_service(job_timeout_s=900)
    service.hold_clips.clear()
    analysis_id = service.post("/v1/videos", clip).json()["id"]
    database = service.runtime.stores.database
    begun = sa.update(ANALYSES).where(ANALYSES.c.status == "running").values(started_at=time.time() - 5000)
    for _ in range(400):
        with database.writing() as connection:
            if connection.execute(begun).rowcount:
                break
        time.sleep(0.05)
    service.await_metric(1, "deepfakestream_overdue_work", kind="video")
    assert (service.metric("deepfakestream_oldest_work_seconds", kind="video") or 0) > 900
    service.hold_clips.set()
    service.wait_for(analysis_id)
    service.await_metric(0, "deepfakestream_overdue_work", kind="video")


def test_a_scan_that_nobody_waits_for_gives_its_place_back(
    start_service: Starter, picture: Picture, tmp_path: Path
) -> None:
    """Of two abandoned uploads on one thread the running one keeps its place and the other is dropped."""
    service = start_service(max_concurrency=1)
    service.hold.clear()
    places: list[Any] = []

    async def gone() -> bool:
        return True

    async def abandon() -> list[object]:
        runtime = service.runtime
        scans = []
        for name in "ab":
            path = tmp_path / name
            path.write_bytes(picture(9))
            new = NewAnalysis(
                id=f"an_{name}", owner="local", kind="image", request_id=name, media_sha256="", media_bytes=1
            )
            place = runtime.places.enter(2)
            scan = runtime.predict(Upload(path=path, sha256="", size_bytes=1), new, place=place, is_gone=gone)
            scans.append(scan)
            places.append(place)
        answers = await asyncio.gather(*scans, return_exceptions=True)
        for place in places:
            place.release()  # as the middleware does at the end of a request
        in_work = runtime.places.in_work
        service.hold.set()
        while runtime.places.in_work:
            await asyncio.sleep(0.01)
        return [*answers, in_work]

    first, second, in_work = asyncio.run(abandon())
    assert isinstance(first, Refused)
    assert isinstance(second, Refused)
    assert first.problem.type == second.problem.type == "client-gone"
    assert in_work == 1
    assert service.metric("deepfakestream_p_fake_count") == 1


def test_of_a_refused_upload_nothing_stays_on_disk(
    start_service: Starter, picture: Picture, tmp_path: Path
) -> None:
    service = start_service()
    for content in (picture(2), b"", b"bad"):
        service.post("/v1/images", content)
    service.client.post("/v1/images", files={"picture": b"x"})
    assert [path for path in (tmp_path / "work" / "media").rglob("*") if path.is_file()] == []


def test_many_at_once_all_get_their_own_answer(start_service: Starter, picture: Picture) -> None:
    service = start_service(max_concurrency=32)
    reds = list(range(10, 42))
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda red: service.post("/v1/images", picture(red)).json(), reds))
    assert [answer["p_fake"] for answer in answers] == pytest.approx([red / 255 for red in reds])
    assert len({answer["prediction_id"] for answer in answers}) == len(reds)


def test_a_picture_does_not_queue_behind_videos(
    start_service: Starter, picture: Picture, clip: bytes
) -> None:
    service = start_service(max_concurrency=1)
    service.hold_clips.clear()
    ids = [service.post("/v1/videos", clip).json()["id"] for _ in range(3)]
    assert service.post("/v1/images", picture(51)).status_code == 200
    assert service.runtime.stores.queue.state().num_queued >= 2
    service.hold_clips.set()
    assert {service.wait_for(each)["status"] for each in ids} == {"succeeded"}


def test_the_model_is_described(start_service: Starter) -> None:
    answer = start_service().client.get("/v1/model").json()
    assert (answer["name"], answer["version"], answer["source"]) == ("stub", "3", "registry")
    assert answer["operating_point"] == "balanced"
    assert answer["operating_points"]["balanced"]["fpr"] == 0.05
    assert answer["card"] is None


def test_predictions_are_counted(start_service: Starter, picture: Picture) -> None:
    service = start_service()
    service.post("/v1/images", picture(204))
    service.post("/v1/images", b"", headers={"content-encoding": "gzip"})
    assert service.metric("deepfakestream_predictions_total", kind="image", verdict="likely_fake") == 1
    assert service.metric("deepfakestream_p_fake_count") == 1
    assert service.metric("deepfakestream_stage_seconds_count", stage="extract") == 1
    assert service.metric("deepfakestream_shed_total", reason="unsupported-media-type") == 1
    assert service.metric("deepfakestream_model_info", name="stub", version="3", weights_sha256="ff3") == 1


def test_the_docs_page_fetches_nothing_from_elsewhere(start_service: Starter) -> None:
    response = start_service().client.get("/docs")
    assert response.status_code == 200
    assert "http" not in response.text.replace("http-equiv", "")
    assert response.headers["content-security-policy"].startswith("default-src 'none'; connect-src 'self'")
