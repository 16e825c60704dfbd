from __future__ import annotations

from pathlib import Path

import pytest

from deepfakestream.data.versioning.remotes import RemoteAddress, explain_failure, parse_remote
from deepfakestream.errors import DataError


@pytest.mark.parametrize(
    ("address", "endpoint_url", "message"),
    [
        ("s3://", None, "names no bucket"),
        ("s3://key:secret@bucket/p", None, "must not hold credentials; set AWS_ACCESS_KEY_ID"),
        ("s3://bucket", "http://key:secret@host:9000", "must not hold credentials"),
        ("s3://bucket", "host:9000", r"must be http\(s\)://HOST:PORT"),
        ("s3://bucket", "http://host:9000/bucket", r"must be http\(s\)://HOST:PORT"),
        ("gs://bucket/p", None, "gs:// is not supported"),
        ("store", "http://host:9000", "belongs to an s3:// remote"),
    ],
)
def test_addresses_that_are_refused(address: str, endpoint_url: str | None, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        parse_remote(address, endpoint_url)
    assert "secret" not in str(caught.value)


def test_a_folder_is_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert parse_remote("store") == RemoteAddress(str(tmp_path / "store"))
    assert parse_remote("store").options == {}


def test_an_s3_remote_gives_up_in_bounded_time() -> None:
    amazon = parse_remote("s3://bucket/prefix/")
    assert amazon == RemoteAddress("s3://bucket/prefix", None)
    assert amazon.options == {"connect_timeout": "5", "read_timeout": "30"}
    own = parse_remote("s3://bucket", "https://minio.example:9000")
    assert own.options == {**amazon.options, "endpointurl": "https://minio.example:9000"}


@pytest.mark.parametrize(
    ("log", "cause"),
    [
        ("ERROR: unexpected error - Unable to locate credentials", "there are no S3 credentials"),
        ("The config profile (x) could not be found", "the AWS profile does not exist"),
        ('Could not connect to the endpoint URL: "http://h/"', "the S3 server does not answer"),
        ('Read timeout on endpoint URL: "http://h/"', "the S3 server does not answer"),
        ("(NoSuchBucket) when calling the ListObjectsV2 operation", "the bucket does not exist"),
        ("An error occurred (InvalidAccessKeyId) when calling", "refuses these credentials"),
        ("(AccessDenied) when calling the PutObject operation: Access Denied", "refuses these credentials"),
        ("An error occurred (403) when calling the HeadObject operation: Forbidden", "refuses these"),
        ("ERROR: failed to pull data from the cloud - Checkout failed", None),
        ("", None),
    ],
)
def test_causes_are_distinguished(log: str, cause: str | None) -> None:
    found = explain_failure(log)
    assert found is None if cause is None else cause in (found or "")
