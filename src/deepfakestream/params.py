"""`params.yaml` as one frozen value: a section a step, unknown keys refused with the nearest known one.

Everything here changes a result; where things are stored lives in `deepfakestream.settings`.
"""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from deepfakestream.errors import ParamsError

Share = Annotated[float, Field(ge=0.0, le=1.0)]
Positive = Annotated[int, Field(ge=1)]


class Section(BaseModel):
    """Base of every section: frozen, and no key may be misspelt."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class SplitFractions(Section):
    """Share of the source groups that each split gets."""

    train: Share
    val: Share
    test: Share

    @model_validator(mode="after")
    def _add_up(self) -> Self:
        if abs(self.train + self.val + self.test - 1.0) > 1e-6:
            raise ValueError("train + val + test must add up to 1")
        return self


class IngestParams(Section):
    """What may enter the set, and how its groups are split."""

    min_duration_s: float = Field(ge=0.0)
    split_fractions: SplitFractions
    split_salt: str


class ExtractParams(Section):
    """How media become face crops."""

    detector: Literal["retinaface_mnet025", "retinaface_r50", "mtcnn"]
    num_frames: Positive
    min_face_px: Positive
    min_score: Share
    max_faces_per_frame: Positive
    crop_scale: float = Field(gt=0.0, le=3.0)
    crop_shift_y: float = Field(default=0.0, ge=-0.5, le=0.5)
    crop_size_px: Positive
    shard_size: Positive


class Quantiles(Section):
    """Least and greatest value that the 5 %, 50 % and 95 % quantile of a column may have."""

    p05: tuple[float, float]
    p50: tuple[float, float]
    p95: tuple[float, float]


class ValidateParams(Section):
    """Bounds that a set must keep before a model is trained on it."""

    min_items: Positive
    min_groups_per_split: Positive
    max_share_without_face: Share
    fake_share: tuple[Share, Share]
    method_items: tuple[Positive, Positive]
    min_face_px: Positive
    luma: tuple[float, float]
    min_sharpness: float
    face_px_quantiles: Quantiles
    luma_quantiles: Quantiles
    sharpness_quantiles: Quantiles
    max_duplicate_share: Share
    near_duplicate_similarity: Share
    max_near_duplicate_share: Share
    shortcut_auc: tuple[Share, Share]


class FakeMix(Section):
    """Shares of a batch's fakes: of the data set, whole or in part, self-blends, swaps between two people."""

    dataset: Share
    self_blend: Share
    swap: Share
    partial: Share = 0.0

    @model_validator(mode="after")
    def _add_up(self) -> Self:
        if abs(self.dataset + self.partial + self.self_blend + self.swap - 1.0) > 1e-6:
            raise ValueError("dataset + partial + self_blend + swap must add up to 1")
        return self


class DistillParams(Section):
    """A trained model whose odds a training learns beside the labels."""

    teacher: str = ""
    weight: Share = 0.5
    temperature: float = Field(default=2.0, gt=0.0)


class TrainParams(Section):
    """The network and how it is trained."""

    variant: Literal["rgb", "srm", "stacked", "dual", "ensemble"]
    backbone: str
    pooling: Literal["avg", "gwap"]
    srm_learnable: bool
    dropout: Share
    start_from: str
    epochs: Positive
    steps_per_epoch: int = Field(ge=0)
    batch_size: int = Field(ge=2, multiple_of=2)
    learning_rate: float = Field(gt=0.0)
    weight_decay: float = Field(ge=0.0)
    warmup_share: Share
    label_smoothing: float = Field(ge=0.0, lt=0.5)
    ema_decay: float = Field(ge=0.0, lt=1.0)
    early_stopping_patience: Positive
    fake_mix: FakeMix
    augment: Literal["mixed", "full", "medium", "light", "none"]
    num_workers: int = Field(ge=0)
    drop_path: float = Field(default=0.0, ge=0.0, lt=1.0)
    streams: Literal["joint", "separate"] = "joint"
    mirrored: bool = False
    distill: DistillParams = DistillParams()
    loss: Literal["bce", "focal"] = "bce"
    focal_gamma: float = Field(default=2.0, ge=0.0)
    fake_weight: float = Field(default=1.0, gt=0.0)
    area_weight: float = Field(default=0.0, ge=0.0)
    refit_head_pairs: int = Field(default=0, ge=0)
    optimizer: str = "adamw"
    scheduler: Literal["cosine", "tanh", "poly", "constant"] = "cosine"
    amp: Literal["auto", "off", "bf16", "fp16"] = "auto"
    augment_without: tuple[Literal["framing", "colour", "detail", "coding", "hidden"], ...] = ()


class EvaluateParams(Section):
    """How a model is measured."""

    num_bootstrap: Positive
    low_fpr: float = Field(gt=0.0, lt=1.0)
    robustness_faces: int = Field(default=0, ge=0)


class PromoteParams(Section):
    """What a challenger must show before it becomes champion."""

    min_auc: Share
    max_ece: Share
    auc_margin: Share
    confidence: float = Field(gt=0.5, lt=1.0)


class ServeParams(Section):
    """Budgets of one request and the operating point of a verdict."""

    operating_point: Literal["balanced", "low_fpr", "high_recall"]
    max_image_bytes: Positive
    max_video_bytes: Positive
    max_duration_s: float = Field(gt=0.0)
    max_pixels: Positive
    max_concurrency: Positive
    max_uploads: Positive = 32
    max_uploads_per_client: Positive = 8
    min_upload_bytes_s: Positive = 16_384
    max_queued: Positive = 200
    max_queued_per_client: Positive = 50
    job_timeout_s: float = Field(default=900.0, gt=0.0)
    media_kept_h: float = Field(default=24.0, ge=0.0)
    result_kept_h: float = Field(default=720.0, gt=0.0)


class DriftParams(Section):
    """When the newest predictions count as drifted from the champion's reference."""

    window_size: Positive
    min_window: Positive
    num_threshold: float = Field(gt=0.0)
    share_threshold: Share
    max_client_share: Share = 0.5

    @model_validator(mode="after")
    def _reachable(self) -> Self:
        if self.min_window > self.window_size:
            raise ValueError("min_window needs to be at most window_size")
        return self


class RetrainParams(Section):
    """When drift may start a retraining."""

    windows: tuple[Positive, Positive]
    cooldown_h: float = Field(ge=0.0)
    max_per_week: Positive

    @model_validator(mode="after")
    def _reachable(self) -> Self:
        if self.windows[0] > self.windows[1]:
            raise ValueError("windows [n, m] needs n <= m")
        return self


class Params(Section):
    """All sections of `params.yaml`."""

    seed: int = Field(ge=0, lt=2**31)
    ingest: IngestParams
    extract: ExtractParams
    validate_: ValidateParams = Field(alias="validate")
    train: TrainParams
    evaluate: EvaluateParams
    promote: PromoteParams
    serve: ServeParams
    drift: DriftParams
    retrain: RetrainParams


def load_params(path: Path) -> Params:
    """Return the parameters of a `params.yaml`.

    Raises:
        ParamsError: the file cannot be read, is not YAML, or a key is unknown, missing or out of range.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ParamsError(
            f"{path}: no such file; run in a workspace, or make one with 'deepfakestream init'"
        ) from error
    except OSError as error:
        raise ParamsError(f"{path}: cannot be read ({error.strerror}); make it a readable file") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ParamsError(f"{path}: not valid YAML ({error}); correct the file") from error
    try:
        return Params.model_validate(content)
    except ValidationError as error:
        raise ParamsError(f"{path}: " + "; ".join(_explain(e) for e in error.errors())) from error


def _explain(error: Any) -> str:
    where = ".".join(str(part) for part in error["loc"]) or "the file"
    if error["type"] != "extra_forbidden":
        return f"{where}: {error['msg']}"
    near = difflib.get_close_matches(str(error["loc"][-1]), _known_keys(Params), n=1)
    hint = f"; did you mean '{near[0]}'?" if near else "; remove it"
    return f"{where}: unknown parameter{hint}"


def _known_keys(section: type[BaseModel]) -> list[str]:
    keys: list[str] = []
    for name, field in section.model_fields.items():
        keys.append(field.alias or name)
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            keys += _known_keys(field.annotation)
    return keys
