"""Section `train` of params.yaml; options that are rarely needed are under `train.extra`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from deepfakestream.model.spec import NetworkSpec, Variant
from deepfakestream.sections import Positive, Section, Share


class NetworkParams(Section):
    """The network, and the weights that it starts from."""

    variant: Variant = "stacked"
    backbone: str = "tf_efficientnet_lite0"
    global_pool: Literal["avg", "gwap"] = "avg"
    drop_rate: Share = 0.2
    drop_path: float = Field(0.0, ge=0.0, lt=1.0)
    flip_tta: bool = False
    start_from: str = "packaged"

    @property
    def spec(self) -> NetworkSpec:
        """How the network is built."""
        return NetworkSpec(**self.model_dump(exclude={"start_from"}))


class OptimisationParams(Section):
    """How the weights are moved, and for how long."""

    epochs: Positive = 3
    steps_per_epoch: int = Field(0, ge=0)
    batch_size: int = Field(16, ge=2, multiple_of=2)
    optimizer: str = "adamw"
    learning_rate: float = Field(0.0003, gt=0.0)
    scheduler: Literal["cosine", "tanh", "poly", "constant"] = "cosine"
    weight_decay: float = Field(0.01, ge=0.0)
    warmup_share: Share = 0.1
    label_smoothing: float = Field(0.02, ge=0.0, lt=0.5)
    ema_decay: float = Field(0.998, ge=0.0, lt=1.0)
    early_stopping_patience: Positive = 3


class FakeMix(Section):
    """Shares of a batch's fakes: of the dataset, self-blends, swaps between two people."""

    EARLIER: ClassVar[Mapping[str, str]] = {"partial": "was removed, as it gained nothing; delete it"}

    dataset: Share = 0.4
    self_blend: Share = 0.4
    swap: Share = 0.2

    @model_validator(mode="after")
    def _add_up(self) -> Self:
        if abs(self.dataset + self.self_blend + self.swap - 1.0) > 1e-6:
            raise ValueError("dataset + self_blend + swap must add up to 1")
        return self


class SamplesParams(Section):
    """What the network sees: kinds of fakes and augmentation."""

    fake_mix: FakeMix = FakeMix()
    augment: Literal["mixed", "full", "medium", "light", "none"] = "full"
    num_workers: int = Field(2, ge=0)


class DistillParams(Section):
    """A trained model whose odds a training learns besides the labels."""

    teacher: str = ""
    weight: Share = 0.5
    temperature: float = Field(2.0, gt=0.0)


class ExtraParams(Section):
    """Options that are rarely needed."""

    streams: Literal["joint", "separate"] = "joint"
    loss: Literal["bce", "focal"] = "bce"
    focal_gamma: float = Field(2.0, ge=0.0)
    fake_weight: float = Field(1.0, gt=0.0)
    refit_head_pairs: int = Field(0, ge=0)
    distill: DistillParams = DistillParams()
    augment_without: tuple[Literal["framing", "colour", "detail", "coding", "hidden"], ...] = ()
    amp: Literal["auto", "off", "bf16", "fp16"] = "auto"


_REMOVED = "was removed, as it gained nothing; delete it"
_RENAMED = {"pooling": "global_pool", "dropout": "drop_rate", "mirrored": "flip_tta"}


class TrainParams(Section):
    """The network and how it is trained."""

    EARLIER: ClassVar[Mapping[str, str]] = {
        "area_weight": _REMOVED,
        "srm_learnable": _REMOVED,
        **{old: f"is now train.network.{new}" for old, new in _RENAMED.items()},
        **{
            name: f"is now train.{group}.{name}"
            for group, model in (
                ("network", NetworkParams),
                ("optimisation", OptimisationParams),
                ("samples", SamplesParams),
                ("extra", ExtraParams),
            )
            for name in model.model_fields
        },
    }

    network: NetworkParams = NetworkParams()
    optimisation: OptimisationParams = OptimisationParams()
    samples: SamplesParams = SamplesParams()
    extra: ExtraParams = ExtraParams()

    def changed(self, changes: Mapping[str, Mapping[str, Any]]) -> TrainParams:
        """Return these parameters with other values.

        Args:
            changes: group, e.g. `network`, to the values in it that differ.

        Raises:
            ValidationError: there is no such key, or a value is out of range.
        """
        content = self.model_dump()
        for group, values in changes.items():
            content[group] = {**content.get(group, {}), **values}
        return TrainParams.model_validate(content)
