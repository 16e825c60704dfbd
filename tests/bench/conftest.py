"""Pictures of the optional development data."""

from __future__ import annotations

import tarfile
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest

from deepfakestream.media.types import RGBImage

TarReader = Callable[..., list[RGBImage]]


@pytest.fixture(scope="session")
def pictures_of() -> TarReader:
    """Reads the first pictures of a tar, in its order."""

    def read(tar: Path, *, count: int) -> list[RGBImage]:
        with tarfile.open(tar) as archive:
            members = (member for member in archive if member.name.endswith((".jpg", ".png")))
            contents = [archive.extractfile(member).read() for member in islice(members, count)]
        bgr = [cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR) for content in contents]
        return [cv2.cvtColor(picture, cv2.COLOR_BGR2RGB) for picture in bgr]

    return read
