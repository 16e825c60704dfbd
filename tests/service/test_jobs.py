"""Videos as jobs over HTTP: taken, followed, read, ended, removed; with stand-ins for the model."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

from deepfakestream.jobs.queue import MAX_ATTEMPTS
from deepfakestream.jobs.webhooks import sign, webhook_secret
from deepfakestream.monitoring.prediction_log import PredictionLog
from deepfakestream.service import runtime, worker
from deepfakestream.service.scanner import ScannerNotStarted
from deepfakestream.sqlite_url import sqlite_url

Starter = Callable[..., Any]
Picture = Callable[[int], bytes]


def problem(response: Any) -> tuple[int, str]:
    assert response.headers["content-type"] == "application/problem+json", response.text
    return response.status_code, str(response.json()["type"]).rsplit(":", 1)[1]


def test_a_video_becomes_a_job_and_its_parts_can_be_read(
    start_service: Starter, clip: bytes, tmp_path: Path
) -> None:
    service = start_service()
    response = service.post("/v1/videos", clip)
    assert response.status_code == 202
    taken = response.json()
    path = f"/v1/analyses/{taken['id']}"
    assert response.headers["location"] == path
    assert 1 <= int(response.headers["retry-after"]) <= 300
    done = service.wait_for(taken["id"])
    assert (done["status"], done["verdict"], done["error"]) == ("succeeded", "likely_fake", None)
    get = service.client.get
    short = get(f"{path}/result")
    assert short.json() == done["result"]
    assert len(short.content) <= 2048
    assert short.json()["evidence_level"] == "moderate"
    assert short.json()["coverage"]["not_scored"] == [{"start_s": 5.0, "end_s": 10.0, "reason": "no_face"}]
    tracks = get(f"{path}/tracks").json()
    assert [track["num_frames"] for track in tracks["tracks"]] == [3]
    first = get(f"{path}/frames?limit=2").json()
    second = get(f"{path}/frames?limit=2&cursor={first['next_cursor']}").json()
    assert [face["time_s"] for face in first["items"] + second["items"]] == [0.0, 2.0, 4.0]
    assert second["next_cursor"] is None
    assert get(f"{path}/frames?track=7").json()["items"] == []
    report = get(f"{path}/report.json").json()
    assert report["scan"]["file"] == "upload"
    assert report["analysis"]["id"] == taken["id"]
    page = get(f"{path}/report.html")
    assert "upload: said" in page.text
    assert "http" not in page.text
    assert get(f"{path}/report.pdf").content.startswith(b"%PDF-")
    log = PredictionLog(sqlite_url(tmp_path / "work" / "predictions.db"))
    for _ in range(100):
        if log.count():
            break
        time.sleep(0.1)
    assert list(log.newest(5)["prediction_id"]) == [taken["id"]]


def test_a_client_may_wait_for_the_verdict(start_service: Starter, clip: bytes) -> None:
    service = start_service()
    response = service.post("/v1/videos", clip, headers={"prefer": "respond-async, wait=20"})
    assert (response.status_code, response.json()["status"]) == (200, "succeeded")
    assert response.headers["preference-applied"] == "wait=20"
    service.hold_clips.clear()
    response = service.post("/v1/videos", clip, headers={"prefer": "wait=1"})
    assert (response.status_code, response.json()["result"]) == (202, None)
    service.hold_clips.set()


def test_an_image_can_be_fetched_again(start_service: Starter, picture: Picture) -> None:
    service = start_service()
    response = service.client.post("/v1/images", content=picture(204), headers={"content-type": "image/png"})
    answer = response.json()
    assert response.status_code == 200
    assert answer["id"] == answer["prediction_id"]
    again = service.client.get(response.headers["location"]).json()
    assert (again["kind"], again["status"], again["p_fake"]) == ("image", "succeeded", answer["p_fake"])
    assert service.client.get(f"{response.headers['location']}/frames").json()["items"][0]["time_s"] == 0


@pytest.mark.parametrize(
    ("content", "status", "kind"),
    [
        (b"only text", 400, "corrupt-media"),
        (b"a video that breaks", 422, "decoder-crashed"),
    ],
)
def test_a_file_that_cannot_be_scanned_fails_with_its_problem(
    start_service: Starter, content: bytes, status: int, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "RETRY_S", 0.01)
    service = start_service()
    failed = service.finished("/v1/videos", content)
    assert failed["status"] == "failed"
    assert failed["error"]["type"] == f"urn:deepfakestream:problem:{kind}"
    for part in ("result", "tracks", "frames", "report.html", "heatmaps/1.png"):
        response = service.client.get(f"/v1/analyses/{failed['id']}/{part}")
        assert problem(response) == (status, kind)
    assert service.client.get("/v1/usage").json()["days"] == []


def statuses(service: Any, analysis_id: str) -> list[tuple[str, int | None]]:
    events = service.runtime.stores.analyses.events(analysis_id)
    return [(each.data["status"], each.data.get("attempt")) for each in events if each.kind == "status"]


def test_a_video_whose_reader_ended_without_its_fault_is_tried_again(
    start_service: Starter, clip: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "PAUSE_S", 0.01)
    service = start_service()
    service.scanner.failures = [{"not_now": "the processes that read media ended", "counts": True}]
    done = service.finished("/v1/videos", clip)
    assert statuses(service, done["id"]) == [
        ("queued", None), ("running", 1), ("queued", None), ("running", 2), ("succeeded", None),
    ]  # fmt: skip


def test_a_video_that_ends_what_reads_it_each_time_is_given_up(
    start_service: Starter, clip: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "PAUSE_S", 0.01)
    service = start_service()
    service.scanner.failures = [{"not_now": "they ended", "counts": True}] * (MAX_ATTEMPTS + 1)
    failed = service.finished("/v1/videos", clip)
    assert failed["error"]["type"] == "urn:deepfakestream:problem:worker-lost"
    assert len(service.scanner.failures) == 1


@pytest.mark.parametrize(
    "failure", [ScannerNotStarted(), {"not_now": "no room", "counts": False}], ids=["not started", "no room"]
)
def test_a_worker_that_cannot_work_keeps_no_video_from_its_verdict(
    start_service: Starter,
    clip: bytes,
    monkeypatch: pytest.MonkeyPatch,
    failure: Exception | dict[str, Any],
) -> None:
    monkeypatch.setattr(worker, "PAUSE_S", 0.01)
    service = start_service()
    service.scanner.failures = [failure] * (MAX_ATTEMPTS + 1)
    done = service.finished("/v1/videos", clip)
    assert done["status"] == "succeeded"
    assert {attempt for status, attempt in statuses(service, done["id"]) if status == "running"} == {1}


def test_what_is_surely_no_video_is_refused_at_once(start_service: Starter, picture: Picture) -> None:
    service = start_service(work=False)
    assert problem(service.post("/v1/videos", b"")) == (400, "empty-file")
    assert problem(service.post("/v1/videos", b"\xff\xd8\xff\xe0")) == (415, "content-mismatch")
    assert service.client.get("/v1/analyses").json()["items"] == []


def test_a_still_image_among_the_videos_fails(start_service: Starter, picture: Picture) -> None:
    failed = start_service().finished("/v1/videos", picture(9))
    assert failed["error"]["type"].endswith(":content-mismatch")


def test_before_the_verdict_there_is_no_result(start_service: Starter, clip: bytes) -> None:
    service = start_service(work=False)
    analysis_id = service.post("/v1/videos", clip).json()["id"]
    response = service.client.get(f"/v1/analyses/{analysis_id}/result")
    assert problem(response) == (409, "not-ready")
    assert int(response.headers["retry-after"]) >= 1
    state = service.client.get(f"/v1/analyses/{analysis_id}").json()
    assert (state["status"], state["progress"]["queue_position"]) == ("queued", 1)


def test_a_video_that_no_worker_takes_does_not_wait_silently(
    start_service: Starter, clip: bytes, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(runtime, "NO_WORKER_S", 0.5)
    service = start_service(work=False)
    response = service.post("/v1/videos", clip)
    assert (response.status_code, response.headers["retry-after"]) == (202, "300")
    progress = response.json()["progress"]
    assert (progress["workers"], progress["eta_s"]) == (0, None)
    for _ in range(1200):
        if any("no worker runs" in record.message for record in caplog.records):
            break
        time.sleep(0.05)
    time.sleep(2.5)
    assert [record.levelname for record in caplog.records if "no worker" in record.message] == ["WARNING"]
    service.runtime.stores.queue.register("one", "here")
    response = service.client.get(f"/v1/analyses/{response.json()['id']}")
    assert response.json()["progress"]["workers"] == 1
    assert response.json()["progress"]["eta_s"] > 0
    assert int(response.headers["retry-after"]) <= 60


def test_cancel_and_delete(start_service: Starter, clip: bytes, tmp_path: Path) -> None:
    service = start_service()
    service.hold_clips.clear()
    ids = [service.post("/v1/videos", clip).json()["id"] for _ in range(3)]
    canceled = service.client.post(f"/v1/analyses/{ids[2]}/cancel").json()
    assert canceled["status"] == "canceled"
    assert problem(service.client.get(f"/v1/analyses/{ids[2]}/result")) == (409, "canceled")
    assert service.client.delete(f"/v1/analyses/{ids[0]}").status_code == 204
    service.hold_clips.set()
    assert service.wait_for(ids[1])["status"] == "succeeded"
    assert problem(service.client.get(f"/v1/analyses/{ids[0]}")) == (404, "not-found")
    assert problem(service.client.delete(f"/v1/analyses/{ids[0]}")) == (404, "not-found")
    kept = {path.name for path in (tmp_path / "work" / "media").glob("an_*")}
    assert kept == set(ids[1:])


def test_heat_maps_are_drawn_when_they_are_asked_for(start_service: Starter, clip: bytes) -> None:
    service = start_service()
    done = service.finished("/v1/videos", clip)
    path = f"/v1/analyses/{done['id']}/heatmaps"
    response = service.client.get(f"{path}/1.png")
    assert (response.status_code, response.json()["heatmaps"]) == (202, "queued")
    assert service.wait_for(done["id"], heatmaps=True)["num_heatmaps"] == 1
    response = service.client.get(f"{path}/1.png")
    assert (response.status_code, response.headers["content-type"]) == (200, "image/png")
    assert problem(service.client.get(f"{path}/2.png")) == (404, "not-found")
    page = service.client.get(f"/v1/analyses/{done['id']}/report.html").text
    assert "data:image/png;base64," in page
    assert "a warning &lt;b&gt;" in page
    assert service.client.get(f"/v1/analyses/{done['id']}/report.pdf").content.startswith(b"%PDF-")


def test_no_video_waits_for_heat_maps(start_service: Starter, clip: bytes) -> None:
    service = start_service()
    done = service.finished("/v1/videos", clip)
    service.hold_maps.clear()
    assert service.client.get(f"/v1/analyses/{done['id']}/heatmaps/1.png").status_code == 202
    assert service.drawer.is_drawing.wait(timeout=120)
    assert service.finished("/v1/videos", clip)["status"] == "succeeded"
    assert service.client.get(f"/v1/analyses/{done['id']}").json()["heatmaps"] == "queued"
    service.hold_maps.set()
    assert service.wait_for(done["id"], heatmaps=True)["heatmaps"] == "ready"


def test_heat_maps_may_be_ordered_with_the_video(
    start_service: Starter, clip: bytes, picture: Picture
) -> None:
    service = start_service()
    done = service.finished("/v1/videos?heatmaps=true", clip)
    assert service.wait_for(done["id"], heatmaps=True)["heatmaps"] == "ready"
    image = service.post("/v1/images?heatmaps=true", picture(204)).json()
    assert service.wait_for(image["id"], heatmaps=True)["heatmaps"] == "ready"
    faceless = service.post("/v1/images?heatmaps=true", picture(0)).json()
    assert problem(service.client.get(f"/v1/analyses/{faceless['id']}/heatmaps/1.png")) == (404, "not-found")


def test_media_that_are_not_kept_have_no_heat_maps(start_service: Starter, clip: bytes) -> None:
    service = start_service(media_kept_h=0)
    done = service.finished("/v1/videos", clip)
    service.runtime.stores.caretaker.remove_expired()
    response = service.client.get(f"/v1/analyses/{done['id']}/heatmaps/1.png")
    assert problem(response) == (410, "expired")
    assert service.client.get(f"/v1/analyses/{done['id']}/result").status_code == 200


def events_of(text: str) -> list[tuple[int, str, dict[str, Any]]]:
    found = []
    for block in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if "id" in fields:
            found.append((int(fields["id"]), fields["event"], json.loads(fields["data"])))
    return found


def test_events_tell_the_whole_story_and_go_on_where_a_client_was_cut_off(
    start_service: Starter, clip: bytes
) -> None:
    service = start_service()
    done = service.finished("/v1/videos", clip)
    path = f"/v1/analyses/{done['id']}/events"
    response = service.client.get(path)
    assert response.headers["content-type"].startswith("text/event-stream")
    events = events_of(response.text)
    assert [number for number, _, _ in events] == [1, 2, 3, 4, 5]
    seen = [data.get("status") or data["frames_done"] for _, _, data in events]
    assert seen == ["queued", "running", 2, 6, "succeeded"]
    rest = events_of(service.client.get(path, headers={"last-event-id": "3"}).text)
    assert rest == events[3:]
    assert problem(service.client.get(path, headers={"last-event-id": "x"})) == (422, "bad-parameter")


def test_one_idempotency_key_is_one_request(start_service: Starter, clip: bytes, picture: Picture) -> None:
    service = start_service()
    for route, content in (("/v1/videos", clip), ("/v1/images", picture(204))):
        key = {"idempotency-key": f"key of {route}"}
        first = service.post(route, content, headers=key).json()
        assert service.post(route, content, headers=key).json()["id"] == first["id"]
        assert problem(service.post(route, content + b"x", headers=key)) == (422, "idempotency-mismatch")
    assert problem(
        service.post("/v1/videos?priority=batch", clip, headers={"idempotency-key": "key of /v1/videos"})
    )
    assert len(service.client.get("/v1/analyses").json()["items"]) == 2


def test_the_list_is_filtered_and_paged(start_service: Starter, clip: bytes, picture: Picture) -> None:
    service = start_service()
    ids = [service.post("/v1/images", picture(red)).json()["id"] for red in (0, 204, 100)]
    ids.append(service.finished("/v1/videos", clip)["id"])
    seen: list[str] = []
    cursor = ""
    while cursor is not None:
        page = service.client.get(f"/v1/analyses?limit=3{cursor and f'&cursor={cursor}'}").json()
        seen += [each["id"] for each in page["items"]]
        cursor = page["next_cursor"]
    assert seen == ids[::-1]
    assert [each["id"] for each in service.client.get("/v1/analyses?kind=video").json()["items"]] == ids[3:]
    assert len(service.client.get("/v1/analyses?verdict=not_applicable").json()["items"]) == 1
    for wrong in ("status=done", "limit=0", "limit=x", "cursor=x", "cursor=WzFd", "created_from=now"):
        assert problem(service.client.get(f"/v1/analyses?{wrong}")) == (422, "bad-parameter")


def test_feedback_is_given_once_a_source(start_service: Starter, picture: Picture) -> None:
    service = start_service()
    analysis_id = service.post("/v1/images", picture(204)).json()["id"]
    given = {"prediction_id": analysis_id, "label": "real", "source": "ann", "note": "the original is known"}
    post = service.client.post
    assert post("/v1/feedback", json=given).json()["label"] == "real"
    assert post("/v1/feedback", json=given).status_code == 201
    assert problem(post("/v1/feedback", json=given | {"label": "fake"})) == (409, "feedback-conflict")
    assert post("/v1/feedback", json=given | {"label": "fake", "source": ""}).json()["source"] == "local"
    assert problem(post("/v1/feedback", json=given | {"prediction_id": "an_0"})) == (404, "not-found")
    assert problem(post("/v1/feedback", json=given | {"label": "maybe"})) == (422, "bad-parameter")


def test_usage_counts_files_with_a_score(start_service: Starter, clip: bytes, picture: Picture) -> None:
    service = start_service()
    for red in (0, 204, 204):
        service.post("/v1/images", picture(red))
    service.finished("/v1/videos", clip)
    usage = service.client.get("/v1/usage").json()
    counted = {each["kind"]: (each["items"], each["media_s"]) for each in usage["days"]}
    assert counted == {"image": (2, 0.0), "video": (1, 10.0)}
    assert (usage["owner"], usage["images_per_day"], usage["videos_waiting"]) == ("local", None, 0)


def test_a_full_queue_is_said_with_a_time(start_service: Starter, clip: bytes) -> None:
    service = start_service(work=False, max_queued=2)
    for _ in range(2):
        assert service.post("/v1/videos", clip).status_code == 202
    response = service.post("/v1/videos", clip)
    assert problem(response) == (503, "overloaded")
    assert int(response.headers["retry-after"]) >= 10
    assert response.headers["ratelimit-policy"] == '"capacity";q=2'


class Receiver(BaseHTTPRequestHandler):
    """Answers webhooks with the statuses that a test wants, and keeps what came."""

    statuses: ClassVar[list[int]] = []
    came: ClassVar[list[tuple[dict[str, str], bytes]]] = []

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.came.append(({name.lower(): value for name, value in self.headers.items()}, body))
        self.send_response(self.statuses.pop(0) if self.statuses else 204)
        self.send_header("location", "/elsewhere")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


def test_a_webhook_is_signed_and_comes_again_until_it_is_taken(
    start_service: Starter, clip: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    from deepfakestream.jobs import webhooks

    monkeypatch.setattr(webhooks, "BACKOFF_S", (0.1, 0.1, 0.1))
    monkeypatch.setattr(Receiver, "statuses", [500, 302])
    monkeypatch.setattr(Receiver, "came", [])
    server = HTTPServer(("127.0.0.1", 0), Receiver)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        service = start_service(settings={"webhook_private": True})
        url = f"http://127.0.0.1:{server.server_port}/hook?a=b"
        done = service.finished(f"/v1/videos?webhook_url={url}", clip)
        for _ in range(200):
            if len(Receiver.came) >= 3:
                break
            time.sleep(0.05)
        time.sleep(0.5)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert len(Receiver.came) == 3  # refused, redirected (and not followed), taken
    headers, body = Receiver.came[-1]
    assert len({each["webhook-id"] for each, _ in Receiver.came}) == 1
    secret = webhook_secret(service.runtime.stores.database, "local")
    expected = sign(secret, headers["webhook-id"], int(headers["webhook-timestamp"]), body)
    assert headers["webhook-signature"] == expected
    message = json.loads(body)
    assert message["type"] == "analysis.succeeded"
    assert message["data"]["id"] == done["id"]


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/",
        "https://127.0.0.1/",
        "https://localhost/",
        "https://u:p@example.com/",
        "x",
        "https://two..dots/",
        "https://%C3%A4/%C3%A4",
    ],
)
def test_a_webhook_to_this_network_is_refused_before_the_upload_is_kept(
    start_service: Starter, clip: bytes, url: str
) -> None:
    service = start_service(work=False)
    assert problem(service.post(f"/v1/videos?webhook_url={url}", clip)) == (422, "unsafe-url")
    assert service.client.get("/v1/analyses").json()["items"] == []


def test_strange_paths_are_one_metric(start_service: Starter) -> None:
    service = start_service(work=False)
    before = len(service.client.get("/metrics").text.splitlines())
    for number in range(50):
        service.client.get(f"/no/such/path/{number}")
        service.client.get(f"/v1/analyses/an_{number:032x}")
    text = service.client.get("/metrics").text
    assert len(text.splitlines()) - before < 100
    assert 'deepfakestream_requests_total{endpoint="other",method="GET",status="404"} 50.0' in text


def test_the_model_list_and_its_card(start_service: Starter) -> None:
    client = start_service(work=False).client
    assert client.get("/v1/models").json()["items"] == [client.get("/v1/model").json()]
    assert problem(client.get("/v1/models/3/card")) == (404, "not-found")
