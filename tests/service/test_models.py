"""The provider: champion, fallback, swap; what is served never gets worse by a failing load."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deepfakestream.errors import ServerError, WeightsError
from deepfakestream.model.folder import model_sha256
from deepfakestream.model.packaged import packaged_model_dir
from deepfakestream.monitoring.alert_book import AlertBook
from deepfakestream.registry.kept import KEPT_FILE, version_folder
from deepfakestream.service.model_source import PACKAGED, ModelChoice, RegistrySource
from deepfakestream.settings import Settings

Starter = Callable[..., Any]


@pytest.fixture
def served(start_service: Starter) -> Any:
    return start_service()


def version(service: Any) -> str:
    return str(service.runtime.provider.current.engine.model.version)


def test_the_champion_is_served_and_followed(served: Any) -> None:
    assert version(served) == "3"
    before = served.runtime.provider.current
    served.source.version = "4"
    served.runtime.provider.refresh()
    assert version(served) == "4"
    assert before.engine.model.version == "3"
    info = [
        served.metric("deepfakestream_model_info", name="stub", version=v, weights_sha256="ff" + v)
        for v in "34"
    ]
    assert info == [0, 1]


def test_the_same_champion_is_not_loaded_again(served: Any) -> None:
    before = served.runtime.provider.current
    served.runtime.provider.refresh()
    assert served.runtime.provider.current is before


def test_every_outcome_of_a_load_is_counted_from_the_start(served: Any) -> None:
    """The first failure must be an increase, so the counter stands at 0 before it."""
    assert served.metric("deepfakestream_model_loads_total", outcome="failed") == 0
    assert served.metric("deepfakestream_model_loads_total", outcome="served") == 1


def test_a_champion_that_does_not_answer_shows_until_one_does(served: Any) -> None:
    seen = []
    for champion in ("3", "66", "66", "3", "67", "4", "66", None):
        served.source.version = champion
        served.runtime.provider.refresh()
        seen.append(served.metric("deepfakestream_champion_waits"))
    assert seen == [0, 1, 1, 0, 1, 0, 1, 0]


@pytest.mark.parametrize("bad", ["66", "67"], ids=["gives NaN", "depends on the batch"])
def test_a_model_that_fails_its_canary_never_answers(served: Any, bad: str) -> None:
    served.source.version = bad
    for _ in range(3):
        served.runtime.provider.refresh()
    assert version(served) == "3"
    assert served.metric("deepfakestream_model_loads_total", outcome="failed") == 1


def test_a_registry_that_goes_down_or_loses_its_champion_changes_nothing(served: Any) -> None:
    served.source.down = True
    served.runtime.provider.refresh()
    assert version(served) == "3"
    served.source.down, served.source.version = False, None
    served.runtime.provider.refresh()
    assert version(served) == "3"


def test_files_that_cannot_be_fetched_are_a_failed_load(start_service: Starter, served: Any) -> None:
    """Whatever is raised: a full disk is no error of ours."""
    served.source.disk_full = True
    served.source.version = "4"
    served.runtime.provider.refresh()
    assert version(served) == "3"
    assert served.metric("deepfakestream_model_loads_total", outcome="failed") == 1


def test_without_a_champion_the_packaged_model_speaks(start_service: Starter, served: Any) -> None:
    service = start_service(source=type(served.source)(version=None))
    assert version(service) == "0"
    assert service.client.get("/v1/model").json()["source"] == "package"
    service.source.version = "5"
    service.runtime.provider.refresh()
    assert version(service) == "5"


@pytest.mark.parametrize("trouble", [{"down": True}, {"missing": {"3"}}])
def test_with_a_registry_in_trouble_at_start_the_packaged_model_speaks(
    start_service: Starter, served: Any, trouble: dict[str, Any]
) -> None:
    service = start_service(source=type(served.source)(**trouble))
    assert version(service) == "0"
    waits = service.metric("deepfakestream_champion_waits")
    assert waits == 1


def test_with_the_registry_away_at_start_the_champion_that_answered_last_speaks(
    start_service: Starter, served: Any
) -> None:
    last = ModelChoice(version="4", source="registry")
    service = start_service(source=type(served.source)(down=True, answered_last=last))
    assert version(service) == "4"
    assert service.metric("deepfakestream_champion_waits") == 1
    service.source.down = False
    service.runtime.provider.refresh()
    assert version(service) == "3"
    assert service.metric("deepfakestream_champion_waits") == 0
    assert service.source.answered_last == ModelChoice(version="3", source="registry")


def test_nothing_is_answered_before_a_model_is_there(start_service: Starter, served: Any) -> None:
    service = start_service(source=type(served.source)(version=None, missing={"0"}), wait=False)
    assert service.runtime.not_ready is not None
    response = service.post("/v1/images", b"x")
    assert (response.status_code, response.headers["retry-after"]) == (503, "2")
    assert service.client.get("/v1/model").status_code == 503


def test_requests_during_a_swap_keep_the_model_they_started_with(
    served: Any, picture: Callable[[int], bytes]
) -> None:
    served.hold.clear()
    answers: list[Any] = []
    request = threading.Thread(target=lambda: answers.append(served.post("/v1/images", picture(9)).json()))
    request.start()
    assert served.runtime.provider.current.engine.entered.wait(timeout=20)
    served.source.version = "4"
    served.runtime.provider.refresh()
    served.hold.set()
    request.join(timeout=20)
    assert answers[0]["model"]["version"] == "3"
    assert served.post("/v1/images", picture(9)).json()["model"]["version"] == "4"


def test_a_workspace_without_a_registry_has_no_champion_and_gets_none_made(tmp_path: Path) -> None:
    source = RegistrySource(Settings(workspace=tmp_path))
    assert source.champion() is None
    assert list(tmp_path.iterdir()) == []
    assert (source.directory(PACKAGED) / "spec.json").is_file()


class TestKeptChampion:
    """A champion that answered is kept with its files and their digest."""

    CHOICE = ModelChoice(version="7", source="registry")

    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        directory = version_folder(tmp_path / "work" / "models", 7, model_sha256(packaged_model_dir()))
        shutil.copytree(packaged_model_dir(), directory)
        return directory

    def source(self, tmp_path: Path, **settings: Any) -> RegistrySource:
        return RegistrySource(Settings(workspace=tmp_path, **settings))

    def test_it_answers_without_a_registry(self, tmp_path: Path, folder: Path) -> None:
        source = self.source(tmp_path)
        source.keep(self.CHOICE, folder)
        assert source.champion() == self.CHOICE
        assert source.directory(self.CHOICE) == folder

    def test_it_answers_while_the_registry_is_away(self, tmp_path: Path, folder: Path) -> None:
        source = self.source(tmp_path, tracking_uri="http://127.0.0.1:9")
        source.keep(self.CHOICE, folder)
        assert source.kept() == self.CHOICE
        assert source.directory(self.CHOICE) == folder
        with pytest.raises(ServerError):
            source.directory(ModelChoice(version="8", source="registry"))

    @pytest.mark.parametrize("damage", ["changed", "missing", "no note", "damaged note", "note of a list"])
    def test_it_is_never_used_when_damaged(self, tmp_path: Path, folder: Path, damage: str) -> None:
        source = self.source(tmp_path)
        source.keep(self.CHOICE, folder)
        note = folder.parent / KEPT_FILE
        if damage == "changed":
            (folder / "spec.json").write_text("{}")
        elif damage == "missing":
            (folder / "model.onnx").unlink()
        elif damage == "no note":
            note.unlink()
        else:
            note.write_text("[]" if damage == "note of a list" else "{")
        assert source.champion() is None
        with pytest.raises(ServerError):
            source.directory(self.CHOICE)

    def test_a_note_that_cannot_be_written_stops_nothing(self, tmp_path: Path, folder: Path) -> None:
        source = self.source(tmp_path)
        (folder.parent / KEPT_FILE).mkdir()  # as a full disk, it refuses the file
        source.keep(self.CHOICE, folder)
        assert source.kept() is None

    def test_the_packaged_model_needs_no_note(self, tmp_path: Path) -> None:
        self.source(tmp_path).keep(PACKAGED, packaged_model_dir())
        assert list(tmp_path.iterdir()) == []


def test_canary_errors_name_the_version(served: Any) -> None:
    from deepfakestream.service.models import run_canary

    engine = type(served.runtime.provider.current.engine)("66", served.hold, served.hold_clips)
    with pytest.raises(WeightsError, match="version 66: "):
        run_canary(engine)


def test_a_champion_that_cannot_be_served_is_one_alert_until_one_answers(served: Any) -> None:
    settings = served.runtime.settings
    for champion in ("66", "66", "4", "66", "4", None):
        served.source.version = champion
        served.runtime.provider.refresh()
    book = AlertBook(settings.alerts_db, directory=settings.alerts_dir)
    found = [(alert.kind, alert.state) for alert in reversed(book.newest(9))]
    assert found == 2 * [("champion.not_served", "begins"), ("champion.not_served", "over")]
