"""Who may call: hosts, sites, keys, scopes, rates and quotas."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from starlette.datastructures import Headers

from deepfakestream.access.keys import KeyStore
from deepfakestream.errors import DataError
from deepfakestream.service.callers import AccessControl, is_loopback
from deepfakestream.service.problems import Refused
from deepfakestream.service.runtime import Runtime
from deepfakestream.settings import Settings

Starter = Callable[..., Any]
Picture = Callable[[int], bytes]


def kind(response: Any) -> tuple[int, str]:
    return response.status_code, str(response.json()["type"]).rsplit(":", 1)[1]


@pytest.fixture
def keyed(start_service: Starter) -> Callable[..., Any]:
    """Starter of a service that asks for keys; returns it and a maker of keys."""

    def start(**options: Any) -> tuple[Any, Callable[..., dict[str, str]]]:
        service = start_service(settings={"access": "keys"}, **options)

        def make(name: str, **limits: Any) -> dict[str, str]:
            secret, _ = service.runtime.stores.keys.create(name, **limits)
            return {"authorization": f"Bearer {secret}"}

        return service, make

    return start


def test_without_a_key_nothing_opens_but_the_probes_and_the_page(keyed: Any, picture: Picture) -> None:
    service, make = keyed(work=False)
    get = service.client.get
    for path in ("/v1/analyses", "/v1/model", "/v1/usage", "/metrics", "/no/such", "/livez/x", "/docs/x"):
        response = get(path)
        assert kind(response) == (401, "unauthorized")
        assert response.headers["www-authenticate"].startswith("Bearer")
    assert kind(service.post("/v1/images", picture(9))) == (401, "unauthorized")
    assert get("/openapi.json").status_code == get("/docs").status_code == 200
    for wrong in ("Bearer no", "Basic abc", "Bearer "):
        assert kind(get("/v1/model", headers={"authorization": wrong})) == (401, "unauthorized")
    key = make("one")
    assert get("/v1/model", headers=key).status_code == 200
    assert get("/v1/model", headers={"x-api-key": key["authorization"][7:]}).status_code == 200


def test_a_key_opens_what_its_scopes_say(keyed: Any, picture: Picture) -> None:
    service, make = keyed(work=False)
    reader, scraper = make("reader", scopes=["read"]), make("scraper", scopes=["metrics"])
    assert service.client.get("/v1/analyses", headers=reader).status_code == 200
    assert kind(service.post("/v1/images", picture(9), headers=reader)) == (403, "forbidden")
    assert kind(service.client.post("/v1/feedback", json={}, headers=reader)) == (403, "forbidden")
    assert service.client.get("/metrics", headers=scraper).status_code == 200
    assert kind(service.client.get("/v1/model", headers=scraper)) == (403, "forbidden")
    assert kind(service.client.get("/metrics", headers=reader)) == (403, "forbidden")


def test_a_key_sees_its_own_analyses_and_admin_sees_all(keyed: Any, picture: Picture) -> None:
    service, make = keyed(work=False)
    one, two, admin = make("one"), make("two"), make("boss", scopes=["read", "scan", "admin"])
    analysis_id = service.post("/v1/images", picture(204), headers=one).json()["id"]
    path = f"/v1/analyses/{analysis_id}"
    for response in (
        service.client.get(path, headers=two),
        service.client.get(f"{path}/report.json", headers=two),
        service.client.get(f"{path}/events", headers=two),
        service.client.post(f"{path}/cancel", headers=two),
        service.client.delete(path, headers=two),
        service.client.post(
            "/v1/feedback", json={"prediction_id": analysis_id, "label": "real"}, headers=two
        ),
    ):
        assert kind(response) == (404, "not-found")
    assert service.client.get("/v1/analyses", headers=two).json()["items"] == []
    for header in (one, admin):
        assert service.client.get(path, headers=header).status_code == 200
        assert len(service.client.get("/v1/analyses", headers=header).json()["items"]) == 1
    key = {"idempotency-key": "same"}
    ids = {service.post("/v1/images", picture(204), headers=each | key).json()["id"] for each in (one, two)}
    assert len(ids) == 2


def test_a_revoked_or_expired_key_opens_nothing(keyed: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from deepfakestream.service import callers

    monkeypatch.setattr(callers, "KEY_CACHE_S", 0.0)
    service, make = keyed(work=False)
    revoked, expired = make("revoked"), make("expired", expires_in_days=-1)
    assert service.client.get("/v1/model", headers=revoked).status_code == 200
    service.runtime.stores.keys.revoke("revoked")
    for header in (revoked, expired):
        assert kind(service.client.get("/v1/model", headers=header)) == (401, "unauthorized")


def test_a_rate_is_kept_and_said(keyed: Any) -> None:
    service, make = keyed(work=False)
    key, other = make("fast", requests_per_minute=3), make("other")
    left = [service.client.get("/v1/model", headers=key).headers["ratelimit"] for _ in range(3)]
    assert [text.split(";")[1] for text in left] == ["r=2", "r=1", "r=0"]
    response = service.client.get("/v1/model", headers=key)
    assert kind(response) == (429, "rate-limited")
    assert 1 <= int(response.headers["retry-after"]) <= 20
    assert response.headers["ratelimit-policy"] == '"requests";q=3;w=60'
    assert service.client.get("/v1/model", headers=other).status_code == 200


def test_quotas_are_of_scored_files_and_said_before_the_upload(
    keyed: Any, picture: Picture, clip: bytes
) -> None:
    service, make = keyed()
    key = make("small", images_per_day=2, video_minutes_per_day=0)
    assert service.post("/v1/images", picture(0), headers=key).status_code == 200  # no score, no charge
    for _ in range(2):
        assert service.post("/v1/images", picture(204), headers=key).status_code == 200
    response = service.post("/v1/images", picture(204), headers=key)
    assert kind(response) == (429, "quota-exceeded")
    assert 1 <= int(response.headers["retry-after"]) <= 86_400
    assert kind(service.post("/v1/videos", clip, headers=key)) == (429, "quota-exceeded")
    usage = service.client.get("/v1/usage", headers=key).json()
    assert (usage["owner"], usage["images_per_day"], usage["days"][0]["items"]) == ("small", 2, 2)


def test_one_key_cannot_fill_the_queue(keyed: Any, clip: bytes) -> None:
    service, make = keyed(work=False, max_queued_per_client=1)
    one, two = make("one"), make("two")
    assert service.post("/v1/videos", clip, headers=one).status_code == 202
    assert kind(service.post("/v1/videos", clip, headers=one)) == (429, "too-many-at-once")
    assert service.post("/v1/videos", clip, headers=two).status_code == 202


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"origin": "http://127.0.0.1:9"},
    ],
)
def test_pages_of_other_sites_cannot_send(
    start_service: Starter, picture: Picture, tmp_path: Path, headers: dict[str, str]
) -> None:
    service = start_service(work=False)
    assert kind(service.post("/v1/images", picture(9), headers=headers)) == (403, "cross-site")
    assert kind(service.client.delete("/v1/analyses/x", headers=headers)) == (403, "cross-site")
    assert service.client.get("/v1/analyses", headers=headers).json()["items"] == []


def test_this_services_own_page_may_send(start_service: Starter, picture: Picture) -> None:
    own = {"origin": "http://127.0.0.1", "sec-fetch-site": "same-origin"}
    assert start_service(work=False).post("/v1/images", picture(9), headers=own).status_code == 200


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:3000", 200), ("localhost", 200), ("[::1]:3000", 200), ("service:3000", 200),
        ("rebind.evil.example", 421), ("127.0.0.1.evil.example", 421), ("", 421),
    ],
)  # fmt: skip
def test_the_service_answers_to_its_own_names(start_service: Starter, host: str, status: int) -> None:
    service = start_service(work=False, settings={"allowed_hosts": "service, other"})
    assert service.client.get("/v1/model", headers={"host": host}).status_code == status


@pytest.fixture
def keys(tmp_path: Path) -> Any:
    store = KeyStore(f"sqlite:///{tmp_path}/keys.db")
    yield store
    store.close()


@pytest.mark.parametrize(
    ("mode", "host", "asks"),
    [
        ("auto", "127.0.0.1", False), ("auto", "::1", False), ("auto", "localhost", False),
        ("auto", "0.0.0.0", True), ("auto", "192.0.2.7", True), ("auto", "example.com", True),
        ("keys", "127.0.0.1", True), ("open", "0.0.0.0", False),
    ],
)  # fmt: skip
def test_keys_are_asked_for_where_others_can_reach(keys: KeyStore, mode: Any, host: str, asks: bool) -> None:
    assert AccessControl(keys, mode=mode, host=host).asks_for_keys is asks


@pytest.mark.parametrize(("mode", "status"), [("auto", 403), ("open", 200)])
def test_a_service_that_listens_elsewhere_than_it_was_told_asks_for_keys(
    keys: KeyStore, mode: Any, status: int
) -> None:
    """`bentoml serve --host 0.0.0.0` goes past our setting."""
    access = AccessControl(keys, mode=mode, host="127.0.0.1")
    scope = {"method": "GET", "path": "/v1/model", "server": ("192.0.2.7", 3000), "client": ("192.0.2.9", 5)}
    found = 200
    try:
        asyncio.run(access.caller(scope, Headers({"host": "192.0.2.7"})))
    except Refused as refused:
        found = refused.problem.status
    assert found == status


def test_without_a_key_the_service_does_not_start_for_others(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text(Path("params.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    runtime = Runtime(settings=lambda: Settings(workspace=tmp_path, host="0.0.0.0"))
    with pytest.raises(DataError, match="keys create"):
        runtime.check()
    runtime.stores.keys.create("one")
    runtime.check()
    runtime.stores.close()


def test_addresses_of_this_machine() -> None:
    assert [is_loopback(host) for host in ("127.0.0.1", "127.9.9.9", "::1", "[::1]", "10.0.0.1")] == [
        True, True, True, True, False,
    ]  # fmt: skip
