"""The story of a model in one workspace, on real faces, from the first file to the audit record.

`test_demo.py` tells the beginning with real servers: ingest with what is quarantined, the data rules,
training, the promotion gate, serving over HTTP, traffic, injected drift, the event, one retraining by
Prefect's automation, and the cooldown. This file goes on in a copy of the workspace that the demo left, by
the command line alone: a second ingestion, requests that are refused, a model that is held, its promotion, a
rollback that stays, lineage, audit record, and each alert once. Channels other than a webhook:
`monitoring/test_alerts.py`; silence and failed runs: `flows/test_watch.py`; paused schedules:
`flows/test_deployments.py`.
"""

from __future__ import annotations

import csv
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image

from deepfakestream.monitoring.audit import read_audit
from deepfakestream.monitoring.prediction_log import PredictionLog
from deepfakestream.promotion.ledger import read_entries
from deepfakestream.sqlite_url import sqlite_url

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]
COMMAND_TIMEOUT_S = 1200.0


class Receiver(ThreadingHTTPServer):
    """A webhook on this machine."""

    def __init__(self) -> None:
        self.alerts: list[dict[str, Any]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                outer.alerts.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *args: object) -> None:
                pass

        super().__init__(("127.0.0.1", 0), Handler)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


class Place:
    """A workspace and the command line in it."""

    def __init__(self, root: Path, *, alerts_to: str = "") -> None:
        self.root = root
        self.alerts_to = alerts_to

    def run(self, *arguments: str, status: int = 0) -> str:
        """Run a command, check its exit status and return what it printed."""
        own = {"DEEPFAKESTREAM_WORKSPACE": str(self.root), "DEEPFAKESTREAM_ALERT_URLS": self.alerts_to}
        done = subprocess.run(
            [sys.executable, "-m", "deepfakestream.cli", *arguments],
            cwd=self.root,
            env=os.environ | own,
            capture_output=True,
            text=True,
            timeout=COMMAND_TIMEOUT_S,
            check=False,
        )
        assert done.returncode == status, f"{arguments}\n{done.stdout}\n{done.stderr}"
        return done.stdout + done.stderr

    def lineage(self, subject: str) -> dict[str, Any]:
        """Return the links of a chain by name."""
        found = json.loads(self.run("lineage", subject, "--json"))
        return {link["name"]: link for link in found["links"]}

    def change_params(self, section: str, **values: Any) -> None:
        path = self.root / "params.yaml"
        params = yaml.safe_load(path.read_text())
        params[section] |= values
        path.write_text(yaml.safe_dump(params, sort_keys=False))

    @property
    def last_decision(self) -> dict[str, Any]:
        return read_entries(self.root / "work" / "promotions.jsonl")[-1]

    @property
    def audited(self) -> list[str]:
        return [entry.action for entry in read_audit(self.root / "work" / "audit.jsonl")]

    @property
    def num_claims(self) -> int:
        with closing(sqlite3.connect(self.root / "work" / "governor.db")) as connection:
            return int(connection.execute("SELECT COUNT(*) FROM claims").fetchone()[0])


@pytest.fixture
def place(first: Any, folder: Path, tmp_path: Path) -> Place:
    """A copy of the demo's workspace in which version 1 is champion and no alert was raised yet."""
    root = tmp_path / "workspace"
    left_out = shutil.ignore_patterns("prefect", "logs", "sample")
    shutil.copytree(folder, root, symlinks=True, ignore=left_out)
    found = Place(root)
    if first.facts.champion_at_end != 1:
        found.run("rollback", "--to", "1", "--reason", "the story begins with version 1")
    for path in (root / "work").glob("alerts*"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    return found


@pytest.fixture
def more_media(folder: Path, tmp_path: Path) -> Path:
    """Four pictures of a person of the training split, coded otherwise, and a file that is no picture."""
    labelled, made = folder / "sample" / "labelled", tmp_path / "more"
    made.mkdir()
    rows = [("file", "label", "group_id", "identity", "manipulation", "split", "source", "licence")]
    person = "astronaut"
    stills = sorted(labelled.glob(f"{person}-*.jpg"))
    reals = [path for path in stills if "-real-" in path.name][:2]
    fakes = [path for path in stills if "-real-" not in path.name][:2]
    for path in (*reals, *fakes):
        with Image.open(path) as picture:
            picture.crop((4, 4, picture.width - 4, picture.height - 4)).save(made / path.name, quality=88)
        label = "real" if path in reals else "fake"
        kind = "" if path in reals else path.name.removeprefix(f"{person}-").rpartition("-")[0]
        rows.append(
            (path.name, label, person, person, kind.replace("-", "_"), "train", "scikit-image", "NASA")
        )
    (made / "no-picture.jpg").write_bytes(b"a page that says: please log in")
    rows.append(("no-picture.jpg", "real", person, person, "", "train", "scikit-image", "NASA"))
    with (made / "manifest.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows(rows)
    return made


def test_the_story_goes_on(place: Place, more_media: Path, receiver: Receiver, folder: Path) -> None:
    place.alerts_to = f"http://127.0.0.1:{receiver.server_port}/alerts"

    # A second ingestion: new files become another version of the data, once; what is broken is quarantined.
    data_before, audited_before = (place.root / "data.dvc").read_text(), place.audited
    place.run("ingest", str(more_media), "--name", "more")
    data = (place.root / "data.dvc").read_text()
    assert data != data_before
    place.run("ingest", str(more_media), "--name", "more")
    assert (place.root / "data.dvc").read_text() == data
    assert place.audited == [*audited_before, "ingest"]
    assert read_audit(place.root / "work" / "audit.jsonl")[-1].details["added"] == 4
    assert "no-picture.jpg" in place.run("data", "quarantine", "list")

    # Drift has led to one retraining; further requests during the cooldown are refused.
    for _ in range(2):
        place.run("drift")
        assert "refused by the governor" in place.run("retrain", "--on-schedule")
    assert place.num_claims == 1

    # A person insists, and the promotion gate holds the new model: too few source groups.
    place.change_params("promote", min_groups=9, min_auc=0.0, max_ece=1.0, auc_margin=1.0)
    place.run("retrain", "--force")
    held = place.last_decision
    assert (held["outcome"], held["promoted"], held["champion_before"], place.num_claims) == (
        "HOLD",
        False,
        1,
        2,
    )
    version = str(held["version"])

    # With three groups allowed it is promoted; it disappoints, is rolled back, and stays so.
    place.change_params("promote", min_groups=3)
    place.run("promote")
    assert (place.last_decision["outcome"], place.last_decision["promoted"]) == ("PROMOTE", True)
    place.run("rollback", "--reason", "false alarms at night")
    refused = place.run("promote", status=1)
    assert "REJECT" in refused
    assert "false alarms at night" in refused
    assert f"champion: version {1}" in place.run("status")

    # The chain of the version that was rolled back ...
    chain = place.lineage(version)
    assert chain["trigger"]["facts"]["occasion"] == "manual"
    assert chain["trigger"]["facts"]["outcome"] == "held"
    assert chain["code"]["facts"]["is_installed_here"]
    assert chain["data"]["facts"]["is_in_data_dvc_now"]
    (ingested,) = chain["data"]["entries"]
    assert "name more" in ingested
    decided = [entry.split()[1] for entry in chain["decisions"]["entries"]]
    assert decided == ["gate:", "gate:", "rollback", "gate:"]
    kinds = [entry.split()[2] for entry in chain["alerts"]["entries"]]
    assert kinds == ["retrain.started:", "model.held:", "model.promoted:", "model.rolled_back:"]
    actions = [entry.split()[3] for entry in chain["audit"]["entries"]]
    assert actions == ["ingest:", "promote:", "promote:", "rollback:", "promote:"]

    # ... and of what was answered over HTTP by the first version, which a flow run has trained.
    log = PredictionLog(sqlite_url(place.root / "work" / "predictions.db"))
    (prediction_id,) = log.newest(1, model_version="1")["prediction_id"]
    chain = place.lineage(prediction_id)
    assert chain["prediction"]["facts"]["channel"] == "http"
    assert chain["model version"]["facts"]["aliases"] == ["champion"]
    assert chain["model version"]["not_recorded"] == []
    assert chain["trigger"]["pages"]["flow run"].startswith("http://")

    # The second version came of drift: event, automation, claim, flow run (in the demo's own workspace).
    chain = Place(folder).lineage("2")
    assert (chain["trigger"]["facts"]["occasion"], chain["trigger"]["not_recorded"]) == ("drift", [])
    assert "retrain.started:" in " ".join(chain["alerts"]["entries"])

    # The audit record is whole and fits MLflow; written again without its last line, it does not.
    assert "all fit" in place.run("audit", "verify")
    record = place.root / "work" / "audit.jsonl"
    record.write_text("".join(record.read_text().splitlines(keepends=True)[:-1]))
    assert "audit_anchor" in place.run("audit", "verify", status=1)

    # Each alert has arrived, once.
    arrived = Counter((alert["kind"], alert["state"]) for alert in receiver.alerts)
    assert arrived == {
        ("drift.confirmed", "begins"): 1,
        ("retrain.refused", "begins"): 1,
        ("retrain.refused", "over"): 1,
        ("retrain.started", "once"): 1,
        ("model.held", "once"): 1,
        ("model.promoted", "once"): 1,
        ("model.rolled_back", "once"): 1,
    }
