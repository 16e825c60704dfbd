"""The queue: one worker a job, one outcome a job, whatever happens to workers."""

from __future__ import annotations

import multiprocessing
from typing import Any

import pytest

from deepfakestream.jobs.analyses import Analyses
from deepfakestream.jobs.queue import LEASE_S, MAX_ATTEMPTS, JobQueue
from deepfakestream.jobs.tables import open_job_store
from deepfakestream.jobs.types import PRIORITIES, Explanation, Failure, Retention
from deepfakestream.jobs.usage import read_usage

from .conftest import Store, verdict

FAILURE = Failure(type="corrupt-media", status=400, title="t", detail="d", reason="unreadable")


def test_a_job_is_at_one_worker_and_ends_once(store: Store) -> None:
    analysis_id = store.submit()
    job = store.queue.claim("one")
    assert job is not None
    assert (job.analysis_id, job.task, job.attempts) == (analysis_id, "scan", 1)
    assert store.queue.claim("two") is None
    assert store.queue.finish(job, verdict())
    assert not store.queue.finish(job, FAILURE)
    done = store.analyses.get(analysis_id)
    assert done is not None
    assert (done.status, done.result, done.p_fake) == ("succeeded", {"p_fake": 0.9}, 0.9)
    assert store.kinds(analysis_id) == ["queued", "running", "succeeded"]


def test_live_goes_before_batch_and_then_the_oldest(store: Store) -> None:
    batch = store.submit(priority=PRIORITIES["batch"])
    store.now += 1
    first = store.submit()
    store.now += 1
    second = store.submit()
    assert [store.queue.position(each) for each in (first, second, batch)] == [1, 2, 3]
    order = [store.queue.claim("w") for _ in range(3)]
    assert [job.analysis_id for job in order if job] == [first, second, batch]
    assert store.queue.position(first) is None


def test_a_lease_that_is_not_renewed_goes_to_another_worker(store: Store) -> None:
    analysis_id = store.submit()
    slow = store.queue.claim("slow")
    assert slow is not None
    store.now += LEASE_S - 1
    assert store.queue.renew(slow)
    store.now += LEASE_S - 1
    assert store.queue.claim("other") is None
    store.now += 2
    other = store.queue.claim("other")
    assert other is not None
    assert other.attempts == 2
    assert not store.queue.renew(slow)
    assert not store.queue.finish(slow, verdict(0.1))
    assert store.queue.finish(other, verdict(0.8))
    assert store.kinds(analysis_id) == ["queued", "running", "running", "succeeded"]
    (day,) = read_usage(store.database, "local", since="2000-01-01")
    assert (day.items, day.media_s) == (1, 2.5)


def test_progress_is_an_event_and_only_where_it_changed(store: Store) -> None:
    analysis_id = store.submit()
    job = store.queue.claim("w")
    assert job is not None
    for done in (4, 4, 8):
        assert store.queue.renew(job, stage="extract", done=done, total=16)
    seen = store.analyses.events(analysis_id)
    assert [each.data.get("frames_done") for each in seen if each.kind == "progress"] == [4, 8]
    assert [each.seq for each in seen] == [1, 2, 3, 4]
    assert [each.seq for each in store.analyses.events(analysis_id, after=3)] == [4]


def test_a_job_that_always_ends_its_worker_is_given_up(store: Store) -> None:
    analysis_id = store.submit()
    for _ in range(MAX_ATTEMPTS):
        assert store.queue.claim("victim") is not None
        store.now += LEASE_S + 1
    assert store.queue.claim("victim") is None
    failed = store.analyses.get(analysis_id)
    assert failed is not None
    assert failed.failure is not None
    assert (failed.status, failed.failure.type) == ("failed", "worker-lost")


def test_a_worker_that_is_asked_to_end_gives_its_job_back_without_a_mark(store: Store) -> None:
    analysis_id = store.submit()
    job = store.queue.claim("w")
    assert job is not None
    store.queue.give_back(job)
    again = store.queue.claim("w")
    assert again is not None
    assert again.attempts == 1
    assert store.kinds(analysis_id) == ["queued", "running", "queued", "running"]


def test_the_jobs_of_a_worker_that_was_killed_are_there_at_once_when_it_is_signed_off(store: Store) -> None:
    store.submit()
    store.queue.register("killed", "here")
    store.queue.register("elsewhere", "there")
    assert store.queue.claim("killed") is not None
    assert store.queue.workers_at("here") == ["killed"]
    store.queue.sign_off("killed")
    assert store.queue.workers_at("here") == []
    assert store.queue.claim("next") is not None


def test_cancel_and_removal_take_the_job_from_its_worker(store: Store) -> None:
    for end in (store.analyses.cancel, store.analyses.remove):
        analysis_id = store.submit()
        job = store.queue.claim("w")
        assert job is not None
        end(analysis_id)
        assert not store.queue.renew(job, stage="extract", done=1, total=2)
        assert not store.queue.finish(job, verdict())
        found = store.analyses.get(analysis_id)
        assert found is None or found.status == "canceled"


def test_a_failure_is_kept_whole(store: Store) -> None:
    analysis_id = store.submit()
    job = store.queue.claim("w")
    assert job is not None
    assert store.queue.finish(job, FAILURE)
    failed = store.analyses.get(analysis_id)
    assert failed is not None
    assert (failed.status, failed.failure) == ("failed", FAILURE)
    assert read_usage(store.database, "local", since="2000-01-01") == []


@pytest.mark.parametrize(
    ("outcome", "state", "number"),
    [(Explanation(faces=({"p_fake": 0.9}, {"p_fake": 0.8})), "ready", 2), (FAILURE, "failed", 0)],
)
def test_heat_maps_are_work_of_their_own_and_asked_for_once(
    store: Store, outcome: Any, state: str, number: int
) -> None:
    analysis_id = store.submit()
    scan = store.queue.claim("w")
    assert scan is not None
    assert store.queue.finish(scan, verdict())
    assert [store.analyses.ask_for_heatmaps(analysis_id) for _ in range(2)] == ["queued", "queued"]
    job = store.queue.claim("w")
    assert job is not None
    assert job.task == "explain"
    assert store.queue.claim("w") is None
    assert store.queue.finish(job, outcome)
    found = store.analyses.get(analysis_id)
    assert found is not None
    assert (found.status, found.heatmaps, len(found.explanation)) == ("succeeded", state, number)


def test_heat_maps_of_a_named_face_join_those_that_are_there(store: Store) -> None:
    analysis_id = store.submit(pictures=True)
    scan = store.queue.claim("w")
    assert scan is not None
    assert scan.pictures
    assert store.queue.finish(scan, verdict(pictures=True))

    def draw(face: tuple[int, int] | None, outcome: Any) -> list[tuple[int, int]]:
        assert store.analyses.ask_for_heatmaps(analysis_id, face) == "queued"
        assert store.analyses.ask_for_heatmaps(analysis_id, (9, 9)) == "queued"
        job = store.queue.claim("w")
        assert job is not None
        assert store.queue.claim("w") is None
        found = store.analyses.get(analysis_id)
        assert found is not None
        assert (job.face, job.num_explained, job.pictures) == (face, len(found.explanation), False)
        assert store.queue.finish(job, outcome)
        found = store.analyses.get(analysis_id)
        assert found is not None
        assert found.heatmaps == ("ready" if found.explanation else "failed")
        return [(each["frame_index"], each["track_id"]) for each in found.explanation]

    def drawn(*faces: tuple[int, int]) -> Explanation:
        return Explanation(faces=tuple({"frame_index": frame, "track_id": track} for frame, track in faces))

    assert draw((4, 0), Failure(type="t", status=422, title="t", detail="d", reason=None)) == []
    assert draw((4, 0), drawn((4, 0))) == [(4, 0)]
    assert store.analyses.ask_for_heatmaps(analysis_id, (4, 0)) == "ready"
    assert draw((5, 1), drawn((5, 1))) == [(4, 0), (5, 1)]
    failed = Failure(type="t", status=422, title="t", detail="d", reason=None)
    assert draw((6, 1), failed) == [(4, 0), (5, 1)]


def test_heat_maps_that_were_ordered_follow_the_verdict_unless_there_is_nothing_to_draw(store: Store) -> None:
    for p_fake, then in ((0.9, "explain"), (None, None)):
        analysis_id = store.submit(heatmaps=True)
        scan = store.queue.claim("w")
        assert scan is not None
        assert store.queue.finish(scan, verdict(p_fake))
        job = store.queue.claim("w")
        assert (job.task if job else None) == then
        found = store.analyses.get(analysis_id)
        assert found is not None
        assert found.heatmaps == ("queued" if then else "failed")
        store.analyses.remove(analysis_id)


def test_the_estimate_comes_from_the_queue(store: Store) -> None:
    for _ in range(2):
        store.submit()
        job = store.queue.claim("w")
        store.now += 6
        assert job is not None
        assert store.queue.finish(job, verdict())
    for _ in range(3):
        store.submit()
    store.queue.register("one", "here")
    store.queue.register("two", "here")
    store.queue.claim("one")
    store.now += 4
    state = store.queue.state()
    assert state.running_s == (4,)
    assert (state.num_queued, state.num_running, state.num_workers) == (2, 1, 2)
    assert state.seconds_each == pytest.approx(6)
    assert [state.eta_s(place) for place in (1, 2)] == pytest.approx([9, 12])
    assert store.queue.num_waiting("local") == 3


def work(url: str, name: str, taken: Any) -> None:
    """Take and finish jobs until there are none; report each."""
    database = open_job_store(url)
    queue = JobQueue(database, Analyses(database, retention=Retention(media_h=1, result_h=1)))
    while job := queue.claim(name):
        taken.put((job.analysis_id, name))
        assert queue.finish(job, verdict())
    taken.put((None, name))
    database.close()


@pytest.mark.slow
def test_workers_in_several_processes_never_take_one_job(store: Store) -> None:
    ids = {store.submit() for _ in range(60)}
    context = multiprocessing.get_context("spawn")
    taken = context.Queue()
    names = ["a", "b", "c"]
    workers = [context.Process(target=work, args=(store.url, name, taken)) for name in names]
    for worker in workers:
        worker.start()
    reports: list[tuple[str | None, str]] = []
    while sum(analysis_id is None for analysis_id, _ in reports) < len(names):
        reports.append(taken.get(timeout=60))
    for worker in workers:
        worker.join(timeout=30)
    done = [analysis_id for analysis_id, _ in reports if analysis_id is not None]
    assert sorted(done) == sorted(ids)
    assert {status for each in ids for status in store.kinds(each)} == {"queued", "running", "succeeded"}
    (day,) = read_usage(store.database, "local", since="2000-01-01")
    assert day.items == 60
