"""Where versions of the data are kept: addresses of DVC remotes, and what their failures mean.

Credentials come from the standard AWS variables, profile or instance role. They are never asked for, and an
address that holds some is refused, because addresses are written to `.dvc/config`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from deepfakestream.errors import DataError

CONNECT_TIMEOUT_S = 5
READ_TIMEOUT_S = 30
MAX_ATTEMPTS = "3"
"""How often an S3 request is tried, unless `AWS_MAX_ATTEMPTS` says otherwise."""

_SET_CREDENTIALS = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
_CAUSES = (
    (
        r"Unable to locate credentials|Partial credentials|NoCredentialsError",
        f"there are no S3 credentials; {_SET_CREDENTIALS}",
    ),
    (
        r"config profile \(.*\) could not be found",
        "the AWS profile does not exist; correct AWS_PROFILE",
    ),
    (
        r"Could not connect to the endpoint|timeout on endpoint|Connection was closed before|ConnectTimeout",
        "the S3 server does not answer; start it, or correct the endpoint in .dvc/config",
    ),
    (
        r"NoSuchBucket|bucket does not exist",
        "the bucket does not exist; create it, or correct the address in .dvc/config",
    ),
    (
        r"InvalidAccessKeyId|SignatureDoesNotMatch|Access ?Denied|Forbidden|ExpiredToken|InvalidToken",
        f"the S3 server refuses these credentials; {_SET_CREDENTIALS} that may read and write there",
    ),
)


@dataclass(frozen=True, slots=True)
class RemoteAddress:
    """A remote that DVC can be configured with."""

    url: str
    """`s3://bucket/prefix` or an absolute folder."""
    endpoint_url: str | None = None
    """Address of an S3 server other than Amazon's."""

    @property
    def options(self) -> dict[str, str]:
        """Settings of the remote besides its url, by the names that DVC gives them."""
        if not self.url.startswith("s3://"):
            return {}
        bounds = {"connect_timeout": str(CONNECT_TIMEOUT_S), "read_timeout": str(READ_TIMEOUT_S)}
        return bounds | ({"endpointurl": self.endpoint_url} if self.endpoint_url else {})


def parse_remote(address: str, endpoint_url: str | None = None) -> RemoteAddress:
    """Return the remote of an address; a relative folder is taken from the current one.

    Args:
        address: s3://BUCKET/PREFIX or a folder.
        endpoint_url: address of an S3 server other than Amazon's.

    Raises:
        DataError: the address is of another kind, holds credentials, or the endpoint does not fit to it.
    """
    parts = urlsplit(address)
    if "@" in parts.netloc or "@" in urlsplit(endpoint_url or "").netloc:
        raise DataError(f"--remote: an address must not hold credentials; {_SET_CREDENTIALS}")
    if parts.scheme == "s3":
        if not parts.netloc:
            raise DataError(f"--remote {address}: names no bucket; use s3://BUCKET/PREFIX")
        if endpoint_url is not None and not re.fullmatch(r"https?://[^/\s]+/?", endpoint_url):
            raise DataError(f"--endpoint-url {endpoint_url}: must be http(s)://HOST:PORT; correct it")
        return RemoteAddress(address.rstrip("/"), endpoint_url)
    if "://" in address:
        raise DataError(
            f"--remote {address}: {parts.scheme}:// is not supported; use s3://BUCKET/PREFIX or a folder"
        )
    if endpoint_url:
        raise DataError(
            f"--endpoint-url: belongs to an s3:// remote, and {address} is a folder; leave it out"
        )
    return RemoteAddress(str(Path(address).resolve()))


def explain_failure(log: str) -> str | None:
    """Return cause and remedy of a failed transfer from DVC's log, or None where it is no known one."""
    return next((sentence for pattern, sentence in _CAUSES if re.search(pattern, log)), None)
