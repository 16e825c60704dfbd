"""The networks that ship with the package, checked by digest; the digest of a whole detector."""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

from deepfakestream.errors import WeightsError

WEIGHTS_DIR = Path(__file__).parent / "weights"


def read_weights(path: Path, digest: str) -> bytes:
    """Return the bytes of a network.

    Args:
        path: the file.
        digest: sha256 that the file must have.

    Raises:
        WeightsError: the file is missing or has another digest.
    """
    try:
        network = path.read_bytes()
    except OSError as error:
        raise WeightsError(
            f"{path}: the face detector's weights cannot be read ({error.strerror}); reinstall the package"
        ) from error
    found = sha256(network).hexdigest()
    if found != digest:
        raise WeightsError(f"{path}: sha256 is {found[:12]}…, expected {digest[:12]}…; reinstall the package")
    return network


def detector_digest(weights_sha256: str, algorithm: Mapping[str, object]) -> str:
    """Return the digest of a detector, part of the key of every extraction: 64 hexadecimal digits.

    Args:
        weights_sha256: digest of the weights.
        algorithm: the constants that decide what is found, and `version`, which is raised by hand where the
            code gives other faces with the same constants.
    """
    facts = {"weights_sha256": weights_sha256, "algorithm": dict(algorithm)}
    return sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
