"""What makes two detectors the same: their weights, and every number and version of the code around them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import sha256


def detector_digest(weights_sha256: str, algorithm: Mapping[str, object]) -> str:
    """Return the digest of a detector, part of the key of every extraction: 64 hexadecimal digits.

    Args:
        weights_sha256: digest of the weights.
        algorithm: the constants that decide what is found, and `version`, which is raised by hand where the
            code gives other faces with the same constants.
    """
    facts = {"weights_sha256": weights_sha256, "algorithm": dict(algorithm)}
    return sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
