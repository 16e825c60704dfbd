"""Pictures and heat maps of an analysis over HTTP; with stand-ins for the model."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deepfakestream.jobs.media_store import FolderStore
from deepfakestream.service.pictures import MAX_BYTES, keep_pictures, pictures_in

Starter = Callable[..., Any]
Picture = Callable[[int], bytes]
PARTS = ("frames/0.jpg", "faces/0-0.png", "noise/0-0.png")


def problem(response: Any) -> tuple[int, str]:
    assert response.headers["content-type"] == "application/problem+json", response.text
    return response.status_code, str(response.json()["type"]).rsplit(":", 1)[1]


def test_pictures_are_kept_when_they_are_asked_for(start_service: Starter, clip: bytes) -> None:
    service = start_service()
    done = service.finished("/v1/videos?pictures=true", clip)
    assert done["pictures"] is True
    path = f"/v1/analyses/{done['id']}/pictures"
    for part, media_type in zip(PARTS, ("image/jpeg", "image/png", "image/png"), strict=True):
        response = service.client.get(f"{path}/{part}")
        assert (response.status_code, response.headers["content-type"]) == (200, media_type)
    assert problem(service.client.get(f"{path}/frames/9.jpg")) == (404, "not-found")
    assert problem(service.client.get(f"{path}/frames/-1.jpg")) == (422, "bad-parameter")


def test_without_being_asked_for_there_are_none(start_service: Starter, clip: bytes) -> None:
    service = start_service()
    done = service.finished("/v1/videos", clip)
    assert done["pictures"] is False
    assert problem(service.client.get(f"/v1/analyses/{done['id']}/pictures/{PARTS[0]}")) == (404, "not-found")


def test_pictures_go_with_the_file(start_service: Starter, clip: bytes, tmp_path: Path) -> None:
    service = start_service(media_kept_h=0)
    done = service.finished("/v1/videos?pictures=true", clip)
    service.runtime.stores.caretaker.remove_expired()
    path = f"/v1/analyses/{done['id']}"
    assert service.client.get(path).json()["pictures"] is False
    assert problem(service.client.get(f"{path}/pictures/{PARTS[0]}")) == (410, "expired")
    assert not list((tmp_path / "work" / "media").glob("*/picture-*"))


def test_the_heat_maps_of_one_face_are_drawn_when_it_is_named(start_service: Starter, clip: bytes) -> None:
    service = start_service()
    done = service.finished("/v1/videos", clip)
    path = f"/v1/analyses/{done['id']}/heatmaps"
    listed = service.client.get(path).json()
    assert (listed["heatmaps"], listed["faces"]) == ("none", [])
    for number, frame in enumerate((2, 0), 1):
        face = {"frame": frame, "track_id": 0}
        response = service.client.post(path, json=face)
        assert (response.status_code, response.json()["heatmaps"]) == (202, "queued")
        assert service.wait_for(done["id"], heatmaps=True)["num_heatmaps"] == number
        response = service.client.post(path, json=face)
        assert response.status_code == 200
        drawn = response.json()["faces"][number - 1]
        assert (drawn["number"], drawn["frame"], drawn["track_id"]) == (number, frame, 0)
        assert drawn["logit_by_stream"] == {"rgb": 0.5, "bias": -0.1}
        (found,) = drawn["maps"]
        assert found["faithful"] is False
        for picture in (drawn["picture"], found["picture"]):
            response = service.client.get(picture)
            assert (response.status_code, response.headers["content-type"]) == (200, "image/png")
    pictures = [service.client.get(f"{path}/{number}/1.png").content for number in (1, 2)]
    assert pictures[0] != pictures[1]
    assert problem(service.client.get(f"{path}/3/1.png")) == (404, "not-found")
    assert problem(service.client.get(f"{path}/1/2.png")) == (404, "not-found")
    assert problem(service.client.get(f"{path}/3.png")) == (404, "not-found")


def test_a_face_that_was_not_scored_has_no_heat_maps(start_service: Starter, clip: bytes) -> None:
    service = start_service()
    done = service.finished("/v1/videos", clip)
    path = f"/v1/analyses/{done['id']}/heatmaps"
    assert problem(service.client.post(path, json={"frame": 0, "track_id": 5})) == (404, "not-found")
    assert problem(service.client.post(path, json={"frame": "a"})) == (422, "bad-parameter")
    assert service.client.get(path).json()["heatmaps"] == "none"


def test_limits_of_a_verdict_are_sentences(start_service: Starter, clip: bytes) -> None:
    service = start_service()
    done = service.finished("/v1/videos", clip)
    tracks = service.client.get(f"/v1/analyses/{done['id']}/tracks").json()
    assert any("5.0 to 10.0 s has no score" in limit for limit in tracks["limits"])
    assert "5 of 100 genuine" in tracks["rates"]
    frames = service.client.get(f"/v1/analyses/{done['id']}/frames").json()["items"]
    assert [face["frame"] for face in frames] == [0, 1, 2]


@pytest.mark.parametrize("kind", ["other name", "link", "pipe", "large", "folder"])
def test_nothing_but_pictures_is_taken_from_a_folder_that_a_file_may_have_written_to(
    kind: str, tmp_path: Path
) -> None:
    path = tmp_path / "picture-frame-0.jpg"
    if kind == "other name":
        for name in ("media", "heatmap-1.png", "picture-frame-x.jpg", "picture-frame-00000.jpg"):
            (tmp_path / name).write_bytes(b"x")
    elif kind == "link":
        path.symlink_to("/etc/passwd")
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "large":
        with path.open("wb") as file:
            file.truncate(MAX_BYTES + 1)
    else:
        path.mkdir()
    assert pictures_in(tmp_path) == {}


def test_pictures_have_their_names_in_the_store(tmp_path: Path) -> None:
    for name in ("picture-noise-2-1.png", "face-01.png", "face-02-map-3.png"):
        (tmp_path / name).write_bytes(name.encode())
    assert pictures_in(tmp_path, num_explained=4) == {
        "picture-noise-2-1.png": b"picture-noise-2-1.png",
        "heatmap-5.png": b"face-01.png",
        "heatmap-6-map-3.png": b"face-02-map-3.png",
    }


def test_a_store_without_room_says_so(tmp_path: Path) -> None:
    store = FolderStore(tmp_path / "media")
    assert keep_pictures(store, "an_1", {"picture-frame-0.jpg": b"x"})
    (tmp_path / "media" / "an_2").write_bytes(b"a file where the folder should be")
    assert not keep_pictures(store, "an_2", {"picture-frame-0.jpg": b"x"})
