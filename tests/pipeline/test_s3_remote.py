"""A workspace with an S3 remote, against a server that speaks the protocol."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import requests
from PIL import Image

from deepfakestream.data.manifest import read_manifest
from deepfakestream.data.versioning.remotes import parse_remote
from deepfakestream.data.versioning.repository import DvcRepo
from deepfakestream.errors import DataError
from deepfakestream.params import load_params
from deepfakestream.pipeline import forget, ingest, transfer, workspace
from deepfakestream.settings import Settings

pytestmark = pytest.mark.slow

SECRET = "s3-secret-of-this-test"
SIGNED = {
    "Authorization": "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/s3/aws4_request, "
    "SignedHeaders=host, Signature=0"
}
"""The server looks for a signature, but does not check it."""
CLONED = (".dvc/config", ".dvcignore", "dvc.yaml", "data.dvc", "params.yaml")
"""What git would hold of a workspace."""


@pytest.fixture(autouse=True)
def credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Credentials in the environment, and none of the machine's own."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "no-config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "no-credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("AWS_PROFILE", raising=False)


@pytest.fixture(scope="module")
def endpoint_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a running S3 server."""
    url = f"http://127.0.0.1:{free_port()}"
    log = tmp_path_factory.mktemp("moto") / "log"
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", url.rpartition(":")[2]]
    with log.open("w") as output:
        server = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
    try:
        wait_for(url, server, log)
        yield url
    finally:
        server.terminate()
        server.wait(timeout=20)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_for(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(300):
        assert server.poll() is None, log.read_text()
        try:
            socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])), timeout=1.0).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise AssertionError(f"{url}: did not start ({log.read_text()})")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("faces")
    for number in range(6):
        path = folder / ("fake" if number % 2 else "real") / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 256, (32, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path)
    return folder


def make_bucket(endpoint_url: str, name: str) -> None:
    requests.put(f"{endpoint_url}/{name}", headers=SIGNED, timeout=10.0).raise_for_status()


def take(source: Path, root: Path) -> None:
    params = load_params(root / "params.yaml").ingest
    settings = Settings(workspace=root)
    ingest.run(source, params=params, settings=settings, request=ingest.IngestRequest())


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_clone_has_what_was_ingested(endpoint_url: str, source: Path, tmp_path: Path) -> None:
    make_bucket(endpoint_url, "faces")
    root = workspace.create(tmp_path / "ws", remote=parse_remote("s3://faces/set", endpoint_url)).directory
    take(source, root)
    written = b"".join(path.read_bytes() for path in (root / ".dvc").rglob("*") if path.is_file())
    assert SECRET.encode() not in written
    assert not (root / "work" / "dvc-remote").exists()

    clone = tmp_path / "clone"
    for name in CLONED:
        (clone / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(root / name, clone / name)
    report = transfer.pull(Settings(workspace=clone))
    assert "(6 items) from s3://faces/set" in report.describe()
    assert contents(clone / "data") == contents(root / "data")
    assert read_manifest(clone / "data").equals(read_manifest(root / "data"))
    assert "to s3://faces/set" in transfer.push(Settings(workspace=clone)).describe()


def test_what_cannot_be_pushed_is_kept_and_pushed_later(
    endpoint_url: str, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nowhere = f"http://127.0.0.1:{free_port()}"
    root = workspace.create(tmp_path / "ws", remote=parse_remote("s3://later/set", nowhere)).directory
    settings = Settings(workspace=root)
    start = time.monotonic()
    with pytest.raises(DataError, match=r"^6 items .*s3://later/set: ") as e:
        take(source, root)
    assert "then run 'deepfakestream data push'" in str(e.value)
    assert time.monotonic() - start < 90.0
    assert len(read_manifest(settings.data_dir)) == 6
    assert DvcRepo(root).data_digest() is not None
    before = contents(settings.data_dir)

    workspace.create(root, remote=parse_remote("s3://later/set", endpoint_url))
    with pytest.raises(DataError, match=r"^s3://later/set: .*bucket"):
        transfer.push(settings)
    with monkeypatch.context() as without:
        without.delenv("AWS_ACCESS_KEY_ID")
        without.delenv("AWS_SECRET_ACCESS_KEY")
        with pytest.raises(DataError, match="AWS_ACCESS_KEY_ID"):
            transfer.push(settings)
    make_bucket(endpoint_url, "later")
    assert "pushed data version" in transfer.push(settings).describe()
    shutil.rmtree(settings.data_dir)
    shutil.rmtree(root / ".dvc" / "cache")
    transfer.pull(settings)
    assert contents(settings.data_dir) == before


def test_a_server_that_never_answers_is_given_up(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        address = parse_remote("s3://faces/set", f"http://127.0.0.1:{silent.getsockname()[1]}")
        root = workspace.create(tmp_path / "ws", remote=address).directory
        config = root / ".dvc" / "config"
        config.write_text(config.read_text().replace("read_timeout = 30", "read_timeout = 2"))
        with pytest.raises(DataError, match="the S3 server does not answer"):
            take(source, root)
    assert len(read_manifest(root / "data")) == 6


def test_without_a_version_there_is_nothing_to_transfer(tmp_path: Path) -> None:
    for move in (transfer.push, transfer.pull):
        with pytest.raises(DataError, match=r"data\.dvc: missing"):
            move(Settings(workspace=tmp_path))


def test_forgetting_reaches_the_bucket(endpoint_url: str, source: Path, tmp_path: Path) -> None:
    make_bucket(endpoint_url, "forgetful")
    root = workspace.create(
        tmp_path / "ws", remote=parse_remote("s3://forgetful/set", endpoint_url)
    ).directory
    take(source, root)
    settings = Settings(workspace=root)
    item = read_manifest(settings.data_dir).iloc[0]
    content = (settings.data_dir / item["path"]).read_bytes()
    before = bucket_contents(endpoint_url, "forgetful")
    assert sum(content == stored for stored in before.values()) == 1
    report = forget.run([item["media_id"]], reason="asked to", settings=settings)
    assert report.objects == {"cache": 3, "remote s3://forgetful/set": 3}
    after = bucket_contents(endpoint_url, "forgetful")
    assert content not in after.values()
    assert [name for name, stored in after.items() if item["media_id"].encode() in stored] == [
        name for name, stored in after.items() if stored.startswith(b"media_id,forgotten_at")
    ]
    assert len(set(before) & set(after)) == 5
    shutil.rmtree(settings.data_dir)
    shutil.rmtree(root / ".dvc" / "cache")
    transfer.pull(settings)
    assert len(read_manifest(settings.data_dir)) == 5


def bucket_contents(endpoint_url: str, name: str) -> dict[str, bytes]:
    def get(path: str) -> requests.Response:
        found = requests.get(f"{endpoint_url}/{name}{path}", headers=SIGNED, timeout=10.0)
        found.raise_for_status()
        return found

    keys = re.findall("<Key>(.*?)</Key>", get("?list-type=2").text)
    return {key: get(f"/{key}").content for key in keys}
