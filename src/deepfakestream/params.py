"""`params.yaml` as one frozen value: a section a step, each owned by the package that uses it.

Everything here changes a result; where things are stored lives in `deepfakestream.settings`.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from deepfakestream.data.extraction.params import ExtractParams
from deepfakestream.data.ingestion.params import IngestParams
from deepfakestream.data.validation.params import ValidateParams
from deepfakestream.evaluation.params import EvaluateParams
from deepfakestream.monitoring.params import DriftParams, RetrainParams
from deepfakestream.promotion.params import PromoteParams
from deepfakestream.sections import Section, read_params
from deepfakestream.service.params import ServeParams
from deepfakestream.training.params import TrainParams


class Params(Section):
    """All sections of `params.yaml`; what the file leaves out has its default."""

    seed: int = Field(7, ge=0, lt=2**31)
    ingest: IngestParams = IngestParams()
    extract: ExtractParams = ExtractParams()
    validate_: ValidateParams = Field(ValidateParams(), alias="validate")
    train: TrainParams = TrainParams()
    evaluate: EvaluateParams = EvaluateParams()
    promote: PromoteParams = PromoteParams()
    serve: ServeParams = ServeParams()
    drift: DriftParams = DriftParams()
    retrain: RetrainParams = RetrainParams()


def load_params(path: Path) -> Params:
    """Return the parameters of a `params.yaml`.

    Raises:
        ParamsError: the file cannot be read, is not YAML, or a key is unknown or out of range.
    """
    return read_params(path, Params)
