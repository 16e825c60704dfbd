from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from deepfakestream.errors import ParamsError, ServerError
from deepfakestream.registry.store import check_answers, ensure_experiment, open_client, redacted
from deepfakestream.settings import Settings
from deepfakestream.wiring import mlflow_store

from .conftest import free_port


@contextmanager
def _server(status: int) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()

        def log_message(self, *arguments: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


class TestServerDown:
    def test_refused(self) -> None:
        address = f"http://127.0.0.1:{free_port()}"
        with pytest.raises(ServerError, match=rf"^{address}: "):
            open_client(mlflow_store(Settings(tracking_uri=address)))

    def test_silent(self) -> None:
        with socket.socket() as silent:
            silent.bind(("127.0.0.1", 0))
            silent.listen()
            started = time.monotonic()
            with pytest.raises(ServerError, match="does not answer"):
                check_answers(f"http://127.0.0.1:{silent.getsockname()[1]}")
            assert time.monotonic() - started < 5.0

    def test_unknown_host(self) -> None:
        with pytest.raises(ServerError, match=r"no-such-host\.invalid"):
            check_answers("http://no-such-host.invalid")

    def test_mistyped_port(self) -> None:
        with pytest.raises(ServerError, match=r"does not answer \(nonnumeric port"):
            check_answers("http://127.0.0.1:50OO")

    def test_sick(self) -> None:
        with _server(503) as address, pytest.raises(ServerError, match="HTTP status 503"):
            check_answers(address)

    @pytest.mark.parametrize("status", [200, 401, 403])
    def test_well(self, status: int) -> None:
        with _server(status) as address:
            check_answers(address + "/")


class TestAddress:
    @pytest.mark.parametrize("uri", ["./mlruns", "file:///tmp/mlruns", "ftp://host/x"])
    def test_kinds_without_a_registry(self, uri: str) -> None:
        with pytest.raises(ParamsError, match=r"^DEEPFAKESTREAM_TRACKING_URI: "):
            open_client(mlflow_store(Settings(tracking_uri=uri)))

    @pytest.mark.parametrize(
        ("uri", "shown"),
        [
            ("sqlite:////a/b.db", "sqlite:////a/b.db"),
            ("postgresql://me:secret@db/mlflow", "postgresql://***@db/mlflow"),
            ("https://u:p@host:5000", "https://***@host:5000"),
        ],
    )
    def test_secrets_are_not_shown(self, uri: str, shown: str) -> None:
        assert redacted(uri) == shown


class TestSqlite:
    def test_no_database(self, settings: Settings) -> None:
        (settings.work_dir / "mlflow.db").write_bytes(
            b"this is no database, but long enough to be read as one"
        )
        with pytest.raises(ServerError, match=r"mlflow\.db: "):
            ensure_experiment(open_client(mlflow_store(settings)), mlflow_store(settings))

    def test_files_stay_in_the_workspace(self, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
        elsewhere = settings.workspace / "elsewhere"
        elsewhere.mkdir()
        monkeypatch.chdir(elsewhere)
        client = open_client(mlflow_store(settings))
        experiment = client.get_experiment(ensure_experiment(client, mlflow_store(settings)))
        assert experiment.artifact_location == settings.mlflow_artifacts_dir.as_uri()
        assert list(elsewhere.iterdir()) == []

    def test_experiment_is_made_once(self, settings: Settings) -> None:
        client = open_client(mlflow_store(settings))
        assert ensure_experiment(client, mlflow_store(settings)) == ensure_experiment(
            client, mlflow_store(settings)
        )

    def test_deleted_experiment(self, settings: Settings) -> None:
        client = open_client(mlflow_store(settings))
        client.delete_experiment(ensure_experiment(client, mlflow_store(settings)))
        with pytest.raises(ServerError, match="'deepfakestream'"):
            ensure_experiment(client, mlflow_store(settings))

    def test_files_behind_a_server(self, settings: Settings) -> None:
        client = open_client(mlflow_store(settings))
        client.create_experiment(settings.experiment, artifact_location="mlflow-artifacts:/1")
        with pytest.raises(ServerError, match="DEEPFAKESTREAM_TRACKING_URI"):
            ensure_experiment(client, mlflow_store(settings))

    def test_pickles_are_refused(self, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", raising=False)
        open_client(mlflow_store(settings))
        assert os.environ["MLFLOW_ALLOW_PICKLE_DESERIALIZATION"] == "false"
