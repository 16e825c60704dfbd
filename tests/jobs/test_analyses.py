"""Analyses as clients deal with them, feedback, retention, and the media store."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from deepfakestream.errors import DataError, ServerError
from deepfakestream.host.process_place import is_running, process_name
from deepfakestream.jobs import tables
from deepfakestream.jobs.analyses import Filters, Idempotency, KeyReusedError
from deepfakestream.jobs.feedback import Feedback, add_feedback, read_feedback
from deepfakestream.jobs.media_store import FolderStore
from deepfakestream.jobs.retention import TOMBSTONE_H, Caretaker
from deepfakestream.jobs.tables import MIGRATIONS, open_job_store
from deepfakestream.jobs.types import Analysis

from .conftest import Store, new_analysis, verdict


def test_the_layout_has_the_columns_that_queries_name(store: Store) -> None:
    inspector = sa.inspect(store.database._engine)
    for table in tables._METADATA.tables.values():
        found = {column["name"] for column in inspector.get_columns(table.name)}
        assert found == set(table.columns.keys()), table.name


def test_a_store_of_a_newer_release_is_refused(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "MIGRATIONS", (*MIGRATIONS, "CREATE TABLE later (id TEXT)"))
    open_job_store(store.url).close()
    monkeypatch.undo()
    with pytest.raises(DataError, match=f"layout {len(MIGRATIONS) + 1}, known is {len(MIGRATIONS)}"):
        open_job_store(store.url)


@pytest.mark.parametrize(
    "url", ["nonsense", "mysql://host/name", "sqlite://", "postgresql://u:secret@127.0.0.1:1/none"]
)
def test_an_address_that_cannot_be_used_is_named_without_its_password(url: str) -> None:
    with pytest.raises(DataError, match="job store") as caught:
        open_job_store(url)
    assert "secret" not in str(caught.value)


def test_the_file_is_its_owners_alone(tmp_path: Path) -> None:
    database = open_job_store(f"sqlite:///{tmp_path}/deep/jobs.db")
    with database.writing() as connection:
        connection.exec_driver_sql("INSERT INTO workers VALUES ('a', 'b', 1, 1)")
    modes = {path.stat().st_mode & 0o777 for path in (tmp_path / "deep").iterdir()}
    assert modes == {0o600}
    database.close()


def test_a_database_that_went_away_is_an_error_of_ours(tmp_path: Path) -> None:
    database = open_job_store(f"sqlite:///{tmp_path}/jobs.db")
    with database.writing() as connection:
        connection.exec_driver_sql("DROP TABLE workers")
    with pytest.raises(ServerError, match="job store does not answer"), database.writing() as connection:
        connection.execute(sa.insert(tables.WORKERS).values(id="a"))
    database.close()


def test_a_file_that_is_opened_twice_keeps_its_locks(tmp_path: Path) -> None:
    """Closing a file ends the locks on it; another process would then remove the log of changes."""
    url = f"sqlite:///{tmp_path}/jobs.db"
    code = (
        "import sys\nfrom deepfakestream.jobs.tables import open_job_store\n"
        "database = open_job_store(sys.argv[1])\n"
        "with database.reading() as connection:\n"
        "    print(connection.exec_driver_sql('SELECT COUNT(*) FROM workers').scalar())\n"
        "database.close()"
    )

    def count_elsewhere() -> int:
        done = subprocess.run(
            [sys.executable, "-c", code, url], capture_output=True, text=True, check=True, timeout=60
        )
        return int(done.stdout)

    first = open_job_store(url)
    second = open_job_store(url)
    for number in range(1, 3):
        with first.writing() as connection:
            connection.exec_driver_sql(f"INSERT INTO workers VALUES ('{number}', 'b', 1, 1)")
        assert count_elsewhere() == number
    assert (tmp_path / "jobs.db-wal").exists()
    second.close()
    first.close()


def test_one_key_is_one_request_for_a_day(store: Store) -> None:
    key = Idempotency(key="k", fingerprint="f")
    first = store.analyses.submit(new_analysis(), key)
    assert store.analyses.submit(new_analysis(), key) == first
    assert store.analyses.record(new_analysis(), verdict(), key) == first
    assert store.analyses.known("local", key) == first
    with pytest.raises(KeyReusedError):
        store.analyses.submit(new_analysis(), Idempotency(key="k", fingerprint="other"))
    assert store.analyses.submit(new_analysis(owner="another"), key) != first
    assert len(store.analyses.find(Filters(), limit=10)) == 2
    store.now += 24 * 3600 + 1
    assert store.analyses.submit(new_analysis(), key) != first


def test_requests_of_one_key_at_the_same_time_are_one(store: Store) -> None:
    found: list[str] = []
    start = threading.Barrier(6)

    def submit() -> None:
        start.wait()
        found.append(store.analyses.submit(new_analysis(), Idempotency(key="k", fingerprint="f")))

    threads = [threading.Thread(target=submit) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 6
    assert len(set(found)) == 1
    assert store.queue.state().num_queued == 1


def test_lists_are_filtered_and_read_on_from_where_they_ended(store: Store) -> None:
    ids = []
    for number in range(5):
        ids.append(store.submit(kind="video" if number % 2 else "image"))
        store.now += number % 2  # pairs have the same time
    ids.append(store.submit(owner="another"))
    pages: list[Analysis] = []
    while page := store.analyses.find(
        Filters(owner="local"), limit=2, before=(pages[-1].created_at, pages[-1].id) if pages else None
    ):
        pages += page
    assert sorted(each.id for each in pages) == sorted(ids[:5])
    assert [each.created_at for each in pages] == sorted((each.created_at for each in pages), reverse=True)
    job = store.queue.claim("w")
    assert job is not None
    assert store.queue.finish(job, verdict())
    assert [each.id for each in store.analyses.find(Filters(verdict="likely_fake"), limit=9)] == [
        job.analysis_id
    ]
    assert len(store.analyses.find(Filters(kind="video", owner="local"), limit=9)) == 2
    assert len(store.analyses.find(Filters(status="queued"), limit=9)) == 5
    assert store.analyses.find(Filters(created_from=store.now + 1), limit=9) == []
    assert store.analyses.find(Filters(created_before=1.0), limit=9) == []


def test_an_owner_sees_nothing_of_another(store: Store) -> None:
    analysis_id = store.submit(owner="one")
    assert store.analyses.get(analysis_id, owner="two") is None
    assert store.analyses.get(analysis_id, owner="one") == store.analyses.get(analysis_id)


def test_a_label_is_given_once_a_source(store: Store) -> None:
    def label(source: str, text: Any) -> Feedback:
        return Feedback(
            prediction_id="p", source=source, label=text, note="", owner="local", created_at=store.now
        )

    assert add_feedback(store.database, label("ann", "fake")).label == "fake"
    assert add_feedback(store.database, label("ann", "real")).label == "fake"
    assert add_feedback(store.database, label("bob", "real")).label == "real"
    assert [each.label for each in read_feedback(store.database, "p")] == ["fake", "real"]


def stored(store: Store, media: FolderStore) -> str:
    """An analysis that has ended, with media and a picture made from it."""
    analysis_id = store.submit()
    upload = media.incoming()
    upload.write_bytes(b"face")
    media.keep(analysis_id, upload, durable=True)
    media.write(analysis_id, "heatmap-1.png", b"png")
    job = store.queue.claim("w")
    assert job is not None
    assert store.queue.finish(job, verdict())
    return analysis_id


def test_media_go_first_then_the_result_then_the_memory_of_it(store: Store, tmp_path: Path) -> None:
    media = FolderStore(tmp_path / "media")
    caretaker = Caretaker(store.database, media, clock=lambda: store.now)
    analysis_id = stored(store, media)
    assert caretaker.remove_expired() == 0
    store.now += 3600 + 1
    assert caretaker.remove_expired() == 1
    with pytest.raises(FileNotFoundError), media.media(analysis_id):
        pass
    assert media.read(analysis_id, "heatmap-1.png") == b"png"
    store.now += 48 * 3600
    assert caretaker.remove_expired() == 1
    gone = store.analyses.get(analysis_id)
    assert gone is not None
    assert (gone.status, gone.result, gone.has_media) == ("expired", None, False)
    assert list((tmp_path / "media").glob("an_*")) == []
    assert store.analyses.events(analysis_id) == []
    store.now += 3600 * TOMBSTONE_H
    caretaker.remove_expired()
    assert store.analyses.get(analysis_id) is None


def test_work_in_progress_does_not_expire(store: Store, tmp_path: Path) -> None:
    media = FolderStore(tmp_path / "media")
    analysis_id = stored(store, media)
    store.analyses.ask_for_heatmaps(analysis_id)
    store.now += 100 * 3600
    assert Caretaker(store.database, media, clock=lambda: store.now).remove_expired() == 0


def test_a_kill_between_file_and_row_leaves_nothing_for_long(store: Store, tmp_path: Path) -> None:
    media = FolderStore(tmp_path / "media")
    kept = stored(store, media)
    for analysis_id in ("an_stray", "an_young"):
        upload = media.incoming()
        upload.write_bytes(b"x")
        media.keep(analysis_id, upload, durable=True)
    old = time.time() - 7200
    for name in (kept, "an_stray"):
        os.utime(tmp_path / "media" / name, (old, old))
    Caretaker(store.database, media).remove_strays()
    assert sorted(path.name for path in (tmp_path / "media").glob("an_*")) == sorted([kept, "an_young"])


def test_uploads_of_a_killed_process_are_removed_and_others_stay(tmp_path: Path) -> None:
    media = FolderStore(tmp_path / "media")
    code = (
        "import sys, pathlib, os, signal\n"
        "from deepfakestream.jobs.media_store import FolderStore\n"
        "FolderStore(pathlib.Path(sys.argv[1])).incoming().write_bytes(b'face')\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "media")], check=False, timeout=60)
    mine = media.incoming()
    mine.write_bytes(b"arriving")
    elsewhere = mine.with_name("another-host-12-34-56.ab")
    elsewhere.write_bytes(b"arriving")
    assert len(list(mine.parent.iterdir())) == 3
    media.remove_partial_uploads()
    assert {path.name for path in mine.parent.iterdir()} == {mine.name, elsewhere.name}
    os.utime(elsewhere, (1, 1))
    media.remove_partial_uploads()
    assert [path.name for path in mine.parent.iterdir()] == [mine.name]


def test_scratch_folders_are_removed_also_after_a_kill(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    with store.scratch() as folder:
        (folder / "face-01.png").write_bytes(b"face")
        store.remove_partial_uploads()
        assert (folder / "face-01.png").exists()
    assert not folder.exists()
    code = "from deepfakestream.host.process_place import process_name; print(process_name())"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    left = folder.with_name(f"{done.stdout.strip()}.0")
    left.mkdir()
    (left / "face-01.png").write_bytes(b"face")
    store.remove_partial_uploads()
    assert not left.exists()


def test_pictures_go_with_the_media_and_heat_maps_stay(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    for name in ("media", "picture-frame-0.jpg", "picture-noise-0-0.png", "heatmap-1.png"):
        store.write("an_1", name, b"x")
    store.remove_media("an_1")
    assert [path.name for path in (tmp_path / "an_1").iterdir()] == ["heatmap-1.png"]


def test_a_process_is_told_from_one_that_has_its_number_now() -> None:
    name = process_name()
    assert is_running(name) is True
    assert is_running(f"{name}0") is False
    assert is_running("elsewhere-1-2-3") is None


def test_a_removed_analysis_leaves_no_row(store: Store) -> None:
    analysis_id = store.analyses.submit(new_analysis(), Idempotency(key="k", fingerprint="f"))
    store.analyses.remove(analysis_id)
    with store.database.reading() as connection:
        for name in ("analyses", "jobs", "events", "idempotency"):
            assert connection.exec_driver_sql(f"SELECT COUNT(*) FROM {name}").scalar() == 0


def test_finished_analyses_reach_the_prediction_log_once(store: Store, tmp_path: Path) -> None:
    caretaker = Caretaker(store.database, FolderStore(tmp_path / "media"))
    analysis_id = store.submit()
    store.analyses.record(new_analysis(kind="image"), verdict())  # its answer is in the log already
    logged: list[str] = []
    assert caretaker.log_finished(lambda each: logged.append(each.id)) == 0
    job = store.queue.claim("w")
    assert job is not None
    assert store.queue.finish(job, verdict())
    assert caretaker.log_finished(lambda each: logged.append(each.id)) == 1
    assert caretaker.log_finished(lambda each: logged.append(each.id)) == 0
    assert logged == [analysis_id]
