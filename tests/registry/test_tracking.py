from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import requests
from mlflow.exceptions import MlflowException

from deepfakestream.errors import DataError
from deepfakestream.host.process_place import process_name
from deepfakestream.registry import tracking
from deepfakestream.registry.store import ensure_experiment, open_client
from deepfakestream.registry.tracking import TrackedRun, lineage_of, resume_run, start_run
from deepfakestream.settings import Settings
from deepfakestream.wiring import mlflow_store


class FlakyClient:
    """Takes records while `up`; notes them."""

    def __init__(self) -> None:
        self.up = True
        self.refuses = False
        self.has_file_store = True
        self.tracking_uri = "http://127.0.0.1:9"
        self.taken: list[tuple[str, Any]] = []

    def _take(self, kind: str, content: Any) -> None:
        if not self.up:
            raise MlflowException("connection refused")  # an internal error, as MLflow reports it
        if self.refuses:
            raise MlflowException.invalid_parameter_value("changed a param")
        self.taken.append((kind, content))

    def log_batch(self, run_id: str, *, metrics: Any = (), params: Any = (), tags: Any = ()) -> None:
        self._take("batch", [(each.key, each.value) for each in (*metrics, *params, *tags)])

    def log_artifact(self, run_id: str, path: str, folder: str | None) -> None:
        if not self.has_file_store:
            answer = requests.Response()
            answer.status_code = 500
            raise requests.HTTPError("500 Server Error", response=answer)
        self._take("file", Path(path).name)

    def set_terminated(self, run_id: str, status: str) -> None:
        self._take("end", status)


class _Health(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def healthy() -> Iterator[str]:
    """The address of a server that says that it is well."""
    with HTTPServer(("127.0.0.1", 0), _Health) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def _run(client: FlakyClient) -> TrackedRun:
    return TrackedRun(client, run_id="r", experiment_id="1")  # type: ignore[arg-type]


class TestServerLost:
    def test_records_wait_in_order_and_are_sent_at_the_end(self) -> None:
        client = FlakyClient()
        run = _run(client)
        run.log_metrics({"a": 1.0}, step=1)
        client.up = False
        run.log_metrics({"a": 2.0}, step=2)
        run.log_metrics({"a": 3.0}, step=3)
        assert run.unsent == 2
        client.up = True
        run.finish("FINISHED")
        assert run.unsent == 0
        assert [content for _, content in client.taken] == [
            [("a", 1.0)],
            [("a", 2.0)],
            [("a", 3.0)],
            "FINISHED",
        ]

    def test_a_dead_server_is_asked_rarely(self) -> None:
        client = FlakyClient()
        run = _run(client)
        client.up = False
        run.log_metrics({"a": 1.0})
        client.up = True
        run.log_metrics({"a": 2.0})
        assert run.unsent == 2

    def test_still_down_at_the_end_is_one_warning(self, caplog: pytest.LogCaptureFixture) -> None:
        client = FlakyClient()
        client.up = False
        run = _run(client)
        run.log_metrics({"a": 1.0})
        run.finish("FINISHED")
        assert run.unsent == 2
        assert "lacks 2 records" in caplog.records[-1].message

    def test_a_record_that_a_well_server_fails_on_holds_up_no_other_at_the_end(
        self, healthy: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        client = FlakyClient()
        client.tracking_uri, client.has_file_store = healthy, False
        run = _run(client)
        run.log_artifact(tmp_path / "model.onnx")
        run.log_metrics({"a": 1.0})
        assert run.unsent == 2  # it may be over in a moment
        run.finish("FINISHED")
        assert client.taken == [("batch", [("a", 1.0)]), ("end", "FINISHED")]
        assert "refused and is left out" in caplog.text

    def test_a_refused_record_does_not_hold_up_the_others(self, caplog: pytest.LogCaptureFixture) -> None:
        client = FlakyClient()
        run = _run(client)
        client.refuses = True
        run.log_params({"x": 1})
        client.refuses = False
        run.log_params({"y": 2})
        assert client.taken == [("batch", [("y", "2")])]
        assert "refused and is left out" in caplog.text


class TestRecords:
    @pytest.mark.parametrize(
        ("metrics", "sent"),
        [
            ({}, []),
            ({"a": None, "b": float("nan"), "c": float("inf")}, []),
            ({"a": None, "b": 0.5}, [("batch", [("b", 0.5)])]),
        ],
    )
    def test_what_was_not_measured_is_left_out(self, metrics: Mapping[str, Any], sent: list[Any]) -> None:
        client = FlakyClient()
        _run(client).log_metrics(metrics)
        assert client.taken == sent

    def test_nested_and_many_params(self) -> None:
        client = FlakyClient()
        _run(client).log_params(
            {"train": {"lr": 0.1, "mix": {"swap": 1}}, **{f"p{i}": i for i in range(150)}}
        )
        sent = [entry for _, batch in client.taken for entry in batch]
        assert sent[:2] == [("train.lr", "0.1"), ("train.mix.swap", "1")]
        assert len(sent) == 152
        assert max(len(batch) for _, batch in client.taken) <= tracking.MAX_BATCH


class TestOnSqlite:
    def test_everything_is_there(self, settings: Settings, tmp_path: Path) -> None:
        picture = tmp_path / "roc.png"
        picture.write_bytes(b"png")
        with start_run(mlflow_store(settings), name="train dual", tags={"trigger": "manual"}) as run:
            run.log_params({"train": {"lr": 0.1}})
            for step in (1, 2):
                run.log_metrics({"val_auc": 0.5 + step / 10}, step)
            run.log_artifact(picture, "plots")
            run.log_dataset("faces", "f" * 32 + ".dir", "training")
        client = open_client(mlflow_store(settings))
        found = client.get_run(run.run_id)
        assert (found.info.run_name, found.info.status) == ("train dual", "FINISHED")
        assert found.data.params == {"train.lr": "0.1"}
        assert [metric.value for metric in client.get_metric_history(run.run_id, "val_auc")] == [0.6, 0.7]
        assert found.data.tags["trigger"] == "manual"
        assert found.inputs.dataset_inputs[0].dataset.digest == "f" * 32 + ".dir"
        assert found.inputs.dataset_inputs[0].tags[0].value == "training"
        assert (settings.mlflow_artifacts_dir / run.run_id / "artifacts" / "plots" / "roc.png").is_file()

    @pytest.mark.parametrize("watch", [True, False])
    def test_the_machine_is_watched_until_the_run_ends(
        self, settings: Settings, watch: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "0.01")
        client = open_client(mlflow_store(settings))
        deadline = time.monotonic() + 60.0
        with start_run(mlflow_store(settings), name="train", tags={}, watch_machine=watch) as run:
            while watch and not client.get_run(run.run_id).data.metrics:
                assert time.monotonic() < deadline
                time.sleep(0.02)
        found = client.get_run(run.run_id)
        assert found.info.status == "FINISHED"
        assert [thread for thread in threading.enumerate() if thread.name == "SystemMetricsMonitor"] == []
        names = {"system/cpu_utilization_percentage", "system/system_memory_usage_percentage"}
        assert names <= set(found.data.metrics) if watch else found.data.metrics == {}

    @pytest.mark.parametrize(("error", "status"), [(RuntimeError, "FAILED"), (KeyboardInterrupt, "KILLED")])
    def test_end_of_a_broken_run(self, settings: Settings, error: type[BaseException], status: str) -> None:
        def break_off() -> None:
            with start_run(mlflow_store(settings), name="x", tags={}) as run:
                ids.append(run.run_id)
                raise error

        ids: list[str] = []
        with pytest.raises(error):
            break_off()
        assert open_client(mlflow_store(settings)).get_run(ids[0]).info.status == status

    def test_runs_of_ended_processes_are_ended(self, settings: Settings) -> None:
        """One was killed, one runs in this process, one on another machine, one is of an earlier release."""
        store = mlflow_store(settings)
        with subprocess.Popen([sys.executable, "-c", ""]) as process:
            ended = process_name().split("-")
            ended[-2:] = [str(process.pid), "1"]
        client = open_client(store)
        experiment = ensure_experiment(client, store)
        names = ("-".join(ended), process_name(), "elsewhere-4026531836-7-1", None)
        ids = [
            client.create_run(experiment, tags={tracking.PROCESS_TAG: name} if name else {}).info.run_id
            for name in names
        ]
        assert tracking.give_up_abandoned(store) == 1
        assert [client.get_run(one).info.status for one in ids] == ["KILLED", *["RUNNING"] * 3]

    def test_resumed_run_keeps_its_state(self, settings: Settings) -> None:
        with start_run(mlflow_store(settings), name="train", tags={}) as run:
            pass
        ended = open_client(mlflow_store(settings)).get_run(run.run_id).info.end_time
        with resume_run(mlflow_store(settings), run_id=run.run_id, name="other") as again:
            again.log_metrics({"test_auc": 0.9})
        found = open_client(mlflow_store(settings)).get_run(run.run_id)
        assert again.run_id == run.run_id
        assert (found.info.end_time, found.info.run_name) == (ended, "train")
        assert found.data.metrics == {"test_auc": 0.9}

    @pytest.mark.parametrize("run_id", [None, "0" * 32])
    def test_unknown_run_is_continued_by_a_new_one(self, settings: Settings, run_id: str | None) -> None:
        with resume_run(mlflow_store(settings), run_id=run_id, name="evaluate x") as run:
            pass
        found = open_client(mlflow_store(settings)).get_run(run.run_id)
        assert found.info.run_name == "evaluate x"
        assert found.data.tags["continues_run"] == (run_id or "unknown")

    def test_deleted_run_counts_as_unknown(self, settings: Settings) -> None:
        with start_run(mlflow_store(settings), name="train", tags={}) as run:
            pass
        open_client(mlflow_store(settings)).delete_run(run.run_id)
        with resume_run(mlflow_store(settings), run_id=run.run_id, name="again") as other:
            assert other.run_id != run.run_id

    def test_lineage_is_that_of_the_training(self, settings: Settings) -> None:
        (settings.workspace / "data.dvc").write_text("outs:\n- md5: old.dir\n  path: data\n")
        with start_run(mlflow_store(settings), name="train", tags={}) as run:
            pass
        (settings.workspace / "data.dvc").write_text("outs:\n- md5: new.dir\n  path: data\n")
        assert lineage_of(mlflow_store(settings), run.run_id)["dvc_data_md5"] == "old.dir"

    def test_lineage_of_an_unknown_run(self, settings: Settings) -> None:
        with pytest.raises(DataError, match="MLflow run 0000: not in sqlite"):
            lineage_of(mlflow_store(settings), "0000")
