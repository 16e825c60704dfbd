"""Where jobs run changes nothing: the seam's promises, kept by each executor."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from deepfakestream.data.extraction.executors import Executor
from deepfakestream.data.extraction.executors.base import ThisProcess
from deepfakestream.data.extraction.executors.process_pool import ProcessPool
from deepfakestream.data.extraction.executors.ray_cluster import RayCluster
from deepfakestream.errors import MissingExtraError, ServerError
from deepfakestream.settings import Settings
from deepfakestream.wiring import extraction_executor

HARMLESS = (signal.SIGWINCH, signal.SIGURG, signal.SIGCHLD, signal.SIGCONT)
"""Ignored by a process that asks for nothing else."""


@pytest.mark.parametrize("executor", [ThisProcess(), ProcessPool(2)], ids=["inline", "process"])
def test_every_job_is_done_once(executor: Executor, tmp_path: Path) -> None:
    jobs = [tmp_path / str(number) for number in range(7)]
    outcomes = list(executor.run(os.mkdir, iter(jobs)))  # making a folder twice is an error
    assert sorted(outcome.job for outcome in outcomes) == jobs
    assert all(job.is_dir() for job in jobs)


def test_this_process_takes_a_job_when_the_last_one_is_done() -> None:
    taken: list[float] = []

    def jobs() -> Iterator[float]:
        for number in range(5):
            taken.append(number)
            yield number

    for outcome in ThisProcess().run(float, jobs()):
        assert taken[-1] == outcome.job


def test_a_pool_takes_few_jobs_ahead() -> None:
    taken: list[float] = []

    def jobs() -> Iterator[float]:
        for _ in range(50):
            taken.append(0.0)
            yield 0.0

    running = ProcessPool(1).run(time.sleep, jobs())
    next(running)
    assert len(taken) <= 3
    running.close()


def test_an_error_of_the_work_ends_the_run() -> None:
    with pytest.raises(ValueError, match="non-negative"):
        list(ProcessPool(1).run(time.sleep, [0.0, -1.0, 0.0]))


@pytest.mark.slow
def test_a_cluster_of_our_own_does_it_all_and_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STARTED_BY_TEST", str(tmp_path))
    ray = pytest.importorskip("ray", reason="the extra ray is not installed")
    cluster = RayCluster(address=None, num_workers=2)
    before = folders()
    jobs = made([tmp_path / str(number) for number in range(7)])
    running = cluster.run(os.rmdir, [*jobs, tmp_path / "absent"])
    done = [next(running).job for _ in range(6)]
    assert len(heirs_of(tmp_path)) >= 4  # two workers, and what serves them
    with pytest.raises(FileNotFoundError) as caught:  # as the work raised it
        list(running)
    assert caught.value.filename == str(tmp_path / "absent")
    assert not any(job.exists() for job in done)
    assert not ray.is_initialized()
    assert folders() == before
    deadline = time.monotonic() + 10
    while heirs_of(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert heirs_of(tmp_path) == []
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"


def heirs_of(mark: Path) -> list[str]:
    """Names of the processes that were started with this mark in their environment, wherever they are now."""
    names = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if f"STARTED_BY_TEST={mark}\0".encode() in (folder / "environ").read_bytes():
                names.append((folder / "comm").read_text().strip())
        except OSError:  # it has ended, or is another user's
            continue
    return names


def made(folders: list[Path]) -> list[Path]:
    for folder in folders:
        folder.mkdir()
    return folders


def folders() -> set[Path]:
    return set(Path("/tmp").glob("ray*"))


def check_isolation(executor: Executor) -> None:
    jobs = [*HARMLESS[:2], signal.SIGKILL, *HARMLESS[2:]]
    outcomes = list(executor.run(signal.raise_signal, jobs))
    assert {outcome.job for outcome in outcomes if outcome.crashed} == {signal.SIGKILL}
    assert sorted(outcome.job for outcome in outcomes) == sorted(jobs)


def test_a_job_that_ends_its_process_takes_no_other_along() -> None:
    check_isolation(ProcessPool(2))


def test_a_cluster_that_is_not_there_is_named() -> None:
    pytest.importorskip("ray", reason="the extra ray is not installed")
    with pytest.raises(ServerError, match=r"no Ray cluster at '127\.0\.0\.1:1'"):
        list(RayCluster(address="127.0.0.1:1", num_workers=1).run(time.sleep, [0.0]))


def test_the_settings_choose() -> None:
    assert isinstance(extraction_executor(Settings()), ProcessPool)
    assert isinstance(extraction_executor(Settings(executor="inline")), ThisProcess)
    assert isinstance(extraction_executor(Settings(executor="ray")), RayCluster)


def test_without_the_extra_the_message_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)  # what an import then finds is an ImportError
    with pytest.raises(MissingExtraError) as caught:
        list(RayCluster(address=None, num_workers=1).run(time.sleep, [0.0]))
    assert (caught.value.module, caught.value.extras) == ("ray", ("ray",))
