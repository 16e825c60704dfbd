from __future__ import annotations

import io
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import psutil
import pytest

from deepfakestream.errors import ParamsError, ServerError
from deepfakestream.host.process_place import process_name
from deepfakestream.local import liveness, rotated_log, servers, starting, status
from deepfakestream.local.catalogue import CATALOGUE, ServerSpec, common_environment
from deepfakestream.local.child import Child
from deepfakestream.local.console import Console
from deepfakestream.local.keeper import STABLE_S, Keeper
from deepfakestream.local.liveness import Liveness
from deepfakestream.local.pages import pages
from deepfakestream.local.ports import require_free
from deepfakestream.local.proxies import without_proxy
from deepfakestream.local.running_record import (
    RunningRecord,
    RunningServer,
    is_up,
    read_record,
    require_none_runs,
    stop_all,
    write_record,
)
from deepfakestream.monitoring.alert_book import AlertBook
from deepfakestream.settings import Settings

ROOT = Path(__file__).parents[2]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(
        workspace=tmp_path,
        mlflow_port=free_port(),
        prefect_port=free_port(),
        evidently_port=free_port(),
        service_port=free_port(),
    )


def ports(settings: Settings) -> list[int]:
    return [settings.mlflow_port, settings.prefect_port, settings.evidently_port, settings.service_port]


def spec(name: str, script: str, **more: object) -> ServerSpec:
    """A server that is a Python script."""
    return ServerSpec(name=name, command=(sys.executable, "-u", "-c", script), **more)  # type: ignore[arg-type]


def start(specs: list[ServerSpec], settings: Settings) -> list[tuple[str, str]]:
    """Start, stop, and return what the servers said."""
    said: list[tuple[str, str]] = []
    children: list[Child] = []
    try:
        starting.start(specs, settings, lambda name, line: said.append((name, line)), children)
    finally:
        for child in reversed(children):
            child.stop(grace_s=2.0)
    assert all(child.exit_status is not None for child in children)
    return said


def test_what_an_earlier_process_said_does_not_count(tmp_path: Path) -> None:
    log = tmp_path / "one.log"
    log.write_text("ready now\n")
    child = Child(
        "one",
        (sys.executable, "-c", "import time; time.sleep(600)"),
        environment={},
        cwd=tmp_path,
        log=log,
        listener=lambda _name, _line: None,
    )
    try:
        assert not child.has_said("ready now")
    finally:
        child.stop(grace_s=2.0)


STAYS = "import time; print('up', flush=True); time.sleep(600)"


def alerted(settings: Settings) -> list[tuple[str, str, str]]:
    book = AlertBook(settings.alerts_db, directory=settings.alerts_dir)
    return [(one.kind, one.state, one.summary.split()[0]) for one in reversed(book.newest(99))]


def test_a_server_that_ends_is_started_again_after_longer_pauses_and_the_others_go_on(
    settings: Settings,
) -> None:
    specs = {name: spec(name, STAYS, ready_words="up") for name in ("flows", "service")}
    said: list[str] = []
    children: list[Child] = []
    now = 1000.0
    try:
        starting.start(list(specs.values()), settings, lambda _name, line: said.append(line), children)
        running = servers.RunningServers(
            settings=settings,
            addresses={},
            children=children,
            specs=specs,
            listener=lambda _name, _line: None,
        )
        keeper = Keeper(children, specs, settings, lambda _name, line: said.append(line), clock=lambda: now)
        service = children[1]
        pauses = []
        for _ in range(3):
            former = children[0]
            former.stop(grace_s=0.1)
            with pytest.raises(ServerError, match="flows ended"):
                running.check()
            before = now
            keeper.look()
            while children[0] is former:
                now += 0.5
                keeper.look()
            pauses.append(now - before)
        assert pauses == [0.0, 1.0, 2.0]
        assert children[1] is service
        assert service.exit_status is None
        assert any("starting it again" in line for line in said)
        assert alerted(settings) == [("server.ended", "begins", "flows")]

        record = read_record(settings.work_dir)
        assert record is not None
        assert record.servers["flows"].num_restarts == 3
        assert record.servers["flows"].pid == children[0].pid
        now += STABLE_S + 1
        keeper.look()
        keeper.look()
        assert alerted(settings) == [("server.ended", "begins", "flows"), ("server.ended", "over", "flows")]
    finally:
        for child in children:
            child.stop(grace_s=0.1)


class Deaf(Liveness):
    """What asks a server, without asking: tests say what came of it."""

    def __init__(self, url: str) -> None:
        self.url, self.hung, self.well, self.stopped = url, False, True, False

    @property
    def is_hung(self) -> bool:
        return self.hung

    @property
    def is_well(self) -> bool:
        return self.well

    def stop(self) -> None:
        self.stopped = True


def test_a_server_that_hangs_is_ended_and_started_again_and_the_others_go_on(settings: Settings) -> None:
    specs = {name: spec(name, STAYS, ready_words="up") for name in ("flows", "service")}
    specs["service"] = replace(specs["service"], live_url="http://127.0.0.1:9/livez")
    children: list[Child] = []
    asked: list[Deaf] = []
    said: list[str] = []
    now = 1000.0

    def ask(url: str) -> Deaf:
        asked.append(Deaf(url))
        return asked[-1]

    try:
        starting.start(list(specs.values()), settings, lambda _name, _line: None, children)
        keeper = Keeper(
            children, specs, settings, lambda _name, line: said.append(line), clock=lambda: now, ask=ask
        )
        flows = children[0]
        pauses = []
        for _ in range(2):
            former = children[1]
            asked[-1].hung, asked[-1].well = True, False
            before = now
            keeper.look()
            while children[1] is former:
                now += 0.5
                keeper.look()
            pauses.append(now - before)
            assert former.exit_status is not None
        assert pauses == [0.0, 1.0]
        assert children[0] is flows
        assert flows.exit_status is None
        assert [one.url for one in asked] == ["http://127.0.0.1:9/livez"] * 3
        assert [one.stopped for one in asked] == [True, True, False]
        assert alerted(settings) == [("server.hung", "begins", "service")]
        assert sum("does not answer" in line for line in said) == 2

        again = children[1]
        asked[-1].hung = True
        keeper.look()
        asked[-1].hung = False  # it came to itself before the end of the pause
        now += 100
        asked[-1].well = False
        keeper.look()
        assert children[1] is again
        assert again.exit_status is None
        assert len(alerted(settings)) == 1
        asked[-1].well = True
        keeper.look()
        assert alerted(settings) == [("server.hung", "begins", "service"), ("server.hung", "over", "service")]
        keeper.stop()
        assert asked[-1].stopped
    finally:
        for child in children:
            child.stop(grace_s=0.1)


ANSWERS_SLOWLY = """
import http.server, sys, time
class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        time.sleep(float(sys.argv[2]))
        self.send_response(int(self.path[1:]))
        self.end_headers()
    def log_message(self, *_): pass
print("ready now", flush=True)
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Page).serve_forever()
"""


def await_that(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 300.0
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_server_is_hung_after_many_questions_and_after_more_where_it_never_answered() -> None:
    first, later = liveness.MAX_UNANSWERED_AT_START, liveness.MAX_UNANSWERED
    statuses = [503] * first + [200] + [503] * (later - 1) + [200] + [503] * later
    states: list[tuple[bool, bool]] = []
    given: list[Liveness] = []
    can_begin, is_over = threading.Event(), threading.Event()

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            assert can_begin.wait(60)
            states.append((given[0].is_hung, given[0].is_well))
            if len(states) > len(statuses):
                given[0].stop()
                is_over.set()
            self.send_response(statuses[min(len(states), len(statuses)) - 1])
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Page) as page:
        thread = threading.Thread(target=page.serve_forever, args=(0.01,))
        thread.start()
        given.append(Liveness(f"http://127.0.0.1:{page.server_port}/", period_s=0.0, timeout_s=60.0))
        can_begin.set()
        over = is_over.wait(60)
        page.shutdown()
        thread.join()
    assert over
    hung, well = ([number for number, state in enumerate(states) if state[kind]] for kind in (0, 1))
    assert hung == [first, len(statuses)]
    assert well == [first + 1, first + 1 + later]


@pytest.mark.slow
def test_a_stopped_server_is_started_again_and_a_busy_one_is_not(settings: Settings) -> None:
    """A real server that is stopped by SIGSTOP; the other takes two seconds an answer."""
    found = {name: free_port() for name in ("service", "evidently")}
    specs = {
        name: ServerSpec(
            name=name,
            command=(sys.executable, "-c", ANSWERS_SLOWLY, str(port), "2" if name == "evidently" else "0"),
            ready_words="ready now",
            live_url=f"http://127.0.0.1:{port}/200",
        )
        for name, port in found.items()
    }
    children: list[Child] = []
    asked: list[Liveness] = []

    def ask(url: str) -> Liveness:
        asked.append(Liveness(url, period_s=3.0, timeout_s=20.0 if "service" not in url else 3.0))
        return asked[-1]

    try:
        starting.start(list(specs.values()), settings, lambda _name, _line: None, children)
        keeper = Keeper(children, specs, settings, lambda _name, _line: None, ask=ask)
        service, busy = children
        await_that(lambda: all(each.is_well for each in asked))
        keeper.look()
        assert children == [service, busy]
        for process in psutil.Process(service.pid).children(recursive=True):
            process.suspend()

        def is_replaced() -> bool:
            keeper.look()
            return children[0] is not service

        await_that(is_replaced)
        await_that(lambda: asked[-1].is_well)
        assert children[1] is busy
        assert busy.exit_status is None
        assert alerted(settings) == [("server.hung", "begins", "service")]
        keeper.stop()
    finally:
        for child in children:
            child.stop(grace_s=1.0)


def test_what_an_earlier_start_logged_stays_and_a_large_log_moves_aside(settings, tmp_path, monkeypatch):
    log = settings.work_dir / "logs" / "one.log"
    for word in ("first", "second"):
        start([spec("one", f"print('{word} ready now'); {STAYS}", ready_words="ready now")], settings)
    text = log.read_text()
    assert text.index("first ready now") < text.index("--- started") < text.index("second ready now")
    monkeypatch.setattr(rotated_log, "LOG_BYTES", 300)
    stream = rotated_log.RotatedLog(log)
    for number in range(60):
        stream.write(f"line {number:03} of a log that grows")
    stream.close()
    names = sorted(path.name for path in log.parent.iterdir())
    assert names == ["one.log", "one.log.1", "one.log.2", "one.log.3"]
    kept = "".join((log.parent / name).read_text() for name in reversed(names))
    numbers = [int(line.split()[1]) for line in kept.splitlines() if line.startswith("line ")]
    assert numbers == list(range(numbers[0], 60))


def test_a_log_that_cannot_be_written_stops_no_server(settings):
    log = rotated_log.RotatedLog(settings.work_dir / "logs" / "one.log")
    log.close()
    assert log.write("lost") is False


def test_down_ends_what_is_left_of_a_starter_and_no_other_process(settings):
    with subprocess.Popen(["sleep", "600"]) as left, subprocess.Popen(["sleep", "600"]) as foreign:
        entry = RunningServer(
            name="flows", address="", process=process_name(left.pid), pid=left.pid, started_at="", log=""
        )
        stranger = entry.model_copy(
            update={"name": "x", "pid": foreign.pid, "process": process_name(foreign.pid) + "1"}
        )
        record = RunningRecord(
            process=process_name(foreign.pid) + "1", pid=foreign.pid, started_at="",
            servers={"flows": entry, "x": stranger},
        )  # fmt: skip
        assert stop_all(record, timeout_s=1.0) == ["flows"]
        assert left.wait(30) != 0
        assert foreign.poll() is None
        foreign.kill()


def test_a_workspace_is_served_once(settings):
    settings.work_dir.mkdir()
    mine = RunningRecord(process=process_name(), pid=os.getpid(), started_at="today", servers={})
    write_record(settings.work_dir, mine)
    with pytest.raises(ServerError, match="deepfakestream down"):
        require_none_runs(settings.work_dir)
    assert is_up(read_record(settings.work_dir))
    write_record(settings.work_dir, mine.model_copy(update={"process": mine.process + "1"}))
    require_none_runs(settings.work_dir)
    assert not is_up(read_record(settings.work_dir))


def test_status_of_a_workspace_where_nothing_ran(settings):
    text = status.describe(settings)
    assert "nothing runs here" in text
    assert "champion: none; version 0" in text
    assert list(settings.workspace.iterdir()) == []


@pytest.mark.parametrize(
    ("names", "shown"),
    [
        (["service"], ["scan files", "API of the service"]),
        (["mlflow"], ["runs of training", "model versions"]),
        (["prefect", "flows"], ["flow runs", "schedules", "automations"]),
        (["evidently", "watch"], ["drift over time"]),
    ],
)
def test_only_pages_of_servers_that_run_are_listed_at_the_ports_where_they_listen(
    names: list[str], shown: list[str], settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    addresses = {name: f"http://127.0.0.1:{port}" for port, name in enumerate(names, 7000)}
    own, ended = process_name(), process_name() + "1"
    servers = {
        name: RunningServer(
            name=name, address=addresses.get(name, "x"), process=own if name in names else ended,
            pid=os.getpid(), started_at="", log="",
        )
        for name in CATALOGUE
    }  # fmt: skip
    settings.work_dir.mkdir()
    record = RunningRecord(process=own, pid=os.getpid(), started_at="today", servers=servers)
    write_record(settings.work_dir, record)
    lines = pages(settings, {name: addresses[name] for name in names})
    assert [line.partition("  ")[0].strip() for line in lines] == shown
    assert all(addresses[names[0]] in line for line in lines)
    if "mlflow" not in names:
        assert status.describe(settings).splitlines()[-len(shown) :] == lines


def test_own_servers_are_reached_without_a_proxy() -> None:
    before = {"http_proxy": "http://proxy:8080", "no_proxy": "intranet, 127.0.0.1", "NO_PROXY": "other"}
    after = before | without_proxy(before, "10.0.0.7")
    assert after["no_proxy"] == after["NO_PROXY"] == "intranet,127.0.0.1,other,10.0.0.7,localhost"
    assert without_proxy({}, "127.0.0.1")["no_proxy"] == "127.0.0.1,localhost"


SLEEP = "import time; print('ready now'); time.sleep(600)"


@pytest.mark.parametrize("name", ["mlflow", "prefect", "evidently", "service"])
def test_a_busy_port_is_named_before_anything_starts(name, settings):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        busy = settings.model_copy(update={f"{name}_port": port})
        with pytest.raises(ServerError) as refusal, servers.running(busy):
            pytest.fail("it started")
    assert f"{name}: port {port} on 127.0.0.1 cannot be used" in str(refusal.value)
    assert f"DEEPFAKESTREAM_{name.upper()}_PORT" in str(refusal.value)
    assert list(settings.workspace.iterdir()) == []


@pytest.mark.parametrize("start_up", [servers.up, servers.serve])
def test_outside_a_workspace_nothing_is_started_or_made(start_up, settings):
    with pytest.raises(ParamsError, match=r"params\.yaml: "):
        start_up(settings)
    assert list(settings.workspace.iterdir()) == []


def test_an_address_of_another_machine_is_refused():
    with pytest.raises(ServerError, match=r"port 9 on 192\.0\.2\.1"):
        require_free("192.0.2.1", 9, server="x", setting="X")


def test_a_host_that_is_no_address_is_refused():
    with pytest.raises(ServerError, match=r"^DEEPFAKESTREAM_HOST: 'not a host'"):
        require_free("not a host", 9, server="x", setting="X")


def test_a_server_starts_when_those_it_needs_are_ready(settings):
    said = start(
        [
            spec("second", SLEEP, needs=("first", "absent"), ready_words="ready now"),
            spec("first", SLEEP, ready_words="ready now"),
        ],
        settings,
    )
    assert said == [("first", "ready now"), ("second", "ready now")]
    assert (settings.work_dir / "logs" / "first.log").read_text() == "ready now\n"


def test_a_server_that_ends_is_reported_with_its_last_lines(settings):
    broken = spec(
        "broken", "import sys; print('\\x1b[31mno database\\x1b[0m'); sys.exit(3)", ready_words="never"
    )
    with pytest.raises(ServerError, match=r"(?s)^broken .*3.*broken\.log.*no database$"):
        start([spec("first", SLEEP, ready_words="ready now"), broken], settings)


def test_a_server_that_never_answers_is_given_up(settings, monkeypatch):
    monkeypatch.setattr(starting, "START_TIMEOUT_S", 0.3)
    with pytest.raises(ServerError, match=r"^silent .*0 s"):
        start([spec("silent", SLEEP, ready_url=f"http://127.0.0.1:{free_port()}/")], settings)


def test_a_server_that_ignores_term_is_killed_with_its_own_children(settings, tmp_path):
    pid_file = tmp_path / "grandchild"
    script = (
        "import signal, subprocess, time, pathlib\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "other = subprocess.Popen(['sleep', '600'])\n"
        f"pathlib.Path({str(pid_file)!r}).write_text(str(other.pid))\n"
        "print('ready now')\n"
        "time.sleep(600)"
    )
    start([spec("stubborn", script, ready_words="ready now")], settings)
    stat = Path(f"/proc/{pid_file.read_text()}/stat")
    # Where the first process of the machine does not collect orphans they stay, as zombies.
    assert not stat.exists() or stat.read_text().split(") ")[1].startswith("Z")


WORKER = """
import os, select, signal, sys
signal.signal(signal.SIGTERM, signal.SIG_IGN)
held = select.poll()
held.register(os.open(sys.argv[1], os.O_WRONLY), 0)
print("ready now", flush=True)
while not held.poll(50):
    if sys.argv[2] == "forks" and os.fork():
        os._exit(0)
"""
"""Runs while somebody reads the FIFO, and ignores TERM; if it forks, each process soon loses its parent."""


@pytest.mark.parametrize(
    ("answer", "worker", "is_guarded"),
    [
        ("SIG_DFL", "forks", True),
        ("SIG_IGN", "forks", True),
        ("SIG_IGN", "stays", False),
    ],
)
def test_workers_in_sessions_of_their_own_end_with_their_server(
    answer: str, worker: str, is_guarded: bool, tmp_path: Path
) -> None:
    held = tmp_path / "held"
    os.mkfifo(held)
    ended = os.open(held, os.O_RDONLY | os.O_NONBLOCK)
    server = (
        "import signal, subprocess, sys, time\n"
        f"signal.signal(signal.SIGTERM, signal.{answer})\n"
        f"subprocess.Popen([sys.executable, '-c', {WORKER!r}, {str(held)!r}, {worker!r}],"
        " start_new_session=True)\n"
        "time.sleep(600)"
    )
    child = Child(
        "one",
        (sys.executable, "-c", server),
        environment=os.environ,
        cwd=tmp_path,
        log=tmp_path / "one.log",
        listener=lambda _name, _line: None,
    )
    try:
        deadline = time.monotonic() + 60.0
        while not child.has_said("ready now"):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        if not is_guarded:
            os.kill(child.pid, signal.SIGKILL)
    finally:
        child.stop(grace_s=0.2)
    deadline = time.monotonic() + 30.0
    try:
        while True:
            with suppress(BlockingIOError):  # a worker still has the other end
                assert os.read(ended, 1) == b""
                break
            assert time.monotonic() < deadline
            time.sleep(0.05)
    finally:
        os.close(ended)


def test_servers_that_others_need_are_stopped_last(settings: Settings) -> None:
    ends = (
        "import signal, sys, time\n"
        "def end(*_):\n"
        "    time.sleep({pause_s})\n"
        "    print('ended', flush=True)\n"
        "    sys.exit()\n"
        "signal.signal(signal.SIGTERM, end)\n"
        "print('ready now', flush=True)\n"
        "time.sleep(600)"
    )
    specs = [
        spec("store", ends.format(pause_s=0), ready_words="ready now"),
        spec("page", ends.format(pause_s=0.5), needs=("store",), ready_words="ready now"),
        spec("flows", ends.format(pause_s=0.5), needs=("store", "absent"), ready_words="ready now"),
    ]
    said: list[tuple[str, str]] = []
    children: list[Child] = []
    try:
        starting.start(specs, settings, lambda name, line: said.append((name, line)), children)
    finally:
        servers.stop_servers(children, specs)
    ended = [name for name, line in said if line == "ended"]
    assert sorted(ended[:2]) == ["flows", "page"]
    assert ended[2:] == ["store"]
    assert all(child.exit_status == 0 for child in children)


def test_children_get_every_setting_and_no_foreign_one(settings, monkeypatch):
    monkeypatch.setenv("DEEPFAKESTREAM_SERVICE_PORT", "1")
    monkeypatch.chdir(settings.workspace)
    environment = common_environment(settings.model_copy(update={"workspace": Path()}))
    assert environment["DEEPFAKESTREAM_WORKSPACE"] == str(settings.workspace.resolve())
    assert environment["DEEPFAKESTREAM_SERVICE_PORT"] == str(settings.service_port)
    assert environment["DEEPFAKESTREAM_TRACKING_URI"] == ""
    assert environment["PATH"].startswith(str(Path(sys.executable).parent))
    assert environment["PREFECT_SERVER_ANALYTICS_ENABLED"] == "false"


def test_without_a_path_children_do_not_search_the_folder_that_they_run_in(settings, monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert common_environment(settings)["PATH"] == str(Path(sys.executable).parent)


def test_a_tracking_server_that_is_set_is_used_and_not_started(settings):
    remote = settings.model_copy(update={"tracking_uri": "http://mlflow.example:5000"})
    chosen, served = servers._choose(remote, servers.ALL)
    assert [each.name for each in chosen] == [
        "prefect", "flows", "watch", "evidently", "service", "worker-1"
    ]  # fmt: skip
    assert served.tracking_uri == "http://mlflow.example:5000"
    chosen, served = servers._choose(settings, servers.ALL)
    assert [each.name for each in chosen] == [*CATALOGUE, "worker-1"]
    assert served.tracking_uri == settings.mlflow_url


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("stream", "line"), [(io.StringIO(), "a   | x\n"), (Terminal(), "\x1b[36ma   |\x1b[0m x\n")]
)
def test_names_are_coloured_on_terminals_only(stream, line, monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    Console(["a", "bcd"], stream).server_line("a", "x")
    assert stream.getvalue() == line


def await_end(family: list[psutil.Process]) -> None:
    """Return when all have ended, 30 s at most; where nobody collects orphans they stay, as zombies."""
    deadline = time.monotonic() + 30.0
    for process in family:
        with suppress(psutil.NoSuchProcess):
            while process.status() != psutil.STATUS_ZOMBIE:
                assert time.monotonic() < deadline, process
                time.sleep(0.05)


def test_servers_end_when_their_starter_is_killed(settings, tmp_path):
    """What a server started ends too, in its session and in others, whether it heeds TERM or not."""
    say = "import os, subprocess, sys, time; sys.stdout.write(f'{os.getpid()}\\n'); sys.stdout.flush()"
    sleep = f"{say}; time.sleep(600)"
    server = (
        f"{say}\n"
        f"for own_session in (False, True): subprocess.Popen([sys.executable, '-c', {sleep!r}],"
        " start_new_session=own_session)\n"
        "time.sleep(600)"
    )
    starter = (
        "import os, pathlib, sys, time\n"
        "from deepfakestream.local.child import Child\n"
        f"Child('one', (sys.executable, '-c', {server!r}), environment=os.environ,"
        f" cwd=pathlib.Path({str(tmp_path)!r}), log=pathlib.Path({str(tmp_path / 'one.log')!r}),"
        " listener=lambda name, line: print(line, flush=True))\n"
        "time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", starter], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            family = [psutil.Process(int(process.stdout.readline())) for _ in range(3)]
            family += psutil.Process(process.pid).children()
        finally:
            process.kill()
    assert len(set(family)) == 4
    await_end(family)


def test_the_process_that_holds_a_port_is_named():
    script = (
        "import socket, time; s = socket.create_server(('127.0.0.1', 0))\n"
        "print(s.getsockname()[1], flush=True)\n"
        "time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        port = int(other.stdout.readline())
        with pytest.raises(ServerError) as refusal:
            require_free("127.0.0.1", port, server="mlflow", setting="X_PORT")
        other.kill()
    assert f"process {other.pid} listens there ({sys.executable} -c import socket" in str(refusal.value)
    assert f"'kill {other.pid}'" in str(refusal.value)
    assert "X_PORT" in str(refusal.value)


def await_free(*ports: int) -> None:
    """Return when nothing listens on the ports; 30 s at most."""
    deadline = time.monotonic() + 30.0
    for port in ports:
        while True:
            try:
                require_free("127.0.0.1", port, server="x", setting="X")
                break
            except ServerError:
                assert time.monotonic() < deadline
                time.sleep(0.2)


def await_answer(url: str) -> None:
    """Return when the address answers 200; 180 s at most."""
    deadline = time.monotonic() + 180.0
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5) as reply:
                assert reply.status == 200
                return
        except OSError:
            assert time.monotonic() < deadline, url
            time.sleep(0.5)


@pytest.mark.slow
def test_everything_ends_when_up_is_killed(settings):
    shutil.copy(ROOT / "params.yaml", settings.workspace / "params.yaml")
    command = [sys.executable, "-m", "deepfakestream.cli", "up"]
    up = subprocess.Popen(command, env=common_environment(settings), stdout=subprocess.DEVNULL)
    try:
        await_answer(f"{settings.service_url}/readyz")
        await_answer(f"{settings.prefect_api_url}/health")
        family = psutil.Process(up.pid).children(recursive=True)
    finally:
        up.kill()
        up.wait()
    assert len(family) > 10
    await_free(*ports(settings))
    await_end(family)


@pytest.mark.slow
def test_the_worker_ends_when_bentoml_is_killed(settings):
    shutil.copy(ROOT / "params.yaml", settings.workspace / "params.yaml")
    port = settings.service_port
    command = [sys.executable, "-m", "bentoml", "serve", "bentos.service:DeepfakeStream", "--port", str(port)]
    environment = common_environment(settings) | {"BENTOML_HOME": str(settings.work_dir / "bentoml")}
    environment["PYTHONPATH"] = os.pathsep.join([str(ROOT), environment.get("PYTHONPATH", "")])
    service = subprocess.Popen(command, env=environment, cwd=settings.workspace, stdout=subprocess.DEVNULL)
    try:
        await_answer(f"{settings.service_url}/readyz")
    finally:
        service.kill()
        service.wait()
    await_free(port)


@pytest.mark.slow
def test_the_service_goes_on_while_the_flows_are_killed_and_down_ends_all(settings):
    """Real servers: kill -9 of the flows process; it comes back, requests are answered, `status` tells."""
    shutil.copy(ROOT / "params.yaml", settings.workspace / "params.yaml")
    program = [sys.executable, "-m", "deepfakestream.cli"]
    environment = common_environment(settings)

    def say(command: str) -> str:
        return subprocess.run(
            [*program, command], env=environment, capture_output=True, text=True, check=True
        ).stdout

    up = subprocess.Popen([*program, "up"], env=environment, stdout=subprocess.DEVNULL)
    try:
        record = await_record(settings, restarts=0)
        flows = psutil.Process(record.servers["flows"].pid).children()[0]
        flows.kill()
        again = await_record(settings, restarts=1)
        assert again.servers["flows"].pid != record.servers["flows"].pid
        assert again.servers["service"].pid == record.servers["service"].pid
        with urllib.request.urlopen(f"{settings.service_url}/readyz", timeout=30) as reply:
            assert reply.status == 200
        assert ("server.ended", "begins", "flows") in alerted(settings)
        text = say("status")
        assert "runs since" in text
        assert settings.service_url in text
        assert say("down").startswith("stopped: up")
        assert up.wait(120) == 0
        assert "nothing runs here" in say("status")
    finally:
        up.kill()
        up.wait()
    await_free(*ports(settings))


def await_record(settings: Settings, *, restarts: int) -> RunningRecord:
    """Return the record once the flows were started again so often; 240 s at most."""
    deadline = time.monotonic() + 240.0
    while time.monotonic() < deadline:
        record = read_record(settings.work_dir)
        if record is not None and record.servers["flows"].num_restarts == restarts:
            return record
        time.sleep(0.5)
    pytest.fail("no record of running servers")


@pytest.mark.slow
def test_up_starts_everything_and_term_stops_everything(settings):
    shutil.copy(ROOT / "params.yaml", settings.workspace / "params.yaml")
    command = [sys.executable, "-m", "deepfakestream.cli", "up"]
    environment = common_environment(settings)
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line.rstrip())
            if line.startswith("Ctrl-C stops"):
                break
        else:
            pytest.fail("\n".join(lines))
        for url in (f"{settings.mlflow_url}/health", f"{settings.prefect_api_url}/health"):
            assert urllib.request.urlopen(url, timeout=10).read()
        project = f"{settings.evidently_url}/api/projects/{settings.drift_project_id}/info"
        assert settings.registered_model in urllib.request.urlopen(project, timeout=60).read().decode()
        with urllib.request.urlopen(f"{settings.service_url}/metrics", timeout=10) as reply:
            metrics = reply.read().decode()
        assert 'deepfakestream_model_info{name="deepfakestream-detector",version="0"' in metrics
        assert "deepfakestream_requests_total{" in metrics
        process.send_signal(signal.SIGTERM)
        process.stdout.read()
        assert process.wait(60) == 0
    assert [line for line in lines if "is ready" in line] == [
        f"mlflow    is ready: {settings.mlflow_url}",
        f"prefect   is ready: http://127.0.0.1:{settings.prefect_port}",
        f"flows     is ready: http://127.0.0.1:{settings.prefect_port}/deployments",
        "watch     is ready: 'deepfakestream alerts list'",
        f"evidently is ready: {settings.drift_page_url}",
        f"service   is ready: {settings.service_url}",
        "worker-1  is ready: the queue of the service",
    ]
    for port in ports(settings):
        require_free("127.0.0.1", port, server="x", setting="X")
