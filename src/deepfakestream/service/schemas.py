"""What the HTTP service answers beyond a scan result."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from deepfakestream.frozen import Frozen
from deepfakestream.model.spec import OperatingPoint
from deepfakestream.scan.result import ScanResult


class Prediction(ScanResult):
    """The verdict on an upload. `file` is always `upload`: the client's name is not used."""

    prediction_id: str = Field(description="id of this answer in the prediction log")
    request_id: str = Field(description="the X-Request-Id of this request")
    timings_ms: dict[str, float] = Field(
        description="milliseconds by stage: queue, extract, hash, score, total"
    )


class ModelDescription(Frozen):
    """The model that answers now."""

    name: str
    version: str
    weights_sha256: str
    source: Literal["registry", "package"] = Field(
        description="registry: the champion; package: version 0, where no champion is registered"
    )
    operating_point: str = Field(description="the operating point that verdicts use")
    operating_points: dict[str, OperatingPoint]
    trained_on: str
    card: str | None = Field(description="the model card, Markdown; null where the model has none")


class ProblemDocument(Frozen):
    """RFC 9457 problem details."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    reason: str | None = Field(
        None, description="code of what is wrong with the file; only where one was read"
    )
    max_bytes: int | None = Field(None, description="the limit of a body; only with 413")
